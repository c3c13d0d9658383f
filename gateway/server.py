"""The listening socket, and what serves there: the lane, with Hypercorn behind it."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, LifespanState
from hypercorn.utils import wrap_app
from loguru import logger
from quart import Quart

from gateway import frames
from gateway.frames import OwnConfig
from gateway.hot.exchange import HotApp
from gateway.lane.carrier import Carrier, NothingHot
from gateway.lane.cold import LINGER

KEEP_ALIVE: Final = 75.0
"""Seconds that a connection may rest between two requests: above the idle reuse of any client's pool."""

MAX_REQUESTS: Final = 1_000_000
"""Requests on one connection; with the last of them it is closed."""

BACKLOG: Final = 1024

frames.install()


class CannotBind(Exception):
    """The address cannot be had; the text says which, and why."""


def bind(hostname: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises CannotBind."""
    try:
        family, _, _, _, address = socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        remedy = (
            "; stop what is there, or choose another with 'port' or --port" if error.errno == errno.EADDRINUSE else ""
        )
        raise CannotBind(f"cannot listen on {hostname} port {port}: {why}{remedy}") from None


def bind_or_go_on(hostname: str, port: int, held: int | None) -> socket.socket:
    """The listening socket `held`, ours from now on, which an earlier gateway left, if its address is still the one that
    is wanted; else a new one. Raises CannotBind.
    """
    listener = socket.socket(fileno=held) if held is not None else None
    if listener is not None and _listens_at(listener, hostname, port):
        return listener
    if listener is not None:
        logger.info("the address has changed; letting go of {}", url(listener))
        listener.close()
    return bind(hostname, port)


def _listens_at(listener: socket.socket, hostname: str, port: int) -> bool:
    try:
        family, _, _, _, address = socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return False
    host, own_port = listener.getsockname()[:2]
    return (listener.family, host) == (family, address[0]) and port in (0, own_port)


def url(listener: socket.socket) -> str:
    """How to reach it from this machine."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


StopAccepting = Callable[[], object]
"""Takes no more connections; those that come wait in the backlog, for this process or the next one."""


async def serve_http(
    app: Quart, listener: socket.socket, until: Callable[[StopAccepting], Awaitable[None]], hot: HotApp | None = None
) -> None:
    """Serve `app` on `listener`, which it closes, until `until` returns; then let running answers finish for a moment.

    Requests that `hot` takes never get to `app`. When this is cancelled, nothing is waited for.
    """
    config = OwnConfig()
    config.keep_alive_timeout = KEEP_ALIVE
    config.keep_alive_max_requests = MAX_REQUESTS
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    loop = asyncio.get_running_loop()
    async with _lifespan(wrap_app(app, config.wsgi_max_body_size, None), config) as (wrapped, state):
        carrier = Carrier(wrapped, config, state, hot or NothingHot())
        server = await loop.create_server(carrier.connection, sock=listener, backlog=BACKLOG)
        grace = 0.0
        try:
            await until(server.close)
            grace = config.graceful_timeout
        finally:
            server.close()
            with anyio.CancelScope(shield=True):
                await carrier.end(LINGER, grace)


@asynccontextmanager
async def _lifespan(app: AppWrapper, config: Config) -> AsyncIterator[tuple[AppWrapper, LifespanState]]:
    """Have `app` start, and end it, as Hypercorn does."""
    state = LifespanState({})
    lifespan = Lifespan(app, config, asyncio.get_running_loop(), state)
    task = asyncio.create_task(lifespan.handle_lifespan(), name="lifespan")
    try:
        await lifespan.wait_for_startup()
        if task.done():
            task.result()
        yield app, state
        with anyio.CancelScope(shield=True):
            await lifespan.wait_for_shutdown()
    finally:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
