"""The benchmark's own HTTP client reads what servers write, whole or in pieces."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.http1 import Chunks, Closed, Connection, Events, Malformed, Stream, get, parse, path_of, post

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;of=it\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n"
TAKEN = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\nabc"

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [(JSON, 200, b"{}"), (CHUNKED, 200, b"abcde"), (TAKEN, 202, b""), (b"HTTP/1.1 204 No\r\n\r\n", 204, b"")],
)
def test_an_answer_is_read_as_soon_as_it_is_whole_and_not_before(data: bytes, status: int, body: bytes) -> None:
    assert all(parse(data[:cut]) is None for cut in range(len(data)))
    found = parse(data + b"next")
    assert found is not None
    answer, rest = found
    assert (answer.status, answer.body, rest) == (status, body, b"next")


def test_an_answer_without_a_length_is_whole_when_the_connection_ends() -> None:
    assert parse(UNTIL_THE_END) is None
    found = parse(UNTIL_THE_END, ended=True)
    assert found is not None
    assert found[0].body == b"abc"


def test_a_header_is_found_in_any_case_and_keeps_its_own() -> None:
    found = parse(b"HTTP/1.1 200 OK\r\nMCP-Session-ID:  aBc \r\nContent-Length: 0\r\n\r\n")
    assert found is not None
    assert found[0].header(b"mcp-session-id") == b"aBc"
    assert found[0].header(b"etag") == b""


@pytest.mark.parametrize("data", [b"SSH-2.0-something\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_said(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


def test_a_chunk_without_a_size_is_said() -> None:
    with pytest.raises(Malformed):
        Chunks().feed(b"many\r\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events_are_read_whatever_their_lines_end_with_and_wherever_they_are_cut(end: bytes) -> None:
    stream = b"\n".join((b": a comment", b"", b"event: endpoint", b"data: /x", b"", b"data:a", b"data: b", b"", b""))
    stream = stream.replace(b"\n", end)
    for cut in range(len(stream)):
        events = Events()
        found = events.feed(stream[:cut]) + events.feed(stream[cut:])
        assert found == [(b"endpoint", b"/x"), (b"message", b"a\nb")], cut


def test_a_url_is_cut_to_its_path_and_query() -> None:
    assert path_of("http://127.0.0.1:1/message?sessionId=x") == "/message?sessionId=x"
    assert path_of("/message") == "/message"


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[int]:
    """The port of a server that does with each connection what it is told."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answering(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def test_a_connection_that_was_closed_while_it_was_idle_is_made_again() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(JSON)

    async with serving(once) as port:
        connection = Connection(port)
        answers = [await connection.request(get("/")) for _ in range(3)]
        connection.close()
    assert [answer.body for answer in answers] == [b"{}"] * 3


async def test_an_answer_that_breaks_off_is_none() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(JSON[:-1])

    async with serving(half) as port:
        connection = Connection(port)
        for _ in range(2):
            with pytest.raises(Closed):
                await connection.request(post("/", b"{}"))


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_stream_tells_each_event_and_its_end(chunked: bool) -> None:
    event = b"event: endpoint\ndata: /message\n\n"

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        kind = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n")
        writer.write(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)

    heard: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
    async with serving(stream) as port:
        listening = Stream(lambda name, data: heard.put_nowait((name, data)))
        assert await listening.open(port, "/sse") == 200
        async with asyncio.timeout(10):
            assert await heard.get() == (b"endpoint", b"/message")
            assert await heard.get() == (b"closed", b"")
