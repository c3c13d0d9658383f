"""The two ways of a command to a server: a gateway that runs, and one of its own, which are asked the same over REST."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import click
import msgspec

from embedding.running import Running
from gateway.errors import GatewayError
from gateway.identity.who import Who
from terminal.client import Refusal, Remote


class Door(Protocol):
    """Answers the requests of REST."""

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, str], body: object = None, timeout: float = 60.0
    ) -> Any:
        """The JSON of the answer, or None for an empty one. Raises click.ClickException."""

    async def schema(self, session: str, server: str, tool: str) -> Mapping[str, Any] | None:
        """The input schema of a tool, which is about to be called in `session`; None where nobody knows it."""


class There:
    """A gateway that runs."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, str], body: object = None, timeout: float = 60.0
    ) -> Any:
        """As the protocol says; nothing else is done meanwhile."""
        more = {} if body is None else {"json": body}
        response = self._remote.request(method, path, params=dict(query), timeout=timeout, **more)
        return _decoded(response.content)

    async def schema(self, session: str, server: str, tool: str) -> Mapping[str, Any] | None:  # noqa: ARG002
        """As the protocol says, of what the gateway lists."""
        try:
            listed = await self.ask("GET", "/api/v1/tools", query={"server": server})
        except Refusal:
            return None
        tools = listed.get("tools") if isinstance(listed, dict) else None
        found = (each for each in tools or () if isinstance(each, dict) and each.get("name") == tool)
        schema = next(found, {}).get("inputSchema")
        return schema if isinstance(schema, dict) else None


class Here:
    """The gateway in this process, for whoever has `headers`."""

    def __init__(self, gateway: Running, headers: Mapping[str, str]) -> None:
        self._sessions = gateway.sessions
        self._client = gateway.app.test_client()
        self._headers = dict(headers)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: object = None,
        timeout: float = 60.0,  # noqa: ARG002 - the server's own timeouts hold
    ) -> Any:
        """As the protocol says."""
        response = await self._client.open(
            path, method=method, query_string=dict(query), json=body, headers=self._headers
        )
        content = bytes(await response.get_data(as_text=False))
        answer = None
        with suppress(click.ClickException):
            answer = _decoded(content)
        if response.status_code < 400:
            return answer
        error = answer.get("error", {}) if isinstance(answer, dict) else {}
        raise Refusal(response.status_code, str(error.get("code")), str(error.get("message")), error.get("about") or {})

    async def schema(self, session: str, server: str, tool: str) -> Mapping[str, Any] | None:
        """As the protocol says, of what the session's own child has: it is started now, and not a second time."""
        given = {name.lower(): [value] for name, value in self._headers.items()}
        who = Who(header=lambda name: given.get(name.lower(), []))
        try:
            caller = await self._sessions.find_set(session, who).caller(server, who)
            found = (await caller.tools()).get(tool)
            return msgspec.json.decode(found.input_schema, type=dict[str, Any]) if found is not None else None
        except (GatewayError, msgspec.MsgspecError, RecursionError):
            return None  # the call itself will say so


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        raise click.ClickException("what answers is no mcp-gateway: its answer is no JSON") from None
