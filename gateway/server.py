"""Hypercorn, as this program wants it."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, Final

import hypercorn.asyncio.run
from hypercorn.asyncio import serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.typing import AppWrapper
from loguru import logger
from quart import Quart

from gateway import frames
from gateway.frames import OwnConfig

KEEP_ALIVE: Final = 75.0
"""Seconds that a connection may rest between two requests: above the idle reuse of any client's pool."""

BACKLOG: Final = 1024

LINGER: Final = 2.0
"""Seconds that a client has to take what is left for it, once its connection or the whole server is to be closed.

Less than the three seconds after which Hypercorn, at its end, cancels what a stuck client then holds up for ever.
"""


class _Connection(TCPServer):
    """Hypercorn's connection, which lets go of a socket whose client has hung up, or takes nothing more.

    Hypercorn 0.18 keeps the former until the keep-alive timeout is over: a descriptor and a task for every client that
    came by. For the latter it waits without end.
    """

    open: ClassVar[set["_Connection"]] = set()

    async def run(self) -> None:
        self.open.add(self)
        try:
            await super().run()
        finally:
            self.open.discard(self)

    @classmethod
    def abort_all(cls, config: Config) -> None:
        """Drop every connection that is still there of the server with this `config`."""
        for connection in tuple(cls.open):
            if connection.config is config:
                connection.writer.transport.abort()

    async def _close(self) -> None:
        linger = self.loop.call_later(LINGER, self.writer.transport.abort)
        await super()._close()
        linger.cancel()

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def _connection(app: AppWrapper, loop: asyncio.AbstractEventLoop, config: Config, *rest: Any) -> TCPServer:
    """One of ours for a server of ours, and Hypercorn's own for what else it serves in this process."""
    kind = _Connection if isinstance(config, OwnConfig) else TCPServer
    return kind(app, loop, config, *rest)


vars(hypercorn.asyncio.run)["TCPServer"] = _connection  # there is no other way in
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


async def serve_http(app: Quart, listener: socket.socket, until: Callable[[StopAccepting], Awaitable[None]]) -> None:
    """Serve `app` on `listener`, which it closes, until `until` returns; then let running answers finish for a moment."""
    fd = listener.detach()
    config = OwnConfig()
    config.bind = [f"fd://{fd}"]
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE
    config.keep_alive_max_requests = 1_000_000
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")

    async def trigger() -> None:
        loop = asyncio.get_running_loop()
        await until(partial(loop.remove_reader, fd))
        loop.call_later(LINGER, _Connection.abort_all, config)

    await serve(app, config, shutdown_trigger=trigger)
