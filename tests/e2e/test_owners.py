"""Every door checks the owner: each route that the gateway has, asked by others for what is one user's.

The table says of every route how it is attacked: with each of the user's own ids where it takes one, or what it shows to
whoever may ask. A route that is not in the table fails, so a new one cannot forget its owner.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.config.auth import Auth
from common.config.model import Debug, GatewaySettings
from gateway.app import wire
from tests.gateway.test_succession import next_gateway
from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Events, Sse, Streamable, call, request, said, sse
from tests.support.rawmodern import Modern, headers_of
from tests.support.rawmodern import call as modern_call
from tests.support.rawws import websocket
from tests.support.users import FRONT, HEADER, KEYS, OTHER, of

pytestmark = pytest.mark.slow

Headers = dict[str, str]
Answer = tuple[int, bytes]

THIEVES: dict[str, Headers] = {
    "another user of the same key": of("bob"),
    "the same key without a user": FRONT,
    "another key": OTHER,
    "another key that says it is the user": {**OTHER, HEADER: "ann"},
}


@dataclass(frozen=True)
class Ids:
    """All that somebody could have got hold of."""

    session: str
    event: str
    set: str
    sse: str
    certificate: str
    handle: str
    question: str
    listed: tuple[str, ...]
    """The handles under which `/api/v1/sessions` lists them."""

    def none_of_them(self) -> "Ids":
        """The same, as nobody ever got them: other random bits."""
        names = ("session", "set", "sse", "certificate", "handle", "question")
        listed = tuple(each[:-8] + "01234567" for each in self.listed)
        return replace(self, listed=listed, **{name: getattr(self, name)[:-8] + "AAAAaaaa" for name in names})


@dataclass
class Victim:
    """One user's sessions, through every door."""

    streamable: Streamable
    sse: Sse
    modern: Modern
    ids: Ids

    async def is_untouched(self, gateway: Gateway) -> None:
        """Each session is there still, and what was noted in it, and nothing else."""
        assert await self.streamable.call(90, "notes") == ["mine"]
        called = await gateway.http.post("/api/light/notes", params={"sessionId": self.ids.set}, json={})
        assert said({"result": called.json()}) == ["mine"]
        answer = await gateway.http.post(self.sse.url, json=call(91, "notes"))
        assert answer.status_code == 202
        assert said(await self.sse.events.message()) == ["mine"]
        assert await self.modern.call(92, "notes", gateway_session=self.ids.handle) == '["mine"]'
        assert (await gateway.http.get(f"/api/certificates/{self.ids.certificate}")).status_code == 200
        assert (await gateway.http.get(f"/api/v1/questions/{self.ids.question}")).status_code == 200
        own = await gateway.http.post("/api/v1/tools/call", json={"tool": "notes", "server": "light"})
        assert said({"result": own.json()}) == ["mine"]
        listed = (await gateway.http.get("/api/v1/sessions")).json()["sessions"]
        assert {each["handle"] for each in listed} >= {*self.ids.listed}


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway behind a front."""
    servers = {"light": light(), "handles": light(handles="inject", affinity_cookie=False)}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def gateway(module: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections that end with the test, and on which `ann` asks."""
    async with module.connecting():
        yield module


@asynccontextmanager
async def a_victim(gateway: Gateway) -> AsyncIterator[Victim]:
    """Ann, and all that is hers."""
    gateway.http.headers.update(of("ann"))
    http = gateway.http
    session = await Streamable(http).open()
    await session.call(1, "add", text="mine")
    async with session.streaming(call(2, "log", text="x")) as events:
        event = await events.primed()
    set_ = await gateway.session_id()
    await gateway.text(set_, "add", text="mine")
    asked = await gateway.call(set_, "ask", method="elicitation/create")
    question = asked.json()["error"]["about"]["question"]["id"]
    died = await gateway.call(await gateway.session_id(), "die")
    modern = Modern(http, "/handles/mcp")
    opened = (await modern.post(modern_call(3, "session_open"))).json()["result"]["structuredContent"]
    handle = opened["gateway_session"]
    modern.headers["Mcp-Param-Gateway-Session"] = handle
    await modern.call(4, "add", text="mine", gateway_session=handle)
    async with sse(http) as stream:
        await stream.ask(call(5, "add", text="mine"))
        of_sse = stream.url.partition("sessionId=")[2]
        certificate = died.json()["error"]["about"]["certificate"]
        own = await http.post(
            "/api/v1/tools/call", json={"tool": "add", "server": "light", "arguments": {"text": "mine"}}
        )
        assert own.status_code == 200
        every = (await http.get("/api/v1/sessions")).json()["sessions"]
        listed = tuple({(each["door"], each["own"]): each["handle"] for each in every}.values())
        assert len(listed) == 5  # one of each door, and her own
        ids = Ids(session.headers["Mcp-Session-Id"], event, set_, of_sse, certificate, handle, question, listed)
        yield Victim(session, stream, modern, ids)
    for each in every:
        await http.delete(f"/api/v1/sessions/{each['handle']}")


async def ask(gateway: Gateway, method: str, path: str, headers: Headers, **more: Any) -> Answer:
    """The answer, whole; of an event stream its status."""
    all_headers = {**BOTH, **headers}
    async with (
        httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE, verify=False) as http,
        http.stream(method, path, headers=all_headers, **more) as response,
    ):
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        return response.status_code, b"" if is_stream else await response.aread()


# How each route is asked, by whoever `headers` are, with `ids`.

Attack = Callable[[Gateway, str, Headers, Ids], Awaitable[list[Answer]]]


async def post(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """A message into a session of Streamable HTTP, another `initialize` for it, a batch, and a call with a handle."""
    in_session = {**headers, "Mcp-Session-Id": ids.session}
    bodies: list[Any] = [call(1, "add", text="theirs"), request(2, "initialize", HELLO), [call(3, "notes")]]
    answers = [await ask(gateway, "POST", f"/light{path}", in_session, json=body) for body in bodies]
    message = modern_call(4, "add", text="theirs", gateway_session=ids.handle)
    with_handle = {**headers_of(message), **headers, "Mcp-Param-Gateway-Session": ids.handle}
    status, body = await ask(gateway, "POST", f"/handles{path}", with_handle, json=message)
    assert b'"isError":true' in body
    return [*answers, (404 if status == 200 else status, body)]  # a model is told in a result


async def post_either(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """The same, and a message of HTTP+SSE."""
    posted = await ask(gateway, "POST", f"/light?sessionId={ids.sse}", headers, json=call(1, "add", text="theirs"))
    return [*await post(gateway, path, headers, ids), posted]


async def get(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """The standing stream, and one that broke."""
    in_session = {**headers, "Mcp-Session-Id": ids.session}
    again = {**in_session, "Last-Event-ID": ids.event}
    return [await ask(gateway, "GET", f"/light{path}", each) for each in (in_session, again)]


async def delete(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """The end of a session."""
    return [await ask(gateway, "DELETE", f"/light{path}", {**headers, "Mcp-Session-Id": ids.session})]


async def post_sse(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """A message into a session of HTTP+SSE."""
    body = call(1, "add", text="theirs")
    return [await ask(gateway, "POST", f"/light{path}?sessionId={ids.sse}", headers, json=body)]


async def call_rest(gateway: Gateway, _: str, headers: Headers, ids: Ids) -> list[Answer]:
    """A tool of a session set, and of a session by the id of another door."""
    ways = [f"/api/light/add?sessionId={id_}" for id_ in (ids.set, ids.session, ids.sse)]
    return [await ask(gateway, "POST", way, headers, json={"text": "theirs"}) for way in ways]


async def call_action(gateway: Gateway, _: str, headers: Headers, ids: Ids) -> list[Answer]:
    """The same as LibreChat's Actions call it, by each of the parameter's names."""
    names = ("sessionId", "gatewaySessionId", "mcpGatewaySessionId")
    ways = [f"/api/actions/light/add?{name}={id_}" for name in names for id_ in (ids.set, ids.session)]
    answers = [await ask(gateway, "POST", way, headers, json={"text": "theirs"}) for way in ways]
    assert all(b'"code":"session_not_found"' in body for _, body in answers)
    return [(404 if status == 200 else status, body) for status, body in answers]  # a model is told in a 200


async def close_rest(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """The end of a session set."""
    return [await ask(gateway, "DELETE", f"{path}?sessionId={id_}", headers) for id_ in (ids.set, ids.session)]


async def read_certificate(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """What a child died of."""
    return [await ask(gateway, "GET", path.replace("<id_>", ids.certificate), headers)]


async def show_question(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """What a child asks, with the session id and without."""
    url = path.replace("<id_>", ids.question)
    return [await ask(gateway, "GET", way, headers) for way in (url, f"{url}?sessionId={ids.set}")]


async def answer_question(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """An answer to it."""
    url = path.replace("<id_>", ids.question)
    body = {"action": "accept", "content": {}}
    return [await ask(gateway, "POST", way, headers, json=body) for way in (url, f"{url}?sessionId={ids.set}")]


async def list_questions(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """All that is asked in a session."""
    return [await ask(gateway, "GET", f"{path}?sessionId={id_}", headers) for id_ in (ids.set, ids.session)]


async def in_session(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """What a session's child offers, by the ids of all doors."""
    url = path.replace("<server>", "light").replace("<path:name>", "x")
    ways = [f"{url}?uri=x://y&sessionId={id_}" for id_ in (ids.set, ids.session, ids.sse)]
    return [await ask(gateway, "GET", way, headers) for way in ways]


async def post_in_session(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """The same, with a body."""
    url = path.replace("<server>", "light").replace("<path:name>", "x")
    ways = [f"{url}?sessionId={id_}" for id_ in (ids.set, ids.session, ids.sse)]
    return [await ask(gateway, "POST", way, headers, json={}) for way in ways]


async def call_by_name(gateway: Gateway, path: str, headers: Headers, ids: Ids) -> list[Answer]:
    """A tool by its name, in a session of whichever door, named in the body or in the query."""
    body = {"tool": "add", "server": "light", "arguments": {"text": "theirs"}}
    taken = (ids.set, ids.session, ids.listed[0])
    answers = [await ask(gateway, "POST", path, headers, json={**body, "sessionId": id_}) for id_ in taken]
    return [*answers, await ask(gateway, "POST", f"{path}?sessionId={ids.set}", headers, json=body)]


async def by_handle(gateway: Gateway, path: str, headers: Headers, ids: Ids, method: str) -> list[Answer]:
    """What is listed, by its handle, and by what is no handle."""
    taken = (*ids.listed, ids.set)
    return [await ask(gateway, method, path.replace("<handle>", each), headers) for each in taken]


TAKES_AN_ID: dict[str, Attack] = {
    "POST /<server>/mcp": post,
    "GET /<server>/mcp": get,
    "DELETE /<server>/mcp": delete,
    "POST /<server>": post_either,
    "GET /<server>": get,
    "DELETE /<server>": delete,
    "POST /<server>/message": post_sse,
    "POST /api/<server>/<path:tool>": call_rest,
    "POST /api/actions/<server>/<path:tool>": call_action,
    "DELETE /api/sessionid": close_rest,
    "GET /api/certificates/<id_>": read_certificate,
    "GET /api/v1/questions": list_questions,
    "GET /api/v1/questions/<id_>": show_question,
    "POST /api/v1/questions/<id_>": answer_question,
    "GET /api/v1/servers/<server>/resources": in_session,
    "GET /api/v1/servers/<server>/resource-templates": in_session,
    "GET /api/v1/servers/<server>/resources/read": in_session,
    "GET /api/v1/servers/<server>/prompts": in_session,
    "GET /api/v1/servers/<server>/prompts/<path:name>": in_session,
    "POST /api/v1/servers/<server>/prompts/<path:name>": post_in_session,
    "POST /api/v1/tools/call": call_by_name,
    "GET /api/v1/sessions/<handle>": partial(by_handle, method="GET"),
    "DELETE /api/v1/sessions/<handle>": partial(by_handle, method="DELETE"),
}
"""Routes that find something of somebody's by an id."""

TAKES_NONE: dict[str, str] = {
    "GET /<server>/sse": "opens a session of its own, whatever ids come with it",
    "WEBSOCKET /<server>/ws": "opens a session of its own, whatever ids come with it",
    "GET /<server>/ws": "tells whoever wanted a WebSocket that this is none",
    "GET /api/sessionid": "gives a new id, and lists none",
    "GET /api/actions/sessionid": "gives a new id, and lists none",
    "GET /openapi.json": "tells of tools, and of no session",
    "GET /openapi.yaml": "tells of tools, and of no session",
    "GET /api/<server>/openapi.json": "tells of tools, and of no session",
    "GET /api/<server>/openapi.yaml": "tells of tools, and of no session",
    "GET /health": "counts, and lists none",
    "GET /api/v1/health": "is the same",
    "GET /api/v1/servers": "tells of servers",
    "GET /api/v1/servers/<server>": "tells of a server",
    "GET /api/v1/tools": "tells of tools",
    "GET /api/v1/sessions": "lists the caller's own, whatever ids come with it",
    "GET /docs": "is a page, the same for everybody",
    "GET /docs/<name>": "is a file of that page, the same for everybody",
    "GET /.well-known/oauth-protected-resource": "says where tokens come from, to everybody",
    "GET /.well-known/oauth-protected-resource/<path:below>": "says where tokens come from, to everybody",
}
"""The others, and why they need no owner."""


async def test_every_route_that_there_is_stands_in_the_table() -> None:
    async with next_gateway() as here:
        settings = GatewaySettings(
            hostname="", port=0, node="gw", allowed_hosts=(), auth=Auth(), debug=Debug(), servers=here.sessions.policies
        )
        rules = list(wire(settings, here.sessions, here.client).url_map.iter_rules())
    found = {
        f"{method} {rule.rule.replace('server:', '')}"
        for rule in rules
        for method in ({"WEBSOCKET"} if rule.websocket else (rule.methods or set()) - {"HEAD"})
    }
    assert found == TAKES_AN_ID.keys() | TAKES_NONE.keys()


async def test_somebody_elses_id_is_on_every_route_like_one_that_never_was(gateway: Gateway) -> None:
    async with a_victim(gateway) as victim:
        for route, attack in TAKES_AN_ID.items():
            path = route.partition(" ")[2].removeprefix("/<server>")
            for thief, headers in THIEVES.items():
                stolen = await attack(gateway, path, headers, victim.ids)
                made_up = await attack(gateway, path, headers, victim.ids.none_of_them())
                assert stolen == made_up, (route, thief)
                assert [status for status, _ in stolen] == [404] * len(stolen), (route, thief)
            await victim.is_untouched(gateway)


async def test_what_takes_no_id_gives_everybody_something_of_their_own_and_names_nobodys(gateway: Gateway) -> None:
    async with a_victim(gateway) as victim:
        ids = victim.ids
        with_ids = f"?sessionId={ids.sse}"
        of_bob = {**of("bob"), "Mcp-Session-Id": ids.session, "Last-Event-ID": ids.event}
        async with httpx2.AsyncClient(base_url=gateway.url) as http:
            async with http.stream("GET", f"/light/sse{with_ids}", headers=of_bob) as response:
                _, endpoint = await Events(response).next()
                assert ids.sse not in endpoint
            first, second = [(await http.get(f"/api/sessionid{with_ids}", headers=of("bob"))).json() for _ in range(2)]
            assert first.keys() == {"sessionId"}
            assert len({first["sessionId"], second["sessionId"], ids.sse, ids.set}) == 4
            health = (await http.get("/health", headers=of_bob)).text
            no_websocket = await http.get(f"/light/ws{with_ids}", headers=of_bob)
            named = {"sessionId": [ids.session, ids.set, ids.sse, *ids.listed]}
            for params in ({}, named):
                assert (await http.get("/api/v1/sessions", params=params, headers=OTHER)).json()["sessions"] == []
                of_front = (await http.get("/api/v1/sessions", params=params, headers=of_bob)).json()["sessions"]
                assert not {each["handle"] for each in of_front} & {*ids.listed}
            told = [
                (await http.get(f"/api/v1{path}", headers=of_bob)).text
                for path in ("/health", "/servers", "/servers/light", "/tools", "/sessions")
            ]
        async with websocket(gateway.url, f"/light/ws{with_ids}", of_bob) as connection:
            assert said(await connection.ask(call(1, "notes"))) == []
        assert no_websocket.status_code == 400
        every = (ids.session, ids.set, ids.sse, ids.certificate, ids.handle, ids.question)
        assert not [id_ for id_ in (*every, *ids.listed) if id_ in "".join([health, no_websocket.text, *told])]
        await victim.is_untouched(gateway)


async def test_the_anonymous_are_one_principal_to_whom_no_sessions_are_listed(tmp_path: Path) -> None:
    async with running({"light": light()}, tmp_path=tmp_path) as gateway:
        session, id_ = await Streamable(gateway.http).open(), await gateway.session_id()
        await gateway.call(id_, "notes")
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE) as other:
            paths = ["/health", "/api/sessionid", "/light/ws", "/light/mcp", "/api", "/api/light", "/api/certificates"]
            paths += [f"/api/v1/{each}" for each in ("health", "servers", "servers/light", "tools", "sessions")]
            told = "".join([(await other.get(path, headers=BOTH)).text for path in paths])
            # An id is all that keeps their sessions apart, and whoever has one may use it.
            theirs = Streamable(other)
            theirs.headers |= session.headers
            assert await theirs.call(1, "notes") == []
        assert not [each for each in (session.headers["Mcp-Session-Id"], id_) if each in told + gateway.log]
