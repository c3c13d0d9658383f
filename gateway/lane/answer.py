"""Answers as bytes: the status line and headers as Hypercorn's h11 writes them, and chunks."""

import time
from collections.abc import Sequence
from typing import Final
from wsgiref.handlers import format_date_time

LAST_CHUNK: Final = b"0\r\n\r\n"

_WITHOUT_BODY: Final = frozenset({204, 304})

FAILED: Final = ("Connection", "close")
"""With status 500 and nothing else, this is what Hypercorn says where an application fails."""


class BadHeader(ValueError):
    """A header of an answer would end it early, or cannot be written. Its value is not told: it may be a secret."""


class Dates:
    """The `Date` of answers, which is written anew once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        """The header's value."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, format_date_time(second)
        return self._text


def head(status: int, headers: Sequence[tuple[str, str]], length: int | None, date: str, *, last: bool) -> bytes:
    """The head of an answer whose body has `length` bytes, or comes in chunks where that is None.

    `last` adds that the connection is closed afterwards, where `headers` do not say so. Raises BadHeader.
    """
    lines = [f"HTTP/1.1 {status} \r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    if length is None:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif status not in _WITHOUT_BODY:
        lines.append(f"content-length: {length}\r\n")
    lines.append(f"date: {date}\r\n")
    if last and not closes(headers):
        lines.append("Connection: close\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise BadHeader("a header holds a line break")
    try:
        return (text + "\r\n").encode("latin-1")
    except UnicodeEncodeError:
        raise BadHeader("a header is not in latin-1") from None


def closes(headers: Sequence[tuple[str, str]]) -> bool:
    """Whether `headers` say that the connection is closed afterwards."""
    return any(value.lower() == "close" for name, value in headers if name.lower() == "connection")


def has_body(status: int) -> bool:
    """Whether an answer with this status may have one (RFC 9110, section 6.4.1)."""
    return status not in _WITHOUT_BODY


def chunk(part: bytes) -> bytes:
    """A part of a body, which is not empty, as RFC 9112, section 7.1, frames it."""
    return b"%x\r\n%b\r\n" % (len(part), part)
