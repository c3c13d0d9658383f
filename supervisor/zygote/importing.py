"""A zygote's import: what it is told, what it answers, and what the supervisor looks at itself."""

import os
import socket
from importlib import resources
from typing import Final

import anyio
import msgspec

from supervisor.seal import set_tag
from supervisor.spawn import Zygote

IMPORT_PATIENCE: Final = 120.0
"""Seconds that an import may take; nobody waits for it."""

_TEMPLATE: Final = resources.files("supervisor.zygote").joinpath("template.py").read_bytes()
_LONGEST_ANSWER: Final = 1 << 14


class Refused(Exception):
    """There can be no zygote of it as the configuration stands; the text says why."""


class _Answer(msgspec.Struct):
    """What a zygote says once it has imported."""

    ready: bool = False
    refused: str = ""


async def imported(zygote: Zygote, tag: int) -> bool:
    """Tell `zygote`, whose tree bears `tag`, what to import, and wait until it is ready; False where it ended instead.

    Raises Refused, whose text may be the server's own. Cancelling leaves it as it is.
    """
    program, control = zygote.program, zygote.control
    job = {"parent": os.getpid(), "kind": program.kind, "name": program.name, "command": program.command}
    try:
        control.send(_TEMPLATE)
        control.send(msgspec.json.encode(job))
    except (BrokenPipeError, ConnectionResetError):
        return False
    with anyio.move_on_after(IMPORT_PATIENCE) as waiting:
        await anyio.wait_readable(control)
    if waiting.cancelled_caught:
        raise Refused(f"its import takes longer than {IMPORT_PATIENCE:g} s")
    answer = _answer(control)
    if answer is None:
        return False
    if not answer.ready:
        raise Refused(answer.refused or "it gives no reason")
    if _threads(zygote.process.pid) > 1:
        raise Refused("it has more than one thread, and says otherwise")
    try:
        set_tag(zygote.process.pid, tag)  # which it has; but may we?
    except PermissionError:
        raise Refused(
            "the supervisor may not mark processes of another user; give it CAP_SYS_RESOURCE, which containers "
            "often lack, or take 'user' away"
        ) from None
    except ProcessLookupError:
        return False
    except OSError as error:
        raise Refused(f"processes cannot be marked here: {error.strerror}") from None
    return True


def _answer(control: socket.socket) -> _Answer | None:
    """What it says; None where it has ended instead."""
    try:
        data = control.recv(_LONGEST_ANSWER)
        return msgspec.json.decode(data, type=_Answer) if data else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _threads(pid: int) -> int:
    """How many threads the process has, as the kernel says; 0 where it has gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
    except OSError:
        return 0
