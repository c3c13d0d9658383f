"""Which requests take the shorter way. That they are answered as by the longer one: `tests/e2e/test_hot_parity.py`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from common.config.auth import Auth
from common.config.model import Debug, GatewaySettings
from common.config.values import RESERVED_NAMES
from gateway.app import wire
from gateway.hot.doors import HotDoors
from gateway.hot.exchange import Head, Reply
from gateway.http.rest import RestDoor
from tests.gateway.test_succession import next_gateway

SESSION = ("mcp-session-id", "gw.x")
QUERY = "sessionId=gw.x"
MODERN = ("mcp-protocol-version", "2026-07-28")
BOTH = ("accept", "application/json, text/event-stream")


@pytest.fixture
async def doors() -> AsyncIterator[HotDoors]:
    """Those of a gateway that has nothing to do."""
    async with next_gateway() as here:
        settings = GatewaySettings(
            hostname="", port=0, node="gw", allowed_hosts=(), auth=Auth(), debug=Debug(), servers=here.sessions.policies
        )
        found = wire(settings, here.sessions, here.client).extensions["hot"]
        assert isinstance(found, HotDoors)
        yield found


def head(path: str, *headers: tuple[str, str], method: str = "POST", version: str = "1.1") -> Head:
    path, _, query = path.partition("?")
    return Head(method, path, query, (("host", "localhost"), *headers), "127.0.0.1", version)


HOT = [
    head("/light/mcp", SESSION),
    head("/light/mcp", SESSION, BOTH, ("mcp-protocol-version", "2025-06-18")),
    head("/light", SESSION),
    head(f"/light?{QUERY}"),
    head(f"/light/message?{QUERY}"),
    head("/light/mcp", SESSION, version="2"),
    head("/light/mcp", SESSION, method="GET"),
    head("/light/mcp"),
    head("/light"),
    head("/light/mcp", SESSION, method="DELETE"),
    head("/light", SESSION, method="DELETE"),
    head("/light/sse", method="GET"),
    head("/light", method="GET"),
    head("/api/sessionid", method="GET"),
    head(f"/api/sessionid?{QUERY}", method="DELETE"),
    head(f"/api/light/echo?{QUERY}"),
    head(f"/api/light/echo?{QUERY}&timeout=1s", BOTH),
    head(f"/api/my-server.1/_a-tool.b?{QUERY}", ("accept", "application/json")),
]
OTHERS = [
    head("/light/message"),
    head("/light/mcp", SESSION, MODERN),
    head("/light/sse", MODERN, method="GET"),
    head("/light/mcp", SESSION, version="1.0"),
    head("/light/mcp", SESSION, MODERN, method="DELETE"),
    head("/light/message", method="DELETE"),
    head("/light/mcp", SESSION, method="HEAD"),
    head("/light/sse", ("content-length", "5"), method="GET"),
    head("/light/sse", ("transfer-encoding", "chunked"), method="GET"),
    head("/light/mcp", SESSION, SESSION),
    head("/light/mcp", SESSION, ("upgrade", "h2c")),
    head("/light/mcp", SESSION, ("expect", "100-continue")),
    head("/light/mcp", SESSION, ("content-encoding", "gzip")),
    head("/light/mcp?a=\xe9", SESSION),
    head("/light/mcp/", SESSION),
    head("//mcp", SESSION),
    head("/li ght/mcp", SESSION),
    head("/light/ws", SESSION, method="GET"),
    head("/light/sse", SESSION),
    head("/light/other", SESSION),
    head("/.well-known/mcp", SESSION),
    head("/", SESSION),
    head("", SESSION),
    head("/api/sessionid"),
    head("/api/sessionid/", method="GET"),
    head(f"/api/sessionid?{QUERY}", ("content-length", "2"), method="DELETE"),
    head("/api/light/echo"),
    head(f"/api/light/echo?{QUERY}", method="GET"),
    head(f"/api/light/echo?{QUERY}", ("idempotency-key", "k")),
    head(f"/api/light/echo?{QUERY}&raw=true"),
    head(f"/api/light/echo?{QUERY}&content=1"),
    head(f"/api/light/echo?{QUERY}", ("accept", "text/event-stream")),
    head(f"/api/light/echo?{QUERY}", ("accept", "image/png")),
    head(f"/api/light/a/b?{QUERY}"),
    head(f"/api/light/a b?{QUERY}"),
    head(f"/api/actions/echo?{QUERY}"),
    *(head(f"/{name}/mcp", SESSION) for name in RESERVED_NAMES),
    *(head(f"/{name}", SESSION) for name in RESERVED_NAMES),
    *(head(f"/api/{name}/echo?{QUERY}") for name in RESERVED_NAMES),
]


def shown(head: Head) -> str:
    return f"{head.method} {head.path}?{head.query} {head.headers[1:]}"


async def answered(doors: HotDoors, head: Head, body: bytes) -> Reply | None:
    answering = doors.takes(head)
    assert answering is not None
    return await answering(body)


async def test_what_most_ask_for_is_hot_and_nothing_else(doors: HotDoors) -> None:
    assert [shown(each) for each in HOT if not doors.takes(each)] == []
    assert [shown(each) for each in OTHERS if doors.takes(each)] == []


async def test_a_body_of_the_stateless_revision_is_left_to_others_before_anything_is_done(doors: HotDoors) -> None:
    meta = b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}'
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":%b}}' % meta
    assert await answered(doors, head("/light/mcp", SESSION), body) is None
    assert await answered(doors, head("/light/mcp"), body) is None
    legacy = await answered(doors, head(f"/light/message?{QUERY}", ("content-type", "application/json")), body)
    assert legacy is not None
    assert legacy.status == 404


async def test_our_own_fault_is_an_answer_too(doors: HotDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(RestDoor, "call", fail)
    reply = await answered(doors, head(f"/api/light/echo?{QUERY}"), b"{}")
    assert reply is not None
    assert reply.status == 500
    assert b"the gateway failed" in bytes(reply.body)  # type: ignore[arg-type]
    assert b"secret" not in bytes(reply.body)  # type: ignore[arg-type]
    assert ("X-Content-Type-Options", "nosniff") in reply.headers
