"""The gateway itself as the MCP client of one child: how a REST call reaches a tool.

The handshake is done once. The child's tools are listed before the first call, and again when the child says that they
changed or when a name is asked for that is not among them.
"""

from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.asking import ask
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import notification, request
from gateway.relay import Relay
from gateway.specification import LATEST_HANDSHAKE_VERSION, METHOD_NOT_FOUND
from gateway.toollists import CALL

_CLIENT_INFO: Final = {"name": "mcp-gateway", "version": version("mcp-gateway")}

MAX_PAGES: Final = 100
"""Pages of a tool list that are asked for: a child that always has one more must not keep the gateway busy."""


class _Tool(msgspec.Struct):
    name: str


class _Tools(msgspec.Struct):
    tools: list[_Tool]
    nextCursor: str | None = None  # noqa: N815 - the protocol's spelling


class Caller:
    """Calls the tools of `server` over `relay`."""

    def __init__(self, relay: Relay, server: str) -> None:
        self._relay = relay
        self._server = server
        self._last_id = 0
        self._tools: frozenset[str] | None = None
        relay.on_list_changed = self._forget_tools

    async def shake_hands(self) -> None:
        """Do the handshake, once. Raises GatewayError where the child does not manage it."""
        hello = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": _CLIENT_INFO}
        try:
            await self._ask("initialize", hello)
        except GatewayError as error:
            if error.reason in (Reason.CHILD_ERROR, Reason.BAD_REQUEST):
                about = {"certificate": self._relay.certificate} if self._relay.certificate else {}
                message = "the server refused 'initialize'"
                raise GatewayError(Reason.START_FAILED, message, **error.about, **about) from None
            raise
        self._relay.notify(notification("notifications/initialized"))

    async def call(self, tool: str, arguments: bytes, who: Who) -> bytes:
        """The result of `tool`, as MCP gives it to `who`; `arguments` is the JSON of an object. Raises GatewayError.

        Cancellation leaves the call running in the child, and drops its result.
        """
        has, params = await self._has(tool), {"name": tool, "arguments": Raw(arguments)}
        if not (has and self._relay.errands.allows(who, tool)):
            error = GatewayError(
                Reason.TOOL_NOT_FOUND, f"server '{self._server}' has no such tool", server=self._server, tool=tool[:128]
            )
            if has:
                self._relay.errands.denied(request(0, CALL, params), who, error)
            raise error
        self._relay.calls.check()
        return await self._ask(CALL, params, who)

    async def _has(self, tool: str) -> bool:
        if self._tools is not None and tool in self._tools:
            return True
        self._tools = await self._list_tools()
        return tool in self._tools

    async def _list_tools(self) -> frozenset[str]:
        names: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            try:
                page = await self._ask("tools/list", {} if cursor is None else {"cursor": cursor})
                listed = msgspec.json.decode(page, type=_Tools)
            except msgspec.ValidationError:
                raise GatewayError(Reason.CHILD_ERROR, "the server's list of tools is malformed") from None
            except GatewayError as error:
                if error.about.get("code") == METHOD_NOT_FOUND:
                    return frozenset()
                raise
            names.update(tool.name for tool in listed.tools)
            cursor = listed.nextCursor
            if cursor is None:
                break
        return frozenset(names)

    def _forget_tools(self) -> None:
        self._tools = None

    async def _ask(self, method: str, params: object, who: Who | None = None) -> bytes:
        """The result of one request. Raises GatewayError for an error, the child's or our own."""
        self._last_id += 1
        return await ask(self._relay, self._server, request(self._last_id, method, params), who=who)
