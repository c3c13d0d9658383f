"""Anything over HTTP: there is an answer, it is the client's fault, and nobody else notices."""

import itertools
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fuzz import ANY_BYTES, IDS, messages, written
from tests.support.fuzz import VALUES as JSON
from tests.support.gateway import SERVERS, Gateway, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import Streamable, call

pytestmark = pytest.mark.slow

MEEK: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "meek.py")]}
LIMIT = 64 * 1024

NAMES = [
    "Accept",
    "Content-Type",
    "Mcp-Session-Id",
    "Mcp-Protocol-Version",
    "Last-Event-ID",
    "Mcp-Method",
    "Mcp-Name",
    "Origin",
    "Authorization",
    "Content-Encoding",
    "Cookie",
    "Expect",
    "X-Gateway-User",
]
PRINTABLE = st.text(alphabet=st.characters(codec="latin-1", min_codepoint=32, exclude_characters="\x7f"), max_size=20)
HINTS = [b"*/*", b"application/json", b"text/event-stream", b"application/json, text/event-stream", b"a/b;c="]
HINTS += [b"application/json; charset=\xff", b"application/json;q=nan", b"q=;,", b'a/b;c="', b"multipart/form-data"]
HINTS += [b"2025-03-26", b"2025-06-18", b"2025-11-25", b"2026-07-28", b"null", b"http://[", b"http://\xff", b"gzip"]
HINTS += [b"Bearer x", b"Basic =", b"=?base64?eA==?=", b"gw.x-1", b"-1", b"100-continue"]
VALUES = st.one_of(st.sampled_from(HINTS), PRINTABLE.map(lambda text: text.strip().encode("latin-1")))
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A message, nearly one, or none at all."""
    kind = draw(st.integers(0, 9))
    if kind < 5:
        return draw(written(draw(messages())))
    if kind == 5:
        return draw(written([draw(messages()) for _ in range(draw(st.integers(0, 3)))]))
    if kind == 6:
        deep = draw(st.sampled_from([1, 300, 800, 900, 2000])) + draw(st.integers(0, 99))
        data = b'{"_meta":{"progressToken":1},"name":"echo","arguments":%b}' % (b'{"a":' * deep + b"1" + b"}" * deep)
        method = draw(st.sampled_from(["tools/call", "notifications/cancelled", "initialize"]))
        return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": msgspec.Raw(data)})
    if kind == 7:
        return b'{"jsonrpc":"2.0","id":1,"method":"%b"}' % (b"x" * draw(st.sampled_from([10, LIMIT, LIMIT * 2])))
    return draw(ANY_BYTES)


@dataclass(frozen=True)
class Post:
    """One request of a client."""

    path: str
    headers: list[tuple[str, bytes]]
    body: bytes
    in_session: bool = field(default=True)


POSTS = st.builds(
    Post,
    st.sampled_from(["/meek/mcp", "/meek", "/meek/message", "/meek?sessionId=x", "/api/meek/echo?sessionId=SET"]),
    HEADERS,
    bodies(),
    st.booleans(),
)


@dataclass
class Peers:
    """A gateway, a session that is given everything, and one that wants to be left in peace."""

    gateway: Gateway
    given: Streamable
    other: Streamable
    set: str
    numbers: "itertools.count[int]"

    async def post(self, post: Post) -> httpx2.Response:
        """Send it."""
        headers = {name.lower().encode(): value for name, value in post.headers}
        if post.in_session:
            ours = {name.lower().encode(): value.encode() for name, value in self.given.headers.items()}
            headers = {**ours, b"content-type": b"application/json", **headers}
            headers[b"mcp-session-id"] = ours[b"mcp-session-id"]
        path = post.path.replace("SET", self.set)
        return await self.gateway.http.post(path, headers=list(headers.items()), content=post.body)

    async def others_go_on(self) -> None:
        """The other session works, and gets its own answers."""
        number = next(self.numbers)
        answer = await self.other.post(call(number, "echo", number=number))
        said = answer.json()
        assert said["id"] == number
        assert said["result"]["structuredContent"]["params"]["arguments"] == {"number": number}


@pytest.fixture(scope="module")
async def peers(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Peers]:
    """A gateway for all that is sent here."""
    path = tmp_path_factory.mktemp("gateway")
    async with running({"meek": {**MEEK, "max_message_bytes": LIMIT, "anonymous": "shared"}}, tmp_path=path) as gateway:
        given, other = [await Streamable(gateway.http, "/meek/mcp").open() for _ in range(2)]
        yield Peers(gateway, given, other, await gateway.session_id(), itertools.count())


@settings(max_examples=200)
@given(post=POSTS)
async def test_whatever_is_posted_has_an_answer_and_nobody_else_notices(peers: Peers, post: Post) -> None:
    answer = await peers.post(post)
    assert answer.status_code < 500, answer.text
    kind = answer.headers.get("content-type", "")
    if kind.startswith("application/json"):
        json.loads(answer.content)
    else:
        assert kind.startswith("text/event-stream") or answer.content == b""
    await peers.others_go_on()


META = "io.modelcontextprotocol/"
METHODS = st.sampled_from(["server/discover", "tools/call", "tools/list", "resources/read", "ping", "initialize", "x"])
NAMES_OF_TOOLS = st.sampled_from(["echo", "raw", "=?base64?ZWNobw==?=", "", 1])


@st.composite
def modern_posts(draw: st.DrawFn) -> Post:
    """A request of 2026-07-28, or nearly one."""
    method, name = draw(METHODS), draw(NAMES_OF_TOOLS)
    meta: Any = {f"{META}protocolVersion": draw(st.sampled_from(["2026-07-28", "2026-07-28", "2025-11-25", 1]))}
    meta[f"{META}clientCapabilities"] = draw(st.sampled_from([{}, {}, {"roots": {}}, 1]))
    meta.update(draw(st.dictionaries(st.sampled_from(["progressToken", f"{META}logLevel", "x"]), JSON, max_size=2)))
    params: dict[str, Any] = {"_meta": meta, "name": name, "arguments": {"line": "{}"}}
    params.update(
        draw(st.dictionaries(st.sampled_from(["requestState", "inputResponses", "arguments"]), JSON, max_size=2))
    )
    if draw(st.integers(0, 9)) == 0:
        deep = 800 + draw(st.integers(0, 150))
        params["arguments"] = msgspec.Raw(b'{"a":' * deep + b"1" + b"}" * deep)
    headers = [
        ("Mcp-Protocol-Version", b"2026-07-28"),
        ("Mcp-Method", method.encode()),
        ("Mcp-Name", str(name).encode()),
    ]
    extra = draw(HEADERS) if draw(st.booleans()) else []
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": draw(IDS), "method": method, "params": params})
    usual = [("Accept", b"application/json, text/event-stream"), ("Content-Type", b"application/json")]
    return Post("/meek/mcp", [*usual, *headers, *extra], body, in_session=False)


@settings(max_examples=100)
@given(post=modern_posts())
async def test_whatever_a_client_without_a_session_posts_has_an_answer(peers: Peers, post: Post) -> None:
    answer = await peers.post(post)
    assert answer.status_code < 500, answer.text
    if answer.headers["content-type"].startswith("application/json"):
        assert json.loads(answer.content)["jsonrpc"] == "2.0"
    await peers.others_go_on()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PIECES = [b"POST /meek/mcp HTTP/1.1\r\n", b"GET /health HTTP/1.0\r\n", b"Host: 127.0.0.1\r\n", b"\r\n", PREFACE]
PIECES += [b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: h2c\r\n"]
PIECES += [
    b"Content-Type: application/json\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"{}",
    b"\n",
    b"X: %b\r\n" % (b"x" * 1000),
]
PIECES += [
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
]
REQUESTS = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=8).map(b"".join)


@settings(max_examples=100)
@given(data=REQUESTS)
async def test_whatever_comes_over_a_connection_is_answered_or_closed(peers: Peers, data: bytes) -> None:
    address = urlsplit(peers.gateway.url)
    assert address.hostname is not None
    assert address.port is not None
    received = b""
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(address.hostname, address.port) as stream:
            try:
                await stream.send(data)
                await stream.send_eof()
                async for chunk in stream:
                    received += chunk
            except (anyio.BrokenResourceError, OSError):
                pass  # it was closed before all was sent
    settings_of_http2 = received.startswith(b"\0\0") and PREFACE in data
    assert settings_of_http2 or received[:9] in (b"", b"HTTP/1.1 "), received
    assert received[9:10] != b"5", received
    await peers.others_go_on()


@pytest.mark.parametrize("door", ["session", "no session", "rest"])
async def test_no_depth_lies_between_what_the_door_reads_and_what_comes_after_it(peers: Peers, door: str) -> None:
    """Whoever reads a message again stands somewhere else on the stack, and may not get as deep into it.

    The very last levels that a door can read are left out here: see `Relay._to_child`.
    """
    for depth in range(600, 960, 3):
        deep = b'{"a":%b}' % (b'{"a":' * depth + b"1" + b"}" * depth)
        meta = {"progressToken": 1, f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": {"roots": {}}}
        params = {"_meta": meta, "name": "echo", "arguments": msgspec.Raw(deep)}
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = [("Content-Type", b"application/json")]
        match door:
            case "session":
                del meta[f"{META}protocolVersion"]
                body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
                answer = await peers.post(Post("/meek/mcp", headers, body))
            case "no session":
                headers += [
                    ("Mcp-Protocol-Version", b"2026-07-28"),
                    ("Mcp-Method", b"tools/call"),
                    ("Mcp-Name", b"echo"),
                ]
                answer = await peers.post(Post("/meek/mcp", headers, body, in_session=False))
            case _:
                answer = await peers.post(Post("/api/meek/echo?sessionId=SET", headers, deep, in_session=False))
        assert answer.status_code < 500 or answer.json()["error"]["code"] == "child_error", (depth, answer.text)


async def test_an_answer_that_is_nested_as_deep_as_it_may_be_is_the_servers_fault_at_most(peers: Peers) -> None:
    """A REST call stands deeper on the stack than the child's reader, which has let the answer pass."""
    depth, status = 600, 200
    while status == 200:
        depth += 10
        deep = '{"jsonrpc":"2.0","id":ID,"result":' + '{"a":' * depth + "1" + "}" * (depth + 1)
        with anyio.fail_after(PATIENCE):
            answer = await peers.gateway.call(peers.set, "raw", "meek", line=deep)
        status = answer.status_code
    assert answer.json()["error"]["code"] == "child_error", answer.text
