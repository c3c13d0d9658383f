"""`${user.id}` and `${user.claim.NAME}`: whoever the user is stands in arguments, directories and variables."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support import tokens
from tests.support.credentials import user
from tests.support.gateway import Gateway, light, running

pytestmark = pytest.mark.slow

TOKEN = "of-the-front"
FRONT = {"Authorization": f"Bearer {TOKEN}"}
BOB = {"Authorization": f"Basic {b64encode(b'bob:of-bob-himself').decode()}"}
AUTH: dict[str, Any] = {
    "basic": {"credentials": [{"username": "bob", "password": "of-bob-himself"}]},
    "bearer": {"tokens": [{"name": "chat", "token": TOKEN}]},
    "jwt": [{"issuer": tokens.ISSUER, "audience": tokens.AUDIENCE, "secret": tokens.SECRET}],
}


def bearing(**claims: Any) -> dict[str, str]:
    """The header of ann's, with these claims in her token."""
    return {"Authorization": f"Bearer {tokens.token(tokens.SECRET, 'HS256', **claims)}"}


def through_front(name: str) -> dict[str, str]:
    """The headers of a front that speaks for somebody."""
    return {**FRONT, "X-Gateway-User": name}


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with a server for `${user.id}`, and one for a claim."""
    directory = tmp_path_factory.mktemp("gateway")
    for name in ("ann", "bob"):
        (directory / name).mkdir()
    servers = {
        "light": light("--user", "${user.id}", path=str(directory / "${user.id}"), env={"WHO": "${user.id}"}),
        "mail": light(env={"WHO": "${user.claim.mail}"}),
    }
    async with running(
        servers, tmp_path=directory, auth=AUTH, trust_user_header="X-Gateway-User", trusted_fronts=["chat"]
    ) as gateway:
        yield gateway


async def said(http: httpx2.AsyncClient, id_: str, server: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool says, or the error."""
    answer = (await http.post(f"/api/{server}/{tool}", params={"sessionId": id_}, json=arguments)).json()
    return dict(answer["error"] if "error" in answer else json.loads(answer["content"][0]["text"]))


async def told(gateway: Gateway, headers: dict[str, str], server: str = "light") -> str:
    """As whom a session of these headers is started: by its variable, its directory and its arguments; or why not."""
    async with user(gateway, **headers) as http:
        id_ = (await http.get("/api/sessionid")).json()["sessionId"]
        variables = await said(http, id_, server, "environment")
        if "code" in variables:
            return f"{variables['code']} {variables['about'].get('placeholder', '')}".strip()
        run = await said(http, id_, server, "run", script="basename $PWD; tr '\\0' ' ' < /proc/$PPID/cmdline")
        directory, line = run["out"].split("\n")
        return " ".join([variables["WHO"], *([directory, *line.split()[-2:]] if server == "light" else [])])


async def test_a_user_is_a_tokens_subject_a_name_or_whom_a_front_speaks_for(place: Gateway) -> None:
    assert await told(place, BOB) == "bob bob --user bob"
    assert await told(place, bearing()) == "ann ann --user ann"
    assert await told(place, through_front("ann")) == "ann ann --user ann"


async def test_a_key_on_nobodys_behalf_is_no_user(place: Gateway) -> None:
    assert await told(place, FRONT) == "credential_missing user.id"


async def test_no_name_leads_to_another_directory_and_nobody_else_pays_for_the_attempt(place: Gateway) -> None:
    for name in ("../ann", "..", ".ann", "-ann", "ann/x"):
        assert await told(place, through_front(name)) == "credential_malformed"
    for _ in range(3):
        assert await told(place, through_front("carl")) == "path_not_found"
    assert await told(place, through_front("ann")) == "ann ann --user ann"


async def test_a_claim_is_the_tokens_own(place: Gateway) -> None:
    assert await told(place, bearing(mail="ann@example.org"), "mail") == "ann@example.org"
    assert await told(place, bearing(mail=7), "mail") == "7"
    assert await told(place, bearing(mail=["ann@example.org"]), "mail") == "credential_malformed user.claim.mail"
    for without in (bearing(), BOB, through_front("ann")):
        assert await told(place, without, "mail") == "credential_missing user.claim.mail"
