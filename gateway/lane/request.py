"""The heads of requests, as the lane reads them; pure.

Two parsers that read the same bytes differently are how requests get smuggled. So this one knows no leniency: it takes
what has one meaning to everybody, and leaves the rest to Hypercorn's h11, unread. What it takes, h11 takes too, with the
same meaning; a test holds the one against the other.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote

from gateway.hot.exchange import Head

MAX_HEAD: Final = 16 * 1024
"""Bytes of a head. Hypercorn has the same limit for one that comes in parts, and the words for what is beyond."""

MAX_BODY: Final = 256 * 1024
"""Bytes of a body that is collected here; what is larger is Quart's, which counts while it reads."""

_METHODS: Final = (b"POST ", b"GET ", b"DELETE ")

_END: Final = b"\r\n\r\n"

_LINE: Final = re.compile(
    r"(GET|POST|DELETE) (/(?:[\w\-.~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*)"
    r"(?:\?((?:[\w\-.~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*))? HTTP/1\.1",
    re.ASCII,
)
"""RFC 9112, section 3: origin form alone, and of RFC 3986 what needs no quoting."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
"""RFC 9110, section 5.6.2: a token."""

_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)

_DOUBTFUL: Final = frozenset({"transfer-encoding", "upgrade", "expect", "trailer", "http2-settings"})
"""Headers that change how what follows is read, or what the client waits for."""

_COMMON: Final = {
    form: name
    for name in (
        "accept accept-encoding accept-language authorization connection content-length content-type cookie host "
        "last-event-id mcp-method mcp-name mcp-protocol-version mcp-session-id origin sec-fetch-mode traceparent "
        "user-agent x-forwarded-for x-forwarded-proto"
    ).split()
    for form in (name, name.title())
}
"""Names as they are nearly always written, and in lower case."""


class Unread(Enum):
    """Why there is no request."""

    PARTIAL = auto()
    """It may become one, with more bytes."""
    OTHER = auto()
    """It is none that the lane reads."""


@dataclass(slots=True)
class Request:
    """The head of a request, and where in the bytes that were looked at its body begins, and how long that will be."""

    head: Head
    begin: int
    length: int
    last: bool
    """Whether the client wants the connection closed with the answer."""

    @property
    def end(self) -> int:
        """Where in the bytes that were looked at the request ends."""
        return self.begin + self.length


def look(data: bytes, remote_addr: str) -> Request | Unread:
    """The request that `data`, which came from `remote_addr`, begins with."""
    at = data.find(_END, 0, MAX_HEAD)
    if at < 0:
        return _partial(data)
    try:
        lines = data[:at].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return Unread.OTHER
    first = _LINE.fullmatch(lines[0])
    if first is None:
        return Unread.OTHER
    headers = _headers(lines[1:])
    return Unread.OTHER if headers is None else _request(first, headers, at + len(_END), remote_addr)


def _partial(data: bytes) -> Unread:
    if len(data) >= MAX_HEAD or not any(data.startswith(each[: len(data)]) for each in _METHODS):
        return Unread.OTHER
    # h11 takes a bare line feed for the end of a line; here it would be waited for in vain.
    return Unread.OTHER if data.count(b"\n") != data.count(b"\r\n") else Unread.PARTIAL


def _headers(lines: list[str]) -> tuple[tuple[str, str], ...] | None:
    """None where a line is none that everybody reads alike: among others one that is the continuation of another."""
    if not "".join(lines).isprintable():
        return None
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        common = _COMMON.get(name)
        if common is None:
            if not colon or _NAME.fullmatch(name) is None:
                return None
            common = name.lower()
        elif not colon:
            return None
        headers.append((common, value.strip(" ")))
    return tuple(headers)


def _request(
    first: re.Match[str], headers: tuple[tuple[str, str], ...], begin: int, remote_addr: str
) -> Request | Unread:
    names = [name for name, _ in headers]
    if names.count("host") != 1 or not _DOUBTFUL.isdisjoint(names):
        return Unread.OTHER
    length, last = 0, False
    if "content-length" in names:
        value = headers[names.index("content-length")][1]
        if names.count("content-length") > 1 or _LENGTH.fullmatch(value) is None or int(value) > MAX_BODY:
            return Unread.OTHER
        length = int(value)
    if "connection" in names:
        wish = headers[names.index("connection")][1].lower()
        if names.count("connection") > 1 or wish not in ("close", "keep-alive"):
            return Unread.OTHER
        last = wish == "close"
    method, path, query = first.groups()
    if "%" in path:
        path = unquote(path)  # as Hypercorn has it
    return Request(Head(method, path, query or "", headers, remote_addr, "1.1"), begin, length, last)
