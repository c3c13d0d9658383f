"""The gateway's process: the supervisor's other end, sessions, HTTP.

Exit status: 0 after an orderly end, 1 when the port cannot be had or the supervisor was lost.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
from loguru import logger

from common import allocator, collector, logs, notify
from common.config.model import GatewaySettings
from common.limits import raise_open_files_limit
from common.prctl import hide_memory
from common.reasons import Reason
from gateway.app import take_over, wire
from gateway.auditfile import CannotWrite
from gateway.drain import LAST_WORDS, drain
from gateway.hotstate import HotState
from gateway.oversight import Oversight, overseeing
from gateway.server import CannotBind, StopAccepting, bind_or_go_on, serve_http, url
from gateway.sessions import Sessions
from gateway.succession import leave, take_up
from supervisor.client import WELCOME_TIMEOUT, SupervisorClient, SupervisorLost, connect
from supervisor.protocol import ProtocolError

PATIENCE: Final = 2.0
"""Seconds that the supervisor may take to say that it is there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    arguments = _parse(argv)
    logs.setup("gateway", "info")
    hide_memory()
    raise_open_files_limit()
    try:
        return anyio.run(_run, arguments, backend_options={"use_uvloop": has_uvloop()})
    except SupervisorLost:
        # It hung up before it said a word. Beside `serve`, whose supervisor's last line says why, that needs a word.
        if arguments.socket is not None:
            logger.error("the supervisor hung up; its log says why. Perhaps another gateway is connected")
        return 1
    except (OSError, ProtocolError) as error:
        logger.error("cannot reach the supervisor: {}", error)
        return 1


def has_uvloop() -> bool:
    """Whether uvloop is installed, which the gateway then runs on: it is not to be had for every system."""
    return find_spec("uvloop") is not None


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--control-fd", type=int, help="a connected Unix socket, the supervisor at its other end")
    where.add_argument("--socket", type=Path, help="the supervisor listens here")
    parser.add_argument("--hostname", help="listen here, whatever the configuration says")
    parser.add_argument("--port", type=int, help="listen here, whatever the configuration says")
    return parser.parse_args(argv)


async def _run(arguments: argparse.Namespace) -> int:
    # From here on, and not only once all is set up: a signal in between would be a crash to the supervisor.
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        return await _connect(arguments, signals)


async def _connect(arguments: argparse.Namespace, signals: AsyncIterator[signal.Signals]) -> int:
    if arguments.control_fd is not None:
        stream = await anyio.abc.UNIXSocketStream.from_socket(arguments.control_fd)
    else:
        stream = await anyio.connect_unix(arguments.socket)
    with anyio.CancelScope() as scope:
        # The supervisor may install packages first, for longer than anybody wants to wait for an end.
        early = asyncio.create_task(_end_at_signal(signals, scope), name="wait for an early signal")
        try:
            async with connect(stream, _tell_that_it_takes) as supervisor:
                early.cancel()
                await asyncio.wait([early])
                settings = GatewaySettings.model_validate_json(supervisor.settings)
                logs.setup("gateway", settings.debug.level)
                given = {"hostname": arguments.hostname, "port": arguments.port}
                settings = settings.model_copy(update={k: v for k, v in given.items() if v is not None})
                return await _serve(settings, supervisor, signals)
        finally:
            early.cancel()
    return 0


async def _end_at_signal(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def _tell_that_it_takes(seconds: float) -> None:
    """The supervisor installs packages first: the service manager is to have that much more patience."""
    if not sys.stderr.isatty():  # there the supervisor draws a bar, into which this line would come
        logger.info("waiting for packages to be installed, {:.0f} s at most", seconds)
    microseconds = round((seconds + WELCOME_TIMEOUT) * 1e6)
    notify.notify(f"EXTEND_TIMEOUT_USEC={microseconds}", notify.status("waiting for packages to be installed"))


async def _serve(
    settings: GatewaySettings, supervisor: SupervisorClient, signals: AsyncIterator[signal.Signals]
) -> int:
    try:
        with overseeing(settings) as oversight:
            return await _serve_with(oversight, settings, supervisor, signals)
    except CannotWrite as error:
        logger.error("{}", error)
        return 1


async def _serve_with(
    oversight: Oversight,
    settings: GatewaySettings,
    supervisor: SupervisorClient,
    signals: AsyncIterator[signal.Signals],
) -> int:
    left = supervisor.inheritance
    try:
        listener = bind_or_go_on(settings.hostname, settings.port, left.heirlooms.pop("listener", None))
    except CannotBind as error:
        logger.error("{}", error)
        return 1
    sessions = _take_up(settings, supervisor, oversight)
    if supervisor.keeps:
        supervisor.entrust("listener", listener.fileno())
    app = wire(settings, sessions, supervisor)
    where = url(listener)
    logger.debug("the event loop is {}'s", type(asyncio.get_running_loop()).__module__.partition(".")[0])
    _say_where(settings, where)
    lost = False

    def follow(part: bytes) -> None:
        fresh = GatewaySettings.model_validate_json(part)
        take_over(app, fresh, sessions)
        logger.info("the servers for new sessions are now: {}", ", ".join(fresh.servers))

    async def until_told_to_end(stop_accepting: StopAccepting) -> None:
        nonlocal lost
        collector.look_seldom()
        allocator.keep_some()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_tell_how_it_is, where, sessions, supervisor, name="service manager")
            lost = await _signal_or_loss(supervisor, signals)
            notify.notify(notify.STOPPING, notify.status("answering what is in flight, then leaving"))
            if lost:
                sessions.end_all(Reason.SUPERVISOR_LOST)
            else:
                await _leave(settings, sessions, supervisor, signals, stop_accepting)
            tasks.cancel_scope.cancel()

    supervisor.on_settings = follow
    await serve_http(app, listener, until_told_to_end, app.extensions["hot"])
    return 1 if lost else 0


def _take_up(settings: GatewaySettings, supervisor: SupervisorClient, oversight: Oversight) -> Sessions:
    """The table of sessions, with those in it that an earlier gateway left."""
    left = supervisor.inheritance
    hot_state = HotState.adopt_or_create(left.heirlooms.pop("hot_state", None)) if supervisor.keeps else None
    if hot_state is not None:
        supervisor.entrust("hot_state", hot_state.fd)
    sessions = Sessions(
        supervisor, settings.servers, settings.node, hot_state, settings.amounts.quotas, oversight=oversight
    )
    children, left.children = left.children, []
    if hot_state is not None:
        hot_state.retain({each.lease for each in children})
    count = take_up(sessions, children, left.lapsed)
    if children:
        logger.info("went on with {} of {} sessions that were left", count, len(children))
    return sessions


async def _leave(
    settings: GatewaySettings,
    sessions: Sessions,
    supervisor: SupervisorClient,
    signals: AsyncIterator[signal.Signals],
    stop_accepting: StopAccepting,
) -> None:
    """Stop: no new sessions, a moment for the calls in flight, then every session's end, or the next gateway's turn.

    Where another gateway goes on, connections wait for it in the backlog.
    """
    if supervisor.keeps:
        stop_accepting()
    sessions.refuse(Reason.GATEWAY_RESTARTED if supervisor.keeps else Reason.SHUTDOWN)
    if supervisor.keeps:
        await anyio.sleep(LAST_WORDS)
    await drain(sessions.calls, settings.drain_timeout, supervisor, signals)
    # Streams end with their sessions, so the server has only short answers left to finish.
    if supervisor.keeps and not supervisor.lost.is_set():
        leave(sessions)
        await anyio.sleep(LAST_WORDS)
    else:
        sessions.end_all(Reason.SUPERVISOR_LOST if supervisor.lost.is_set() else Reason.SHUTDOWN)


async def _tell_how_it_is(where: str, sessions: Sessions, supervisor: SupervisorClient) -> None:
    """Tell the service manager that the gateway serves, and from then on that it and the supervisor still do."""

    async def look() -> str | None:
        try:
            with anyio.fail_after(PATIENCE):
                answer = await supervisor.ask()
        except (TimeoutError, SupervisorLost):
            logger.warning("the supervisor does not answer")
            return None
        return f"listening on {where}; {sessions.counts().sessions} sessions, {answer.running} children"

    # Hypercorn serves before it calls whoever tells us to end, and the supervisor's word is the last that was missing.
    if await look() is not None:
        notify.notify(notify.READY)
    await notify.keep_telling(look)


def _say_where(settings: GatewaySettings, where: str) -> None:
    logger.info("listening on {} for {}", where, ", ".join(settings.servers))
    if not settings.auth.is_on:
        logger.warning(
            "no 'auth' is configured: whoever reaches {} may use every server. It answers to loopback names{}",
            where,
            f" and to {', '.join(settings.allowed_hosts)}"
            if settings.allowed_hosts
            else " alone ('allowed_hosts' adds)",
        )


async def _signal_or_loss(supervisor: SupervisorClient, signals: AsyncIterator[signal.Signals]) -> bool:
    """Wait for one of `signals` or the supervisor's end; whether it was the latter."""
    async with anyio.create_task_group() as tasks:

        async def wait_for_loss() -> None:
            await supervisor.lost.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(wait_for_loss, name="watch the supervisor")
        await anext(signals)
        tasks.cancel_scope.cancel()
    if supervisor.lost.is_set():
        logger.error("the supervisor is gone")
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
