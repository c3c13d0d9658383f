"""The ways of a command to a server: a gateway that runs, and one of its own (`terminal.alone`), asked the same."""

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

import click

from terminal.client import Refusal, Remote

_PAGES: Final = 100
"""Of the gateway's list, that are read."""


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
        return decoded(response.content)

    async def schema(self, session: str, server: str, tool: str) -> Mapping[str, Any] | None:  # noqa: ARG002
        """As the protocol says, of what the gateway lists."""
        query = {"server": server}
        for _ in range(_PAGES):
            try:
                listed = await self.ask("GET", "/api/v1/tools", query=query)
            except Refusal:
                return None
            found = _find(listed, tool)
            if found is not None or not isinstance(listed, dict) or not listed.get("nextCursor"):
                break
            query["cursor"] = str(listed["nextCursor"])
        schema = (found or {}).get("inputSchema")
        return schema if isinstance(schema, dict) else None


def _find(listed: object, tool: str) -> Mapping[str, Any] | None:
    """The tool of that name on a page of the gateway's list."""
    tools = listed.get("tools") if isinstance(listed, dict) else None
    return next((each for each in tools or () if isinstance(each, dict) and each.get("name") == tool), None)


def decoded(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        raise click.ClickException("what answers is no mcp-gateway: its answer is no JSON") from None
