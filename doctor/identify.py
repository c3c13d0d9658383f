"""Which child is a session's: see doctor.processes for how that is known."""

import secrets
from typing import Final

from doctor.client import Asks, tools
from doctor.processes import Hidden, Known, counts, describe, listeners, one_tree, servers_among, took
from doctor.rows import AS_ROOT, Looked

_ROUNDS: Final = 8
_ENOUGH: Final = 2
"""Messages of different sizes that one process must have read."""

_SMALLEST: Final = 32 << 10
_SPREAD: Final = 16 << 10
"""Bytes of padding: more than what a quiet server reads meanwhile, and less than any gateway would mind."""


async def look_at(session: Asks, largest: int) -> Looked:
    """The child that reads what `session` is asked.

    `largest` bounds a message, in bytes. Raises what `session.ask` raises.
    """
    try:
        reader = await _reader(session, min(_SMALLEST, largest // 4))
        child = describe(reader) if reader is not None else None
    except Hidden:
        return Looked(None, "the processes of the servers may not be looked at", AS_ROOT)
    if child is None:
        text = "no one process was seen to read what was sent"
        return Looked(None, text, "is this the gateway's machine? If it is very busy, try again")
    return Looked(child)


async def _reader(session: Asks, smallest: int) -> Known | None:
    possible: set[Known] | None = None
    not_these = listeners()
    for round_ in range(1, _ROUNDS + 1):
        size = smallest + secrets.randbelow(min(_SPREAD, smallest))
        before = counts()
        await tools(session, padding=size)
        after = counts()
        found = servers_among(took(before, after, size), after.marked, not_these)
        possible = found if possible is None else possible & found
        if not possible:
            if after.hidden:
                raise Hidden
            return None
        if round_ >= _ENOUGH and (reader := one_tree(possible)) is not None:
            return reader
    return None
