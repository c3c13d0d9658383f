"""The supervisor's process: configuration, control socket, children; nothing else.

Exit status: 0 after an orderly end, 1 when the gateway was lost or the socket cannot be had, 2 when the configuration
is wrong.
"""

import argparse
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
from loguru import logger

from common import logs
from common.config.load import ConfigError, Settings, load
from common.config.model import REVEAL_SECRETS
from common.prctl import hide_memory
from supervisor.children import running_children
from supervisor.control import Announcer, SocketError, listen, listening, serve_each, serve_one
from supervisor.custody import Custody
from supervisor.ground import Ground, GroundError, prepare, seal
from supervisor.linux import become_subreaper, die_with_parent
from supervisor.places import PlaceError
from supervisor.rooms import Rooms, wipe_leftovers
from supervisor.users import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    arguments = _parse(argv)
    if arguments.parent:
        die_with_parent(arguments.parent, signal.SIGTERM)
    try:
        settings = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - one line each, as they are
        return 2
    logs.setup("supervisor", settings.supervisor.debug.level)
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
        bound = listen(arguments.socket) if arguments.socket is not None else None
        ground = seal(prepare(settings.supervisor, rooms.base), settings.supervisor)
    except SocketError as error:
        logger.error("{}", error)
        return 1
    except GroundError as error:
        logger.error("{}", error)
        return 2
    return anyio.run(_run, settings, ground, rooms, arguments.control_fd, arguments.socket, bound)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supervisor", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--control-fd", type=int, help="a connected Unix socket, the gateway at its other end")
    where.add_argument("--socket", type=Path, help="listen for the gateway here")
    parser.add_argument("--parent", type=int, help="end when this process does")
    return parser.parse_args(argv)


async def _run(
    settings: Settings,
    ground: Ground,
    rooms: Rooms,
    control_fd: int | None,
    path: Path | None,
    bound: socket.socket | None,
) -> int:
    status = 0
    await ground.sweep(wipe_leftovers)
    sealed = "sealed" if ground.sealed else "not sealed"
    logger.info("every tree is kept whole by: {}; tags are {}", ground.reaping.mode, sealed)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_stop_on_signal, tasks.cancel_scope, name="signals")
        announcer = Announcer()
        async with running_children(settings.supervisor, announcer, ground, rooms) as children:
            for_gateway = settings.gateway.model_dump_json(context=REVEAL_SECRETS).encode()
            grace = settings.supervisor.reattach_grace if control_fd is None else 0.0
            with closing(Custody(children, grace, tasks)) as custody:
                announcer.on_missed = custody.missed
                serve = partial(
                    serve_one, children=children, settings=for_gateway, announcer=announcer, custody=custody
                )
                if control_fd is not None:
                    stream = await anyio.abc.UNIXSocketStream.from_socket(control_fd)
                    status = 0 if await serve(stream) else 1
                elif bound is not None and path is not None:
                    async with listening(bound, path) as listener:
                        logger.info("waiting for the gateway at {}", path)
                        await serve_each(listener, serve, custody)
        tasks.cancel_scope.cancel()
    ground.close()
    return status


async def _stop_on_signal(
    scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    sys.exit(main())
