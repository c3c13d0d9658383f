"""The bytes of a block, of which there is never a second copy as a whole: base64 is decoded as it is sent. No I/O.

All of it is looked at before the first byte is sent, so that what is malformed is an error and no broken answer, and so
that the length is known.
"""

import binascii
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
_LONGEST_ESCAPE: Final = len(rb"\u002b")
_LINE_BREAKS: Final = b"\r\n"
"""They stand between the lines of base64, and are no part of it."""


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
        yield _unescaped(block, piece) if b"\\" in piece else piece


def _unescaped(block: Block, piece: bytes) -> bytes:
    try:
        text: str = msgspec.json.decode(b'"%b"' % piece, type=str)
        return text.encode("ascii").translate(None, _LINE_BREAKS)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        raise _malformed(block, "base64") from None


def _malformed(block: Block, what: str) -> GatewayError:
    return GatewayError(
        Reason.CHILD_ERROR, f"the server sent a {block.kind} whose data is no {what}", content=block.index
    )
