"""The supervisor's process: configuration, control socket, children; nothing else.

Exit status: 0 after an orderly end, 1 when the gateway was lost or the socket cannot be had, 2 when the configuration
is wrong.
"""

import argparse
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
from loguru import logger

from common import logs
from common.config.load import ConfigError, Settings, load
from common.config.model import REVEAL_SECRETS
from supervisor.children import running_children
from supervisor.control import Announcer, SocketError, listen, listening, serve_each, serve_one
from supervisor.linux import become_subreaper, die_with_parent
from supervisor.places import PlaceError
from supervisor.rooms import Rooms
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
    except SocketError as error:
        logger.error("{}", error)
        return 1
    return anyio.run(_run, settings, rooms, arguments.control_fd, arguments.socket, bound)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supervisor", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--control-fd", type=int, help="a connected Unix socket, the gateway at its other end")
    where.add_argument("--socket", type=Path, help="listen for the gateway here")
    parser.add_argument("--parent", type=int, help="end when this process does")
    return parser.parse_args(argv)


async def _run(
    settings: Settings, rooms: Rooms, control_fd: int | None, path: Path | None, bound: socket.socket | None
) -> int:
    status = 0
    async with anyio.create_task_group() as tasks:
        await tasks.start(_stop_on_signal, tasks.cancel_scope, name="signals")
        announcer = Announcer()
        async with running_children(settings.supervisor, announcer, rooms) as children:
            for_gateway = settings.gateway.model_dump_json(context=REVEAL_SECRETS).encode()
            serve = partial(serve_one, children=children, settings=for_gateway, announcer=announcer)
            if control_fd is not None:
                stream = await anyio.abc.UNIXSocketStream.from_socket(control_fd)
                status = 0 if await serve(stream) else 1
            elif bound is not None and path is not None:
                async with listening(bound, path) as listener:
                    logger.info("waiting for the gateway at {}", path)
                    await serve_each(listener, serve)
        tasks.cancel_scope.cancel()
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
