"""Pages of other sites: refused, unless the configuration lists their origin."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, running
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, request
from tests.support.rawws import Refused, websocket

pytestmark = pytest.mark.slow

APP, EVIL = "https://app.example", "https://evil.example"
TOKEN = {"Authorization": "Bearer s3cret-token-1"}


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that one page may use."""
    path = tmp_path_factory.mktemp("gateway")
    auth = {"bearer": {"tokens": ["s3cret-token-1"]}}
    async with running(tmp_path=path, auth=auth, cors={"origins": [APP]}) as gateway:
        yield gateway


@pytest.fixture
async def shared(module: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections that end with the test."""
    async with module.connecting():
        yield module


@pytest.mark.parametrize(
    "path", ["/light/mcp", "/light", "/light/sse", "/api/sessionid", "/api/light/echo", "/health", "/x"]
)
async def test_a_listed_page_may_ask_whether_it_may_ask_without_credentials(shared: Gateway, path: str) -> None:
    headers = {
        "Origin": APP,
        "Sec-Fetch-Site": "cross-site",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    answer = await shared.http.request("OPTIONS", path, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, mcp-protocol-version"
    assert answer.headers["vary"] == "Origin"
    refused = await shared.http.request("OPTIONS", path, headers={**headers, "Origin": EVIL})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_a_listed_page_has_a_session_and_reads_its_id_its_streams_and_its_errors(shared: Gateway) -> None:
    page = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    session = Streamable(shared.http)
    session.headers.update({**page, **TOKEN})
    opened = await session.http.post(session.path, json=request(0, "initialize", HELLO), headers=session.headers)
    assert "Mcp-Session-Id" in opened.headers["access-control-expose-headers"]
    session.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
    await session.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    async with session.streaming(call(1, "log", text="x")) as events:
        assert events.response.headers["access-control-allow-origin"] == APP
    async with session.listening() as events:
        assert events.response.headers["access-control-allow-origin"] == APP
    without = await shared.http.post("/light/mcp", json=request(0, "initialize", HELLO), headers={**BOTH, **page})
    unknown = await shared.http.get("/light/nothing/at/all", headers={**page, **TOKEN})
    assert (without.status_code, unknown.status_code) == (401, 404)
    assert [each.headers["access-control-allow-origin"] for each in (without, unknown)] == [APP] * 2
    file = await shared.http.get("/docs/page.css", headers=page)
    assert file.headers["vary"] == "Accept-Encoding, Origin"


async def test_a_page_that_is_not_listed_is_refused_and_told_nothing(shared: Gateway) -> None:
    for origin in (EVIL, "null", f"{APP}.evil.example"):
        answer = await shared.http.get("/api/sessionid", headers={"Origin": origin, **TOKEN})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_denied")
        assert "access-control-allow-origin" not in answer.headers


async def test_a_listed_page_may_open_a_websocket_and_no_other(shared: Gateway) -> None:
    async with websocket(shared.url, headers={"Origin": APP, **TOKEN}) as connection:
        assert (await connection.ask(call(1, "echo", text="x")))["result"]
    with pytest.raises(Refused) as refused:
        async with websocket(shared.url, headers={"Origin": EVIL, **TOKEN}):
            pass
    assert refused.value.status == 403


async def test_whoever_sends_no_origin_is_answered_as_ever(shared: Gateway) -> None:
    answer = await shared.http.get("/api/sessionid", headers=TOKEN)
    assert (answer.status_code, answer.headers["vary"]) == (200, "Origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_list_of_origins_opens_no_other_host(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, cors={"origins": [APP]}) as gateway:
        for headers in ({}, {"Origin": APP}):
            answer = await gateway.http.get("/api/sessionid", headers={**headers, "Host": "rebound.example"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host_denied")
        preflight = {"Origin": APP, "Access-Control-Request-Method": "POST", "Host": "rebound.example"}
        assert (await gateway.http.request("OPTIONS", "/light/mcp", headers=preflight)).status_code == 421
        assert (await gateway.http.get("/api/sessionid", headers={"Origin": APP})).status_code == 200
