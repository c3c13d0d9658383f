"""The bytes of a block, of which there is never a second copy as a whole: base64 is decoded as it is sent. No I/O.

All of it is looked at before the first byte is sent, so that what is malformed is an error and no broken answer, and so
that the length is known.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import Final

import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.rest.contents import Block

PIECE: Final = 192 * 1024
"""Bytes of base64 that are decoded at once."""

_ALPHABET: Final = f"{ascii_letters}{digits}+/".encode()
_ESCAPE: Final = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|(.))", re.DOTALL)
_LONGEST_ESCAPE: Final = len(rb"\u002b")
_PLAIN: Final = {b"n": b"", b"r": b"", b"/": b"/"}
"""What escapes stand for; line breaks between the lines of base64 are no part of it."""
_NO_LETTER: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class Body:
    """`length` bytes, in `pieces`, which may be taken once."""

    length: int
    pieces: Iterator[bytes] = field(repr=False)


def body(block: Block) -> Body:
    """The bytes of `block`. Raises GatewayError where it is not what it should be."""
    if not block.is_base64:
        text = _text(block)
        return Body(len(text), iter((text,)))
    return Body(_length(block), _decoded(block))


def _text(block: Block) -> bytes:
    try:
        return msgspec.json.decode(block.data, type=str).encode("utf-8", "replace")
    except msgspec.MsgspecError:
        raise _malformed(block, "text") from None


def _length(block: Block) -> int:
    """How many bytes there are. Raises GatewayError where it is no base64 (RFC 4648, section 4)."""
    letters = padding = 0
    for piece in _letters(block):
        core = piece.rstrip(b"=")
        if core.translate(None, _ALPHABET) or (core and padding):
            raise _malformed(block, "base64")
        letters += len(core)
        padding += len(piece) - len(core)
    if letters % 4 == 1 or (padding and (letters + padding) % 4) or padding > 2:
        raise _malformed(block, "base64")
    return letters * 3 // 4


def _decoded(block: Block) -> Iterator[bytes]:
    left = b""
    for piece in _letters(block):
        left += piece.rstrip(b"=")
        whole = len(left) // 4 * 4
        yield binascii.a2b_base64(left[:whole])
        left = left[whole:]
    if left:
        yield binascii.a2b_base64(left + b"=" * (-len(left) % 4))


def _letters(block: Block) -> Iterator[bytes]:
    """What stands in the JSON string, in pieces: some libraries write `\\/` there for `/`, or `\\u002b` for `+`."""
    view = memoryview(block.data)[1:-1]
    at = 0
    while at < len(view):
        piece = bytes(view[at : at + PIECE])
        cut = piece.rfind(b"\\", max(0, len(piece) - _LONGEST_ESCAPE + 1))
        if cut > 0 and at + PIECE < len(view):  # it may be the beginning of an escape
            piece = piece[:cut]
        at += len(piece)
        yield _ESCAPE.sub(_unescaped, piece) if b"\\" in piece else piece


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code, letter = escape[1], escape[2]
    return bytes([int(code, 16)]) if code else _PLAIN.get(letter, _NO_LETTER)


def _malformed(block: Block, what: str) -> GatewayError:
    return GatewayError(
        Reason.CHILD_ERROR, f"the server sent a {block.kind} whose data is no {what}", content=block.index
    )
