"""Many values of one array, or members of one object, that are checked while a JSON text is still coming. No I/O.

A table of many thousand rows has no long string that could be left out of its outline (`gateway.outline`), and reading
all of it at its end would keep everybody else waiting. So of each part of such a text most is checked at once: what
stands between two commas, where that is a **run** of values or of members, as it would stand in an array or an object.
In its place one short value or member is left.

The text is valid JSON exactly when it is with that in its place. Between two commas there may be any number of values
in an array, and of members in an object. Where the run stands in neither, or in the other of the two, both are invalid:
in an object no comma follows a value that has no name, and in an array no name precedes one.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Raw

LEAST: Final = 4096
"""Bytes of a part in which a run is looked for."""

ENDS: Final = 4096
"""Bytes at both ends of a part in which a run may begin, and end."""

_TRIES: Final = 2
"""So many commas are tried at either end, for one of them may stand deeper than the other."""

_OUTER: Final = re.compile(rb"[}\]]\s*,")
_ANY: Final = re.compile(rb",")
_decoder: Final = msgspec.json.Decoder(Raw)

_VALUES: Final = (b"[0,%b]", b"0")
_MEMBERS: Final = (b'{"":0,%b}', b'"":0')
"""What a run is checked in, and what is left in its place."""


def shortened(part: bytes, marks_before: int, words: Sequence[bytes]) -> bytes:
    """`part` of a JSON text, or the same with a run of it shortened, if there is one in which none of `words` stands.

    It begins within a string where an odd number of quotation marks comes before it, and between two characters.
    """
    commas = _OUTER if _OUTER.search(part, 0, ENDS) else _ANY
    firsts = _outside(part, commas, marks_before)
    lasts = _last(part, commas)
    for last in lasts:
        for first in firsts:
            left = _left_of(part[first:last])
            if left and not any(part.find(word, first, last) >= 0 for word in words):
                return b"".join((part[:first], left, part[last:]))
    return part


def marks(part: bytes) -> int:
    """How many quotation marks there are, but for escaped ones."""
    if b'"' not in part:
        return 0
    if b"\\" not in part:
        return part.count(b'"')
    # Of some backslashes in a row, each first one escapes the next. The one that is left over escapes what follows.
    part = part.replace(rb"\\", b"")
    return part.count(b'"') - part.count(rb"\"")


def _outside(part: bytes, commas: re.Pattern[bytes], marks_before: int) -> list[int]:
    """Where the text goes on behind the first commas that stand in no string."""
    found: list[int] = []
    at = 0
    for match in commas.finditer(part, 0, ENDS):
        marks_before += marks(part[at : match.end()])  # it ends with a comma, so it is not cut within an escape
        at = match.end()
        if marks_before % 2 == 0:
            found.append(at)
        if len(found) == _TRIES:
            break
    return found


def _last(part: bytes, commas: re.Pattern[bytes]) -> list[int]:
    """Where the last commas stand, the very last one first."""
    found = [match.end() - 1 for match in commas.finditer(part, max(len(part) - ENDS, 0))]
    return found[: -_TRIES - 1 : -1]


def _left_of(run: bytes) -> bytes:
    """What is left in the place of `run`; nothing where it is none."""
    for around, left in (_MEMBERS, _VALUES) if run.lstrip()[:1] == b'"' else (_VALUES,):
        with suppress(msgspec.DecodeError, RecursionError):
            _decoder.decode(around % run)
            return left
    return b""
