"""A supervisor of one's own: started, connected to, and waited for until every tree that it had is gone.

Between it and this program stands the launcher, which ends what either leaves when it is killed.
"""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

import anyio
import anyio.abc

from embedding.configuration import Configuration
from supervisor.client import SupervisorClient, SupervisorLost, connect

SUPERVISOR_GRACE: Final = 30.0
"""Seconds that the supervisor may take to end every tree, once this program has let go of it; and as many to obey."""


class CannotStart(Exception):
    """There is no supervisor; the text says why, or where that is said."""


@asynccontextmanager
async def supervisor_beside(
    config: Path | Configuration, *, stderr: IO[bytes] | None = None
) -> AsyncIterator[SupervisorClient]:
    """A supervisor on `config`, which ends, with all that it started, when the context does.

    What it says goes to the file `stderr`, or else to where this program's own goes. It ends likewise when this program
    does, however that comes, or the thread that started it. Raises CannotStart where there is none. Cancellation waits
    until every tree is gone, for twice SUPERVISOR_GRACE seconds at most.
    """
    given = config if isinstance(config, Configuration) else Configuration(config)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        with theirs:
            launcher = await _launch(given, theirs, stderr)
        try:
            async with _connected(ours) as client:
                yield client
        finally:
            await _see_out(launcher)


async def _launch(config: Configuration, control: socket.socket, stderr: IO[bytes] | None) -> anyio.abc.Process:
    with config.given() as (path, descriptors):
        beside = ["--beside", str(os.getpid()), str(control.fileno())]
        return await anyio.open_process(
            [sys.executable, "-P", "-m", "supervisor.launcher", *beside, path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[control.fileno(), *descriptors],
            start_new_session=True,  # a terminal's Ctrl-C is for this program, which ends the supervisor in order
        )


@asynccontextmanager
async def _connected(control: socket.socket) -> AsyncIterator[SupervisorClient]:
    """The connection over `control`, which is ours no more. Raises CannotStart where nobody answers there."""
    connection = connect(await anyio.abc.UNIXSocketStream.from_socket(control.detach()))
    try:
        client = await connection.__aenter__()
    except SupervisorLost:
        raise CannotStart("the supervisor did not start; what it wrote to standard error says why") from None
    except TimeoutError:
        raise CannotStart("the supervisor was started, and said nothing in time") from None
    try:
        yield client
    except BaseException as error:
        if not await connection.__aexit__(type(error), error, error.__traceback__):
            raise
    else:
        await connection.__aexit__(None, None, None)


async def _see_out(launcher: anyio.abc.Process) -> None:
    """Wait until it has ended, and with it all below it; one that takes too long is told to, and then made to."""
    with anyio.CancelScope(shield=True):
        for insist in (launcher.terminate, launcher.kill):
            with anyio.move_on_after(SUPERVISOR_GRACE):
                await launcher.wait()
                break
            insist()
        await launcher.wait()
        await launcher.aclose()
