"""Requests of which it can be doubted where they end, over raw connections, each with another request behind it."""

import re
from urllib.parse import urlsplit

import anyio
import pytest

from tests.support.gateway import Gateway
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

BEHIND = b"GET /api/sessionid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""What must not be taken for a request where a proxy could have taken it for a part of the first one."""

CHUNKS = b"0\r\n\r\n"


def posted(*lines: bytes, body: bytes = b"{}") -> bytes:
    """A request with these lines in its head, and the other behind it."""
    head = (b"POST /light/mcp HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *lines, b"", b"")
    return b"\r\n".join(head) + body + BEHIND


REFUSED = {
    "two lengths": posted(b"Content-Length: 2", b"Content-Length: %d" % (2 + len(BEHIND))),
    "two lengths in one": posted(b"Content-Length: 2, %d" % (2 + len(BEHIND))),
    "a length with a sign": posted(b"Content-Length: +2"),
    "a length in hexadecimal": posted(b"Content-Length: 0x2"),
    "a length that is negative": posted(b"Content-Length: -2"),
    "a length without end": posted(b"Content-Length: " + b"9" * 30),
    "a length and chunks": posted(
        b"Content-Length: %d" % (5 + len(BEHIND)), b"Transfer-Encoding: chunked", body=CHUNKS
    ),
    "chunks and a length": posted(
        b"Transfer-Encoding: chunked", b"Content-Length: %d" % (5 + len(BEHIND)), body=CHUNKS
    ),
    "a coding that is nearly one": posted(b"Transfer-Encoding: xchunked", body=CHUNKS),
    "a coding behind another": posted(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "a coding twice": posted(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS),
    "a coding that is none": posted(b"Transfer-Encoding: identity", b"Content-Length: 2"),
    "a coding behind a control character": posted(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
    "chunks in HTTP/1.0": posted(b"Transfer-Encoding: chunked", body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "a blank before the colon": posted(b"Transfer-Encoding : chunked", b"Content-Length: 2"),
    "a zero byte": posted(b"X: a\0b", b"Content-Length: 2"),
    "a zero byte in a name": posted(b"X\0: a", b"Content-Length: 2"),
    "a lone carriage return": posted(b"X: a\rContent-Length: 2"),
    "a head that begins with a blank": posted(b"Content-Length: 2").replace(b"Host", b" Host", 1),
    "two hosts": posted(b"Host: other", b"Content-Length: 2"),
    "no host": posted(b"Content-Length: 2").replace(b"Host: localhost\r\n", b"", 1),
    "a size with a sign": posted(b"Transfer-Encoding: chunked", body=b"+2\r\n{}\r\n" + CHUNKS),
    "a size in 0x": posted(b"Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n" + CHUNKS),
    "a size without end": posted(b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n{}\r\n" + CHUNKS),
    "a chunk that is longer than it says": posted(b"Transfer-Encoding: chunked", body=b"2\r\n{}XX" + CHUNKS),
    "chunks with bare line feeds": posted(b"Transfer-Encoding: chunked", body=b"2\n{}\n0\n\n"),
}
"""Each of them can be read in two ways, or in none."""

READ_IN_ONE_WAY = {
    "the same length twice": posted(b"Content-Length: 2", b"Content-Length: 2"),
    "a line that goes on": posted(b"X: a\r\n b", b"Content-Length: 2"),
    "a length on a line that goes on": posted(b"Content-Length:\r\n 2"),
    "a coding on a line that goes on": posted(b"Transfer-Encoding:\r\n chunked", body=CHUNKS),
    "bare line feeds": posted(b"Content-Length: 2").replace(b"\r\n", b"\n"),
    "a length among the trailers": posted(b"Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 99\r\n\r\n"),
}
"""Odd, and RFC 9112 says how they may be read (sections 2.2, 5.2, 6.3): what is behind them is one request, whole."""


async def statuses(gateway: Gateway, data: bytes) -> tuple[list[int], bool]:
    """Of the answers to `data`, until the gateway closes the connection; and whether there is an id among them."""
    where = urlsplit(gateway.url)
    assert where.hostname is not None
    assert where.port is not None
    received = b""
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(where.hostname, where.port) as stream:
            await stream.send(data)
            try:
                async for chunk in stream:
                    received += chunk
            except anyio.BrokenResourceError:
                pass  # closed with something unread
    found = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    return found, b'{"sessionId":' in received


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_what_can_be_read_in_two_ways_is_refused_and_what_is_behind_it_is_not_read(
    one_gateway: Gateway, data: bytes
) -> None:
    assert await statuses(one_gateway, data) in [([400], False), ([501], False)]


@pytest.mark.parametrize("data", READ_IN_ONE_WAY.values(), ids=READ_IN_ONE_WAY)
async def test_what_is_odd_is_read_as_it_has_to_be(one_gateway: Gateway, data: bytes) -> None:
    assert await statuses(one_gateway, data) == ([400, 200], True)
