"""Who is let in: hosts, origins, credentials, and whose session is whose."""

import base64
import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.gateway import Gateway, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, request, sse
from tests.support.rawws import Refused, websocket

AUTH = {
    "basic": {
        "credentials": [{"username": "ann", "password": "s3cret-ann"}, {"username": "bob", "password": "s3cret-bob"}]
    },
    "bearer": {"tokens": ["s3cret-token-1", "s3cret-token-2"]},
}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ANN, BOB = basic("ann", "s3cret-ann"), basic("bob", "s3cret-bob")
ONE, TWO = bearer("s3cret-token-1"), bearer("s3cret-token-2")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:3000", "127.0.0.1", "127.9.9.9:80", "[::1]:3000", "a.localhost"]
)
async def test_loopback_hosts_are_answered_without_auth(one_gateway: Gateway, host: str) -> None:
    assert (await one_gateway.http.get("/api/sessionid", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:3000", "localhost.attacker.example", "10.0.0.1"]
)
async def test_other_hosts_are_refused_without_auth(one_gateway: Gateway, host: str) -> None:
    answer = await one_gateway.http.get("/api/sessionid", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["about"]["key"] == "allowed_hosts"


async def test_allowed_hosts_are_answered(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, allowed_hosts=["gw.example", "Docker.Internal:3000"]) as gateway:
        for host, status in {"gw.example:99": 200, "docker.internal:3000": 200, "docker.internal:1": 421}.items():
            assert (await gateway.http.get("/health", headers={"Host": host})).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://127.0.0.1.attacker.example"},
        {"Origin": "file://"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_browser_is_no_way_in(one_gateway: Gateway, headers: dict[str, str]) -> None:
    http = one_gateway.http
    for answer in (
        await http.get("/api/sessionid", headers=headers),
        await http.get("/light/sse", headers=headers),
        await http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=BOTH | headers),
    ):
        assert answer.status_code == 403
    assert one_gateway.children() == set()


async def test_ones_own_origin_may_pass(one_gateway: Gateway) -> None:
    http = one_gateway.http
    assert (await http.get("/api/sessionid", headers={"Origin": one_gateway.url})).status_code == 200
    behind_tls = {"Host": "localhost", "Origin": "https://localhost"}
    assert (await http.get("/api/sessionid", headers=behind_tls)).status_code == 200


@pytest.fixture(scope="module")
async def guarded_shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Any:
    async with running(tmp_path=tmp_path_factory.mktemp("guarded"), auth=AUTH) as gateway:
        yield gateway


@pytest.fixture
async def guarded(guarded_shared: Gateway) -> Any:
    """A gateway with both kinds of credentials."""
    await guarded_shared.quiet()
    async with guarded_shared.connecting():
        yield guarded_shared


DOORS = [
    ("GET", "/api/sessionid"),
    ("DELETE", "/api/sessionid?sessionId=x"),
    ("POST", "/api/light/echo?sessionId=x"),
    ("GET", "/light"),
    ("POST", "/light"),
    ("DELETE", "/light"),
    ("GET", "/light/sse"),
    ("POST", "/light/message?sessionId=x"),
    ("GET", "/light/mcp"),
    ("POST", "/light/mcp"),
    ("DELETE", "/light/mcp"),
    ("GET", "/nothing/at/all"),
]


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("ann", "wrong"),
        basic("ann", "s3cret-bob"),
        basic("", ""),
        bearer("wrong"),
        {"Authorization": "Bearer"},
        bearer("s3cret-ann"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Digest username=ann"},
        {"Authorization": "s3cret-token-1"},
    ],
)
async def test_no_door_opens_without_valid_credentials(
    guarded: Gateway, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await guarded.http.request(method, path, json={}, headers=BOTH | headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="mcp-gateway"'
    assert "unauthenticated" in answer.text


async def test_a_refusal_leaves_the_connection_as_good_as_it_was(guarded: Gateway) -> None:
    host, port = guarded.url.removeprefix("http://").split(":")
    refused = "POST /light/mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with await anyio.connect_tcp(host, int(port)) as connection:
        with anyio.fail_after(PATIENCE):
            await connection.send(refused.encode())
            received = await connection.receive()
            # The refusal is decided upon, and the body is not there yet; the next request comes behind it.
            await connection.send(b"{}GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            while b'"status"' not in received:
                received += await connection.receive()
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"100", b"401", b"200"]


async def test_a_websocket_where_there_is_none_is_refused_in_order(one_gateway: Gateway) -> None:
    with pytest.raises(Refused) as refused:
        async with websocket(one_gateway.url, "/light/nothing"):
            pass
    assert (refused.value.status, refused.value.error["code"]) == (404, "route_not_found")


async def test_the_operator_is_told_who_is_turned_away(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, auth=AUTH) as gateway:
        await gateway.http.get("/api/sessionid", headers=bearer("s3cret-but-wrong"))
        await gateway.said("WARNING gateway turned 127.0.0.1 away from '/api/sessionid': unauthenticated")
        assert "s3cret" not in gateway.log


async def test_credentials_sent_twice_are_refused(guarded: Gateway) -> None:
    twice = [("Authorization", ANN["Authorization"]), ("Authorization", BOB["Authorization"])]
    assert (await guarded.http.get("/api/sessionid", headers=twice)).status_code == 400


async def test_without_basic_the_challenge_never_says_bearer(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, auth={"bearer": AUTH["bearer"]}) as gateway:
        answer = await gateway.http.get("/api/sessionid")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'ApiKey realm="mcp-gateway"')


async def test_where_to_log_in_is_not_found_and_not_asked_for(guarded: Gateway) -> None:
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server/light/mcp"):
        answer = await guarded.http.get(path)
        assert answer.status_code == 404
        assert "www-authenticate" not in answer.headers


async def test_any_host_is_answered_to_who_has_credentials(guarded: Gateway) -> None:
    headers = ANN | {"Host": "gw.example"}
    assert (await guarded.http.get("/api/sessionid", headers=headers)).status_code == 200


async def test_health_says_no_more_than_that_to_a_stranger(guarded: Gateway) -> None:
    assert (await guarded.http.get("/health")).json() == {"status": "ok"}
    assert (await guarded.http.get("/health", headers=bearer("wrong"))).json() == {"status": "ok"}
    assert (await guarded.http.get("/health", headers=ANN)).json()["supervisor"] == {"answers": True}


@pytest.mark.parametrize("stranger", [BOB, ONE])
async def test_a_session_of_one_is_unknown_to_the_other_on_streamable_http(
    guarded: Gateway, stranger: dict[str, str]
) -> None:
    session = Streamable(guarded.http)
    session.headers |= ANN
    await session.open()
    own = dict(session.headers)
    session.headers = own | stranger
    unknown = {**session.headers, "Mcp-Session-Id": "gw.unknown"}
    for method in ("POST", "GET", "DELETE"):
        foreign = await guarded.http.request(method, "/light/mcp", json=call(1, "notes"), headers=session.headers)
        nothing = await guarded.http.request(method, "/light/mcp", json=call(1, "notes"), headers=unknown)
        assert (foreign.status_code, foreign.content) == (404, nothing.content)
    session.headers = own
    assert await session.call(2, "echo", text="still mine") == "still mine"
    await session.delete()


async def test_a_session_of_one_is_unknown_to_the_other_on_sse_and_rest(guarded: Gateway) -> None:
    guarded.http.headers.update(TWO)
    async with sse(guarded.http) as session:
        id_ = await guarded.session_id()
        await guarded.text(id_, "whoami")
        for stranger in (ANN, ONE):
            guarded.http.headers.update(stranger)
            assert (await session.post(call(1, "notes"))).status_code == 404
            assert (await guarded.call(id_, "whoami")).status_code == 404
            assert (await guarded.http.delete(f"/api/sessionid?sessionId={id_}")).status_code == 404
        guarded.http.headers.update(TWO)
        assert (await session.ask(call(2, "echo", text="x")))["id"] == 2
        assert (await guarded.http.delete(f"/api/sessionid?sessionId={id_}")).status_code == 204


async def test_an_ended_session_of_one_is_as_unknown_to_the_other_as_any(guarded: Gateway) -> None:
    guarded.http.headers.update(ANN)
    id_ = await guarded.session_id()
    await guarded.http.delete(f"/api/sessionid?sessionId={id_}")
    assert (await guarded.call(id_, "whoami")).json()["error"]["about"] == {"reason": "client_closed"}
    guarded.http.headers.update(BOB)
    assert (await guarded.call(id_, "whoami")).json()["error"]["about"] == {}


async def test_no_secret_and_no_whole_id_is_in_the_log(guarded: Gateway) -> None:
    guarded.http.headers.update(ONE)
    id_ = await guarded.session_id()
    await guarded.text(id_, "whoami")
    await guarded.http.delete(f"/api/sessionid?sessionId={id_}")
    await guarded.quiet()
    assert "s3cret" not in guarded.log
    assert id_ not in guarded.log
    assert id_[:9] in guarded.log
