"""The supervisor's process: configuration, control socket, children; nothing else.

Its control socket is one end of a pair (--control-fd), its own (--socket), or with neither the one that systemd hands
over (sd_listen_fds(3)).

Exit status: 0 after an orderly end, 1 when the gateway was lost or the socket cannot be had, 2 when the configuration
is wrong. With --install there is neither: packages are fetched, and 1 means that one of them cannot be.
"""

import argparse
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import msgspec
from loguru import logger

from common import logs, notify
from common.config.load import Settings
from common.config.model import SupervisorSettings
from common.config.source import ConfigError
from common.prctl import hide_memory
from supervisor import exposure
from supervisor.activation import ActivationError, inherited_listener, uid_of
from supervisor.children import Children, running_children
from supervisor.control import Announcer, serve_one
from supervisor.custody import Custody
from supervisor.feasible import load_for_here
from supervisor.fetching import is_there
from supervisor.foresight import warnings
from supervisor.ground import Ground, GroundError, prepare, seal
from supervisor.installation import Installation, follow
from supervisor.linux import become_subreaper, die_with_parent, has_terminal
from supervisor.listening import SocketError, listen, listening, serve_each
from supervisor.places import PlaceError
from supervisor.protocol import Settings as NewSettings
from supervisor.reload import Refused, Reloader, for_gateway
from supervisor.rooms import Rooms, wipe_leftovers
from supervisor.users import UserError

STOPPED: Final = "told to end: what was fetched stays, and the rest is given up"
"""What an installation says at a signal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    arguments = _parse(argv)
    # A SIGHUP waits until there is somebody who can follow it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started us may not have waited for children; we do
    if arguments.parent:
        die_with_parent(arguments.parent, signal.SIGTERM)
    try:
        settings = load_for_here(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - one line each, as they are
        return 2
    if arguments.check:
        return 0
    logs.setup("supervisor", settings.supervisor.debug.level)
    for note in settings.notes:
        logger.warning("{}", note)
    become_subreaper()
    hide_memory()
    try:
        rooms = Rooms(settings.supervisor)
    except (PlaceError, UserError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    try:
        return _listen_and_run(arguments, settings, rooms)
    finally:
        rooms.close()


def _listen_and_run(arguments: argparse.Namespace, settings: Settings, rooms: Rooms) -> int:
    try:
        bound = _bound(arguments)
        ground = seal(prepare(settings.supervisor, rooms.base), settings.supervisor)
    except (ActivationError, SocketError) as error:
        logger.error("{}", error)
        return 1
    except GroundError as error:
        logger.error("{}", error)
        return 2
    exposure.tell(settings.supervisor, ground.reaping)
    for warning in warnings(
        settings.supervisor.servers.values(), lambda spec: is_there(spec, settings.supervisor, os.environ)
    ):
        logger.warning("{}", warning)
    if arguments.install:
        return anyio.run(_install, settings, ground, rooms)
    return anyio.run(_run, arguments, settings, ground, rooms, bound)


def _bound(arguments: argparse.Namespace) -> socket.socket | None:
    """The listening socket, where there is to be one. Raises SocketError or ActivationError."""
    if arguments.control_fd is not None or arguments.install:
        return None
    if arguments.socket is not None:
        return listen(arguments.socket)
    handed_over = inherited_listener()
    if handed_over is None:
        raise ActivationError("expected --control-fd, --socket, or a socket from the service manager")
    return handed_over


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supervisor", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.add_argument(
        "--check",
        action="store_true",
        help="check the configuration, here; start nothing",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--control-fd", type=int, help="a connected Unix socket, the gateway at its other end")
    where.add_argument("--install", action="store_true", help="fetch the packages that servers are started from; end")
    where.add_argument("--socket", type=Path, help="listen for the gateway here")
    parser.add_argument("--peer", type=uid_of, action="append", default=[], help="this user's gateway may connect, too")
    parser.add_argument("--parent", type=int, help="end when this process does")
    return parser.parse_args(argv)


def _prepare_for(rooms: Rooms, settings: SupervisorSettings) -> None:
    """Be ready for what the configuration says now. Raises Refused."""
    try:
        rooms.take_over(settings)
    except (PlaceError, UserError) as error:
        raise Refused(str(error)) from None


def _use(children: Children, settings: SupervisorSettings) -> None:
    """These settings hold from now on."""
    children.fetches.use(settings)
    children.zygotes.start(settings)
    children.gate.use(settings)
    children.warming.use_settings()
    exposure.tell(settings, children.reaping)


class _Follower:
    """After each reload, has the servers that wait for their packages taken over later."""

    def __init__(self, reload: Reloader, children: Children, tasks: anyio.abc.TaskGroup, within: float) -> None:
        self._reload = reload
        self._children = children
        self._tasks = tasks
        self._within = within
        self._scope = anyio.CancelScope()

    def __call__(self, waiting: set[str]) -> None:
        self._scope.cancel()
        self._scope = anyio.CancelScope()
        if waiting:
            self._tasks.start_soon(self._follow, self._scope, waiting, name="packages of a reload")

    async def _follow(self, scope: anyio.CancelScope, waiting: set[str]) -> None:
        with scope:
            await follow(self._reload, self._children.fetches, waiting, self._within)


async def _run(
    arguments: argparse.Namespace, settings: Settings, ground: Ground, rooms: Rooms, bound: socket.socket | None
) -> int:
    status = 0
    await ground.sweep(wipe_leftovers)
    sealed = "sealed" if ground.sealed else "not sealed"
    logger.info("every tree is kept whole by: {}; tags are {}", ground.reaping.mode, sealed)
    logger.info("children are started by: {}", ground.reaping.started_by)
    async with anyio.create_task_group() as tasks:
        announcer = Announcer()
        reload = Reloader(
            arguments.config,
            settings,
            announce=lambda changed: announcer(NewSettings(msgspec.Raw(changed))),
            prepare=partial(_prepare_for, rooms),
        )
        await tasks.start(_follow_signals, tasks.cancel_scope, reload, name="signals")
        async with running_children(settings.supervisor, announcer, ground, rooms) as children:
            reload.on_change = partial(_use, children)
            children.fetches.start(settings.supervisor)
            children.zygotes.start(settings.supervisor)
            installation = Installation(children.fetches, settings.supervisor.install_timeout)
            tasks.start_soon(installation.run, settings.supervisor.debug.level, name="install packages")
            reload.install = children.fetches.prepare
            reload.on_waiting = _Follower(reload, children, tasks, settings.supervisor.install_timeout)
            tasks.start_soon(_tell_how_it_is, children, name="service manager")
            grace = settings.supervisor.reattach_grace if bound is not None else 0.0
            with closing(Custody(children, grace, tasks)) as custody:
                announcer.on_missed = custody.missed
                serve = partial(
                    serve_one,
                    children=children,
                    settings=lambda: for_gateway(settings.gateway),
                    announcer=announcer,
                    custody=custody,
                    installation=installation,
                )
                if bound is None:
                    stream = await anyio.abc.UNIXSocketStream.from_socket(arguments.control_fd)
                    status = 0 if await serve(stream) else 1
                else:
                    async with listening(bound, arguments.socket) as listener:
                        logger.info("waiting for the gateway at {}", bound.getsockname())
                        notify.notify(notify.READY)
                        await serve_each(listener, serve, custody, arguments.peer)
        tasks.cancel_scope.cancel()
    ground.close(all_wiped=not rooms.unwiped)
    return status


async def _install(settings: Settings, ground: Ground, rooms: Rooms) -> int:
    """Fetch what is not there yet, and what may be newer by now; 1 where something could not be had, or at a signal."""
    status = 1
    await ground.sweep(wipe_leftovers)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_follow_signals, tasks.cancel_scope, lambda: None, STOPPED, name="signals")
        async with running_children(settings.supervisor, lambda _: None, ground, rooms) as children:
            children.fetches.start(settings.supervisor)
            await Installation(children.fetches, math.inf).run(settings.supervisor.debug.level)
            await children.fetches.all_done()
            there, not_there = children.fetches.outcome()
            status = 1 if not_there else 0
            logger.info("installed for: {}", ", ".join(there) or "no server, for none is started by npx or uvx")
        tasks.cancel_scope.cancel()
    ground.close(all_wiped=not rooms.unwiped)
    return status


async def _tell_how_it_is(children: Children) -> None:
    """Feed the service manager's watchdog from this event loop."""

    async def look() -> str:
        report = children.report(0)
        return f"{report.running} children, {report.ending} being ended"

    await notify.keep_telling(look)


async def _follow_signals(
    scope: anyio.CancelScope,
    reload: Callable[[], None],
    last_words: str = "",
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """SIGTERM and SIGINT are the end; SIGHUP is, too, where there is a terminal to hang up, and else a reload.

    At the end `last_words` are logged: where it takes a moment, and nobody else would say anything.
    """
    reloads = not has_terminal()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        task_status.started()
        async for number in signals:
            if number is signal.SIGHUP and reloads:
                reload()
            else:
                if last_words:
                    logger.warning("{}", last_words)
                notify.notify(notify.STOPPING, notify.status("ending every session"))
                scope.cancel()


if __name__ == "__main__":
    sys.exit(main())
