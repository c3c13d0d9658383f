"""The same request by the shorter way and by the longer one: the answer is the same, whatever is wrong with it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from embedding.configuration import checked
from embedding.running import running
from gateway.hot.asgi import BOUND, InFront, head_of
from gateway.hot.exchange import HotApp
from tests.support.gateway import LIGHT, QUICK, light
from tests.support.processes import PATIENCE
from tests.support.rawmcp import HELLO, call, notification, request
from tests.support.users import FRONT, KEYS, OTHER, of

pytestmark = pytest.mark.slow

APP = "https://app.example"
CLOSED: dict[str, Any] = {
    **KEYS,
    "cors": {"origins": [APP]},
    "access": [{"allow": "*", "to": ["*"]}, {"deny": "bearer:ci", "to": "secret"}, {"deny": "*", "to": "*:die"}],
    "rate_limits": [{"per": "user", "server": "rated", "limit": "20/year"}],
}
"""A gateway that asks who somebody is; the other one does not."""

SERVERS: dict[str, Any] = {
    "light": light(max_message_bytes=4096),
    "rated": LIGHT,
    "missing": {"command": "no-such-command"},
    "secret": LIGHT,
    "own": {**LIGHT, "headers": ["X-Token"], "env": {"TOKEN": "${header:X-Token}"}, "allow_shared_uid": True},
}
HOME = {"Host": "localhost", "Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
SHORT_LIVED = re.compile(
    rb"gw\.[\w-]{32}|mcp-session-id: \S+|x-ratelimit-(?:remaining|reset): \d+|retry-after: \d+|(?m:^id: \S+)"
)


@dataclass
class Row:
    """A request. In its path and its headers, `{mcp}` and the like stand for ids of sessions."""

    path: str
    body: Any = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    method: str = "POST"
    status: int = HTTPStatus.OK
    is_hot: bool = True
    twice: tuple[str, str] | None = None


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def shown(self) -> tuple[int, list[bytes], bytes]:
        """What is the same each time."""
        lines = sorted(SHORT_LIVED.sub(b"...", b"%b: %b" % (name.lower(), value)) for name, value in self.headers)
        return self.status, lines, SHORT_LIVED.sub(b"...", self.body)


class World:
    """A gateway in this process, with sessions of one user."""

    def __init__(self, front: InFront, credentials: dict[str, str]) -> None:
        self.front = front
        self.hot = cast("HotApp", vars(front)["_hot"])
        self.credentials = credentials
        self.ids: dict[str, str] = {}

    def scope(self, row: Row) -> Any:
        """Its request, as an ASGI server has it."""
        path, _, query = row.path.format(**self.ids).partition("?")
        given = {**HOME, **self.credentials, **row.headers}
        headers = [(name.lower(), value.format(**self.ids)) for name, value in given.items() if value is not None]
        headers += [row.twice] if row.twice else []
        body = self.body(row)
        headers.append(("content-length", str(len(body))))
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": row.method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 1234), "server": ("127.0.0.1", 80), "extensions": {}, "state": {},
        }  # fmt: skip

    @staticmethod
    def body(row: Row) -> bytes:
        return row.body if isinstance(row.body, bytes) else json.dumps(row.body).encode()

    async def ask(self, row: Row, *, by_hot: bool) -> Answer:
        """The answer by either way."""
        answer, over = Answer(), anyio.Event()
        sent = [{"type": "http.request", "body": self.body(row), "more_body": False}]

        async def receive() -> Any:
            if sent:
                return sent.pop()
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            if event["type"] == "http.response.start":
                answer.status, answer.headers = event["status"], list(event["headers"])
            elif event["type"] == "http.response.body":
                answer.body += event.get("body", b"")
                if not event.get("more_body", False):
                    over.set()

        app = self.front if by_hot else self.front.app
        with anyio.fail_after(PATIENCE):
            await app(self.scope(row), receive, send)
        return answer

    async def open(self, server: str, **headers: str) -> str:
        """The id of a new session of Streamable HTTP."""
        row = Row(f"/{server}/mcp", request(0, "initialize", HELLO), {**headers})
        answer = await self.ask(row, by_hot=True)
        found = dict(answer.headers).get(b"mcp-session-id")
        assert found is not None, answer
        return found.decode()

    async def open_set(self) -> str:
        answer = await self.ask(Row("/api/sessionid", method="GET"), by_hot=True)
        return str(json.loads(answer.body)["sessionId"])


@asynccontextmanager
async def world(where: Path, keys: dict[str, Any], credentials: dict[str, str]) -> AsyncIterator[World]:
    config = checked({**QUICK, "runtime_dir": where / "runtime", "servers": SERVERS, **keys})
    async with running(config) as gateway:
        front = gateway.app.asgi_app
        assert isinstance(front, InFront)
        here = World(front, credentials)
        here.ids = {
            "mcp": await here.open("light"),
            "over": await here.open("light"),
            "rest": await here.open_set(),
            "gone": await here.open_set(),
        }
        for row in (
            Row("/light/mcp", headers={"Mcp-Session-Id": "{over}"}, method="DELETE"),
            Row("/api/sessionid?sessionId={gone}", method="DELETE"),
        ):
            assert (await here.ask(row, by_hot=False)).status == HTTPStatus.NO_CONTENT
        # Its child is to be there before any test, and to stay.
        assert (await here.ask(Row("/api/light/notes?sessionId={rest}", {}), by_hot=False)).status == HTTPStatus.OK
        yield here


@pytest.fixture(scope="module")
async def open_world(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[World]:
    """Nobody has to say who they are."""
    async with world(tmp_path_factory.mktemp("open"), {}, {}) as here:
        yield here


@pytest.fixture(scope="module")
async def closed_world(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[World]:
    """Everybody has to."""
    async with world(tmp_path_factory.mktemp("closed"), CLOSED, of("alice")) as here:
        here.ids["personal"] = await here.open("own", **{"X-Token": "mine"})
        here.ids["rated"] = await here.open("rated")
        yield here


async def is_the_same(here: World, row: Row) -> Answer:
    """Ask by both ways; the answer, which is the same, and comes by the way that it should."""
    head = head_of(here.scope(row))
    assert head is not None
    taken = here.hot.takes(head) is not None and len(here.body(row)) <= BOUND
    assert taken is row.is_hot
    long, short = await here.ask(row, by_hot=False), await here.ask(row, by_hot=True)
    assert short.shown() == long.shown()
    assert short.status == row.status, short
    return short


IN: dict[str, str | None] = {"Mcp-Session-Id": "{mcp}"}
ECHO = call(1, "echo", text="hello")
NO_TEXT = b'{"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"\xff"}}}'
MODERN = {**IN, "Mcp-Protocol-Version": "2026-07-28"}

STREAMABLE = {
    "a call": Row("/light/mcp", ECHO, IN),
    "a call at the shared path": Row("/light", ECHO, IN),
    "a call as a stream": Row("/light/mcp", ECHO, {**IN, "Accept": "text/event-stream"}),
    "a call for JSON alone": Row("/light/mcp", ECHO, {**IN, "Accept": "application/json"}),
    "a call without Accept": Row("/light/mcp", ECHO, {**IN, "Accept": None}),
    "a ping": Row("/light/mcp", request("p", "ping"), IN),
    "a notification": Row("/light/mcp", notification("x"), IN, status=202),
    "an answer to nothing": Row("/light/mcp", {"jsonrpc": "2.0", "id": 1, "result": {}}, IN, status=202),
    "a batch where there are none": Row("/light/mcp", [ECHO], IN, status=400),
    "initialize once more": Row("/light/mcp", request(0, "initialize", HELLO), IN, status=400),
    "a message to nobody": Row("/light/mcp", ECHO, {"Mcp-Session-Id": "gw.none"}, status=404),
    "a message to a session that has ended": Row("/light/mcp", ECHO, {"Mcp-Session-Id": "{over}"}, status=404),
    "a session of another server": Row("/rated/mcp", ECHO, IN, status=404),
    "a session of another door": Row("/light/message?sessionId={mcp}", ECHO, status=404),
    "an unknown server": Row("/nothing/mcp", ECHO, IN, status=404),
    "what is no JSON": Row("/light/mcp", b"{", IN, status=400),
    "what is no message": Row("/light/mcp", {"id": 1}, IN, status=400),
    "what is no text, and names a version": Row("/light/mcp", NO_TEXT, IN, status=400),
    "a slash behind the shared path": Row("/light/", ECHO, IN),
    "nothing": Row("/light/mcp", b"", IN, status=400),
    "another type": Row("/light/mcp", ECHO, {**IN, "Content-Type": "text/plain"}, status=415),
    "no type": Row("/light/mcp", ECHO, {**IN, "Content-Type": None}, status=415),
    "what is too long": Row("/light/mcp", call(1, "echo", text="x" * 5000), IN, status=413),
    "what is far too long": Row("/light/mcp", b"x" * (BOUND + 1), IN, status=413, is_hot=False),
    "an answer that nobody can take": Row("/light/mcp", ECHO, {**IN, "Accept": "image/png"}, status=406),
    "a version that there is not": Row("/light/mcp", ECHO, {**IN, "Mcp-Protocol-Version": "1999-01-01"}, status=400),
    "a message of the stateless revision": Row("/light/mcp", ECHO, MODERN, status=400, is_hot=False),
    "no session": Row("/light/mcp", ECHO, status=400),
    "initialize of a server that cannot be started": Row("/missing/mcp", request(0, "initialize", HELLO)),
    "initialize as a notification": Row("/light/mcp", notification("initialize"), status=400),
    "initialize among others": Row("/light/mcp", [request(0, "initialize", HELLO)], status=400),
    "the end of no session": Row("/light/mcp", method="DELETE", status=400),
    "the end of nobody's": Row("/light/mcp", headers={"Mcp-Session-Id": "gw.none"}, method="DELETE", status=404),
    "the end of what has ended": Row("/light", headers={"Mcp-Session-Id": "{over}"}, method="DELETE", status=404),
    "the end of another server's": Row("/rated/mcp", headers=IN, method="DELETE", status=404),
    "the end in the stateless revision": Row("/light/mcp", headers=MODERN, method="DELETE", status=405, is_hot=False),
    "two ids": Row("/light?sessionId={rest}", ECHO, IN, status=400),
    "HEAD": Row("/light/mcp", headers=IN, method="HEAD", status=405, is_hot=False),
    "another method": Row("/light/mcp", headers=IN, method="PUT", status=405, is_hot=False),
    "a page of another site": Row("/light/mcp", ECHO, {**IN, "Origin": "https://evil.example"}, status=403),
    "a browser's word for it": Row("/light/mcp", ECHO, {**IN, "Sec-Fetch-Site": "cross-site"}, status=403),
    "a page of one's own": Row("/light/mcp", ECHO, {**IN, "Origin": "http://localhost"}),
    "two hosts": Row("/light/mcp", ECHO, IN, status=400, is_hot=False, twice=("origin", "http://localhost")),
    "a length that is doubtful": Row("/light/mcp", ECHO, {**IN, "Transfer-Encoding": "chunked"}, status=400),
    "a stream without a session": Row("/light/mcp", method="GET", status=400),
    "a stream of a session that has ended": Row(
        "/light/mcp", headers={"Mcp-Session-Id": "{over}"}, method="GET", status=404
    ),
    "a server's own path": Row("/health/mcp", ECHO, IN, status=404, is_hot=False),
    "a slash at the end": Row("/light/mcp/", ECHO, IN, is_hot=False),
}
STREAMABLE["two hosts"].headers = {**IN, "Origin": "http://localhost"}

REST = {
    "a call": Row("/api/light/echo?sessionId={rest}", {"text": "hello"}),
    "a call without arguments": Row("/api/light/notes?sessionId={rest}", headers={"Content-Type": None}),
    "a timeout": Row("/api/light/echo?sessionId={rest}&timeout=10s", {"text": "hello"}),
    "a timeout that is none": Row("/api/light/echo?sessionId={rest}&timeout=x", {"text": "hello"}, status=400),
    "questions that are neither": Row("/api/light/echo?sessionId={rest}&questions=x", {}, status=400),
    "a new id": Row("/api/sessionid", method="GET"),
    "the end of an unknown id": Row("/api/sessionid?sessionId=gw.none", method="DELETE", status=404),
    "the end of an id that has ended": Row("/api/sessionid?sessionId={gone}", method="DELETE", status=404),
    "the end of a session by REST": Row("/api/sessionid?sessionId={mcp}", method="DELETE", status=404),
    "the end of no id": Row("/api/sessionid", method="DELETE", status=400),
    "a new id by another method": Row("/api/sessionid", method="PUT", status=405, is_hot=False),
    "a new id for a page of another site": Row(
        "/api/sessionid", headers={"Origin": "https://evil.example"}, method="GET", status=403
    ),
    "an unknown tool": Row("/api/light/nothing?sessionId={rest}", {}, status=404),
    "an unknown server": Row("/api/nothing/echo?sessionId={rest}", {}, status=404),
    "an unknown id": Row("/api/light/echo?sessionId=gw.none", {}, status=404),
    "an id of a set that has ended": Row("/api/light/echo?sessionId={gone}", {}, status=404),
    "an id of a session": Row("/api/light/echo?sessionId={mcp}", {}, status=404),
    "an empty id": Row("/api/light/echo?sessionId=", {}, status=400),
    "no id": Row("/api/light/echo", {}, status=400, is_hot=False),
    "what is no JSON": Row("/api/light/echo?sessionId={rest}", b"{", status=400),
    "what is no object": Row("/api/light/echo?sessionId={rest}", [1], status=400),
    "a member that stands twice": Row("/api/light/echo?sessionId={rest}", b'{"a":1,"a":2}', status=400),
    "another type": Row("/api/light/echo?sessionId={rest}", b"x", {"Content-Type": "text/plain"}, status=415),
    "what is too long": Row("/api/light/echo?sessionId={rest}", {"text": "x" * 5000}, status=413),
    "a page of another site": Row(
        "/api/light/echo?sessionId={rest}", {}, {"Origin": "https://evil.example"}, status=403
    ),
    "a key": Row("/api/light/notes?sessionId={rest}", {}, {"Idempotency-Key": '"'}, status=400, is_hot=False),
    "a stream": Row(
        "/api/light/sleep?sessionId={rest}", b"{", {"Accept": "text/event-stream"}, status=400, is_hot=False
    ),
    "bytes": Row("/api/light/echo?sessionId={rest}&raw=true", {"text": "hello"}, status=406, is_hot=False),
}

SSE = {
    "a message to nobody": Row("/light/message?sessionId=gw.none", ECHO, status=404),
    "a message without an id": Row("/light/message", ECHO, status=400, is_hot=False),
    "an empty id": Row("/light/message?sessionId=", ECHO, status=400),
    "what is no JSON": Row("/light/message?sessionId=gw.none", b"{", status=404),
    "an unknown server": Row("/nothing/message?sessionId=gw.none", ECHO, status=404),
    "an unknown server's stream": Row("/nothing/sse", method="GET", status=404),
    "a stream that nobody can take": Row("/light/sse", headers={"Accept": "image/png"}, method="GET", status=406),
}

TABLES = {"MCP": STREAMABLE, "REST": REST, "SSE": SSE}
EVERY = {f"{door}: {name}": row for door, rows in TABLES.items() for name, row in rows.items()}
FOR_ONE_OF_MANY = {"SSE: an unknown server's stream"}
"""Where a front's user opens something, and there is no such server, the status is another (`gateway.http.spared`)."""


@pytest.mark.parametrize("name", EVERY)
async def test_an_answer_is_the_same_by_either_way(open_world: World, name: str) -> None:
    await is_the_same(open_world, EVERY[name])


@pytest.mark.parametrize("name", EVERY)
async def test_it_is_where_everybody_has_to_say_who_they_are(closed_world: World, name: str) -> None:
    row = EVERY[name]
    await is_the_same(closed_world, replace(row, status=403) if name in FOR_ONE_OF_MANY else row)


AT = "/light/mcp"
SECRET = "/secret/mcp"
STRANGERS = {
    "nobody": Row(AT, ECHO, {**IN, "Authorization": None}, status=401),
    "a wrong token": Row(AT, ECHO, {**IN, "Authorization": "Bearer wrong"}, status=401),
    "another scheme": Row(AT, ECHO, {**IN, "Authorization": "Digest x"}, status=401),
    "somebody else": Row(AT, ECHO, {**IN, **of("bob")}, status=404),
    "another key": Row(AT, ECHO, {**IN, **OTHER, "X-Gateway-User": None}, status=404),
    "a user that cannot be one": Row(AT, ECHO, {**IN, **FRONT, "X-Gateway-User": "{{{{USER}}}}"}, status=403),
    "one who may not": Row(SECRET, ECHO, {**IN, **OTHER, "X-Gateway-User": None}, status=404),
    "nobody, over REST": Row("/api/light/echo?sessionId={rest}", {}, {"Authorization": None}, status=401),
    "somebody else, over REST": Row("/api/light/echo?sessionId={rest}", {}, of("bob"), status=404),  # type: ignore[arg-type]
    "a tool that nobody may use": Row(AT, call(1, "die"), IN),
    "that tool, over REST": Row("/api/light/die?sessionId={rest}", {}, status=404),
    "a listed page": Row(AT, ECHO, {**IN, "Origin": APP}),
    "a listed page that is nobody": Row(AT, ECHO, {**IN, "Origin": APP, "Authorization": None}, status=401),
    "a listed page, over REST": Row("/api/light/echo?sessionId={rest}", {"text": "x"}, {"Origin": APP}),
    "one who brings nothing": Row("/own/mcp", ECHO, {"Mcp-Session-Id": "{personal}"}),
    "one who brings their own": Row("/own/mcp", ECHO, {"Mcp-Session-Id": "{personal}", "X-Token": "mine"}),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_whoever_may_not_is_told_the_same(closed_world: World, name: str) -> None:
    await is_the_same(closed_world, STRANGERS[name])


OPENINGS = {
    "at its own path": Row("/light/mcp", request(0, "initialize", HELLO)),
    "at the shared path": Row("/light", request(0, "initialize", HELLO)),
    "as a stream": Row("/light/mcp", request(0, "initialize", HELLO), {"Accept": "text/event-stream"}),
    "for JSON alone": Row("/light/mcp", request(0, "initialize", HELLO), {"Accept": "application/json"}),
}


@pytest.mark.parametrize("opens", OPENINGS.values(), ids=OPENINGS)
async def test_a_session_is_opened_and_ended_the_same_by_either_way(open_world: World, opens: Row) -> None:
    opened = [await open_world.ask(opens, by_hot=each) for each in (False, True)]
    assert opened[0].shown() == opened[1].shown()
    assert b"serverInfo" in opened[0].body
    ends = [
        Row(opens.path, headers={"Mcp-Session-Id": dict(each.headers)[b"mcp-session-id"].decode()}, method="DELETE")
        for each in opened
    ]
    ended = [await open_world.ask(row, by_hot=each) for row, each in zip(ends, (False, True), strict=True)]
    assert ended[0].shown() == ended[1].shown()
    assert ended[0].status == HTTPStatus.NO_CONTENT
    for row in ends:
        await is_the_same(open_world, replace(row, status=HTTPStatus.NOT_FOUND))
    # The supervisor answers behind its word that both have ended, with which their pipes are closed.
    await open_world.ask(Row("/health", method="GET"), by_hot=False)


async def test_at_an_unknown_server_there_is_no_session_by_either_way(open_world: World) -> None:
    await is_the_same(open_world, Row("/nothing/mcp", request(0, "initialize", HELLO), status=404))


async def test_where_the_host_is_not_ours_nobody_is_answered_by_either_way(open_world: World) -> None:
    await is_the_same(open_world, Row(AT, ECHO, {**IN, "Host": "evil.example"}, status=421))


async def test_whoever_asks_too_often_is_told_so_by_either_way(closed_world: World) -> None:
    row = Row("/rated/mcp", ECHO, {"Mcp-Session-Id": "{rated}"})
    passed = await is_the_same(closed_world, row)
    assert b"x-ratelimit-remaining" in dict(passed.headers)
    while dict((await closed_world.ask(row, by_hot=True)).headers)[b"x-ratelimit-remaining"] != b"0":
        continue
    refused = await is_the_same(closed_world, row)
    assert json.loads(refused.body)["error"]["data"]["code"] == "rate_limited"
    assert b"retry-after" in dict(refused.headers)
    by_rest = await is_the_same(closed_world, Row("/api/rated/echo?sessionId={rest}", {}, status=429))
    assert json.loads(by_rest.body)["error"]["code"] == "rate_limited"
