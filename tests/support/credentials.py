"""Users who bring a credential of their own, and what each door says of it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.gateway import NO_TLS, Gateway, light
from tests.support.processes import PATIENCE
from tests.support.rawmcp import HELLO, call, request
from tests.support.rawmodern import call as modern_call
from tests.support.rawmodern import headers_of

HEADER = "X-Token"
PERSONAL: dict[str, Any] = {"headers": [HEADER], "env": {"PLAIN_NAME": f"${{header:{HEADER}}}"}}
"""The keys of a server that asks for a user's own, under a name that does not say that it is a secret."""

SHARED = light(**PERSONAL, allow_shared_uid=True)
"""The light server, for tests in which all children run as we do."""


def seen(message: Any) -> str:
    """The credential that a child has shown, or the code with which it was refused to ask one."""
    error = message.get("error")
    if error is not None:
        return str(error["code"] if isinstance(error["code"], str) else error["data"]["code"])
    content = message.get("result", message)["content"]
    return str(json.loads(content[0]["text"])["PLAIN_NAME"])


@asynccontextmanager
async def user(gateway: Gateway, secret: str | None = None, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A user's own client, which bears `secret` with each request, if any."""
    own = headers if secret is None else {**headers, HEADER: secret}
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE, headers=own, verify=NO_TLS) as http:
        yield http


async def by_streamable(http: httpx2.AsyncClient, id_: str | None = None) -> tuple[str, str]:
    """What is seen in a session, a new one unless it is given; and the session's id."""
    headers = {"Accept": "application/json"}  # so that a slow answer is one, too
    if id_ is None:
        hello = await http.post("/light/mcp", json=request(0, "initialize", HELLO), headers=headers)
        assert hello.status_code == 200, hello.text
        if "error" in hello.json():
            assert "mcp-session-id" not in hello.headers
            return seen(hello.json()), ""
        id_ = hello.headers["mcp-session-id"]
    answer = await http.post("/light/mcp", json=call(1, "environment"), headers={**headers, "Mcp-Session-Id": id_})
    assert answer.status_code == 200, answer.text
    return seen(answer.json()), id_


async def by_rest(http: httpx2.AsyncClient, id_: str | None = None) -> tuple[str, str]:
    """The same on REST."""
    if id_ is None:
        id_ = str((await http.get("/api/sessionid")).json()["sessionId"])
    answer = await http.post("/api/light/environment", params={"sessionId": id_}, json={})
    assert answer.status_code == (400 if "error" in answer.json() else 200), answer.text
    return seen(answer.json()), id_


async def by_modern(http: httpx2.AsyncClient, _: str | None = None) -> tuple[str, str]:
    """The same of a client without sessions: each of its requests may be anybody's."""
    message = modern_call(1, "environment")
    answer = await http.post("/light/mcp", json=message, headers=headers_of(message))
    assert answer.status_code == (400 if "error" in answer.json() else 200), answer.text
    return seen(answer.json()), "-"


Door = Callable[[httpx2.AsyncClient, str | None], Awaitable[tuple[str, str]]]
DOORS: dict[str, Door] = {"streamable": by_streamable, "rest": by_rest, "modern": by_modern}
"""By which a session is found again."""
