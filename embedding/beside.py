"""A supervisor of one's own: started, connected to, and waited for until every tree that it had is gone."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

import anyio
import anyio.abc

from supervisor.client import SupervisorClient, SupervisorLost, connect

SUPERVISOR_GRACE: Final = 30.0
"""Seconds that the supervisor may take to end every tree, once this program has let go of it."""


class CannotStart(Exception):
    """There is no supervisor; the text is what it said."""


@asynccontextmanager
async def supervisor_beside(config: Path, log: BinaryIO | None = None) -> AsyncIterator[SupervisorClient]:
    """A supervisor on the configuration at `config`, which ends, with all that it started, when the context does.

    It writes its log to `log`, which is a file, or else to this program's standard error. It ends likewise when this
    program does, however that comes. Raises CannotStart where the configuration is wrong. Cancellation waits
    until every tree is gone, for SUPERVISOR_GRACE seconds at most.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    control = str(theirs.fileno())
    command = [sys.executable, "-P", "-m", "supervisor", "--control-fd", control, "--config", os.fspath(config)]
    try:
        process = await anyio.open_process(
            [*command, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a terminal's Ctrl-C is for this program, which ends the supervisor in order
        )
    finally:
        theirs.close()
    try:
        stream = await anyio.abc.UNIXSocketStream.from_socket(ours)
        async with connect(stream) as client:
            yield client
    except SupervisorLost:
        raise CannotStart("the supervisor could not be started; what it wrote to standard error says why") from None
    finally:
        with anyio.move_on_after(SUPERVISOR_GRACE, shield=True):
            await process.wait()
        if process.returncode is None:
            process.kill()
        await process.aclose()
