"""A resource server of OAuth 2.1: a real authorization server, and clients that log in there."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl
from ruamel.yaml import YAML

from tests.support.authorization import Authority, authority
from tests.support.gateway import Gateway, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Streamable, request
from tests.support.tokens import OTHER_RSA_KEY, claims, forged, token

pytestmark = pytest.mark.slow

BACK = "http://127.0.0.1:1/callback"
METADATA = "/.well-known/oauth-protected-resource"


async def reload(gateway: Gateway, directory: Path, **keys: Any) -> None:
    """Change the file, and have it read again."""
    path = directory / "config.yaml"
    with path.open() as file:
        config = YAML(typ="safe").load(file)
    write_config(path, {**config, **keys})
    os.kill(gateway.program("supervisor"), signal.SIGHUP)
    await gateway.said("gateway the servers for new sessions are now")


@pytest.fixture(scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[tuple[Gateway, Authority]]:
    """A gateway that trusts an authorization server. It is told so while it runs: only now is its own URL known."""
    directory = tmp_path_factory.mktemp("oauth")
    async with authority() as issuer, running(tmp_path=directory) as gateway:
        trusted = {"issuer": issuer.url, "audience": gateway.url, "jwks_url": f"{issuer.url}/jwks"}
        oauth = {"resource": gateway.url, "authorization_servers": [issuer.url], "scopes_supported": ["other"]}
        auth = {"jwt": [{**trusted, "required_scopes": ["mcp"], "groups_claim": "groups"}], "oauth": oauth}
        await reload(gateway, directory, auth=auth)
        yield gateway, issuer


@pytest.fixture
async def gateway(pair: tuple[Gateway, Authority]) -> AsyncIterator[Gateway]:
    await pair[0].quiet()
    async with pair[0].connecting():
        yield pair[0]


@pytest.fixture
def issuer(pair: tuple[Gateway, Authority]) -> Authority:
    return pair[1]


class Memory:
    """What a client keeps of its logins."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider(url: str, issuer: Authority, memory: Memory, login: str = "ann") -> OAuthClientProvider:
    """The SDK's own client, with a browser whose user logs in at once."""
    came_back: list[str] = []

    async def browse(where: str) -> None:
        answer = await issuer.http.get(f"{where}&login={login}", follow_redirects=False)
        came_back.append(answer.headers["location"])

    async def wait() -> AuthorizationCodeResult:
        asked = parse_qs(urlsplit(came_back.pop()).query)
        return AuthorizationCodeResult(code=asked["code"][0], state=asked["state"][0])

    metadata = OAuthClientMetadata(redirect_uris=[AnyUrl(BACK)], token_endpoint_auth_method="none")
    return OAuthClientProvider(url, metadata, memory, browse, wait)


@pytest.mark.parametrize("path", ["/light/mcp", "/light"])
async def test_the_sdks_client_finds_its_way_from_a_refusal_to_a_session(
    gateway: Gateway, issuer: Authority, path: str
) -> None:
    url, memory = gateway.url + path, Memory()
    async with (
        httpx2.AsyncClient(auth=provider(url, issuer, memory), timeout=PATIENCE) as http,
        streamable_http_client(url, http_client=http) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        result = await session.call_tool("echo", {"text": "logged in"})
        assert not result.is_error
    assert memory.tokens is not None
    assert memory.tokens.scope == "mcp"
    await gateway.said(rf"gateway session gw\..{{4,}} of {issuer.url}:ann ")


async def test_who_has_nothing_is_told_where_to_log_in(gateway: Gateway, issuer: Authority) -> None:
    answer = await gateway.http.post("/light/mcp", json=request(0, "initialize", HELLO), headers=BOTH)
    assert answer.status_code == 401
    challenge = f'Bearer scope="mcp", resource_metadata="{gateway.url}{METADATA}"'
    assert answer.headers["www-authenticate"] == challenge
    for path in (METADATA, f"{METADATA}/", f"{METADATA}/light/mcp", f"{METADATA}/light"):
        document = await gateway.http.get(path)
        assert document.json() == {
            "resource": gateway.url,
            "authorization_servers": [issuer.url],
            "bearer_methods_supported": ["header"],
            "resource_name": "mcp-gateway",
            "scopes_supported": ["other", "mcp"],
        }
    for path in (f"{METADATA}x", "/.well-known/openid-configuration", "/.well-known/"):
        assert (await gateway.http.get(path)).status_code == 404
    assert (await gateway.http.post(METADATA, json={})).status_code == 405
    assert (await gateway.http.head("/light/mcp")).status_code == 405
    assert gateway.children() == set()


async def test_a_token_for_this_gateway_admits_and_a_refreshed_one_keeps_the_session(
    gateway: Gateway, issuer: Authority
) -> None:
    session = Streamable(gateway.http)
    session.headers["Authorization"] = f"Bearer {await issuer.token(gateway.url)}"
    await session.open()
    first = session.headers["Authorization"]
    # Signed by a key that is as new as the token; the one before it is no longer there.
    await issuer.rotate()
    session.headers["Authorization"] = f"Bearer {await issuer.token(gateway.url + '/')}"
    assert session.headers["Authorization"] != first
    assert await session.call(1, "echo", text="still mine") == "still mine"
    own = session.headers["Authorization"]
    session.headers["Authorization"] = f"Bearer {await issuer.mint(aud=gateway.url, scope='mcp', sub='eve')}"
    assert (await session.post(request(2, "tools/list"))).status_code == 404
    session.headers["Authorization"] = first
    assert (await session.post(request(3, "tools/list"))).status_code == 401
    session.headers["Authorization"] = own
    await session.delete()


async def status(gateway: Gateway, *tokens: str) -> int:
    """What who has these tokens gets."""
    headers = [("Authorization", f"Bearer {each}") for each in tokens]
    answer = await gateway.http.get("/api/sessionid", headers=headers)
    assert all(each not in answer.text for each in tokens)
    if answer.status_code == 401:
        told = f'Bearer error="invalid_token", scope="mcp", resource_metadata="{gateway.url}{METADATA}"'
        assert answer.headers["www-authenticate"] == told
        assert answer.json()["error"]["message"] == "expected valid credentials in the header Authorization"
    return answer.status_code


async def test_whatever_is_wrong_with_a_token_is_told_alike(gateway: Gateway, issuer: Authority) -> None:
    good = {"aud": gateway.url, "scope": "mcp"}
    whole = await issuer.mint(**good)
    assert await status(gateway, whole) == 200
    wrong = [
        await issuer.mint(**{**good, "aud": "https://other.example"}),
        await issuer.mint(**{**good, "aud": f"{gateway.url}/light/mcp"}),
        await issuer.mint(scope="mcp"),
        await issuer.mint(**good, exp=1),
        await issuer.mint(**good, nbf=2**33),
        await issuer.mint(**{**good, "iss": "https://other.example"}),
        await issuer.mint(**{**good, "sub": ""}),
        whole[:-10],
        whole.rpartition(".")[0] + ".",
        whole + "." + "x" * 8,
        token(OTHER_RSA_KEY, kid="../../../etc/passwd", iss=issuer.url, **good),
        forged({"alg": "none"}, claims(iss=issuer.url, **good), b""),
        forged({"alg": "HS256"}, claims(iss=issuer.url, **good)),
        "eyJ" + "x" * 20_000 + ".x.x",
    ]
    for each in wrong:
        assert await status(gateway, each) == 401
    assert await status(gateway, whole, whole) == 400
    for each in wrong:
        assert each not in gateway.log


async def test_a_token_without_the_scope_is_told_which(gateway: Gateway, issuer: Authority) -> None:
    headers = {"Authorization": f"Bearer {await issuer.token(gateway.url, scope='other')}"}
    answer = await gateway.http.get("/api/sessionid", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")
    told = f'Bearer error="insufficient_scope", scope="mcp", resource_metadata="{gateway.url}{METADATA}"'
    assert answer.headers["www-authenticate"] == told
    assert "insufficient_scope" not in answer.text


async def test_a_flood_of_unknown_keys_hardly_reaches_the_issuer(issuer: Authority, tmp_path: Path) -> None:
    trusted = {"issuer": issuer.url, "audience": "mcp", "jwks_url": f"{issuer.url}/jwks"}
    before = await issuer.fetches()
    async with running(tmp_path=tmp_path, auth={"jwt": [trusted]}) as gateway:
        for number in range(30):
            flood = token(OTHER_RSA_KEY, kid=f"kid-{number}", iss=issuer.url, aud="mcp")
            answer = await gateway.http.get("/api/sessionid", headers={"Authorization": f"Bearer {flood}"})
            # Without 'oauth' there is no word of a login, and no place that tells of one.
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'ApiKey realm="mcp-gateway"')
        assert await issuer.fetches() - before < 10
        assert (await gateway.http.get(METADATA)).status_code == 404
