"""The gateway itself as the MCP client of one child: how a REST call reaches a tool, and how its offer is found out.

The handshake is done once. The child's tools are listed before the first call, and again when the child says that they
changed or when a name is asked for that is not among them.
"""

from collections.abc import Callable, Mapping, Set
from importlib.metadata import version
from typing import Final, TypeVar

import msgspec
from mcp_types import METHOD_NOT_FOUND
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from msgspec import Raw

from common.reasons import Reason
from gateway.asking import Asks, ask
from gateway.catalog.offers import Prompt, Resource, Template, Tool, Welcome
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Response, notification, request
from gateway.relay import Relay
from gateway.toollists import CALL, LIST

_CLIENT_INFO: Final = {"name": "mcp-gateway", "version": version("mcp-gateway")}

ANSWERED: Final = frozenset({"elicitation/create", "sampling/createMessage"})
"""What the child of a REST session may ask; all else is declined at once."""

MAX_PAGES: Final = 100
"""Pages of a list that are asked for: a child that always has one more must not keep the gateway busy."""

_Item = TypeVar("_Item", bound=msgspec.Struct)


def _hello(capabilities: object) -> bytes:
    said = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": capabilities, "clientInfo": _CLIENT_INFO}
    return msgspec.json.encode(said)


SILENT: Final = _hello({})
"""The params of `initialize` where nobody can be asked anything."""
ASKABLE: Final = _hello({"elicitation": {"form": {}, "url": {}}, "sampling": {}})
"""The same where a caller of REST can."""


class Caller:
    """Calls the tools of `server` over `relay`."""

    def __init__(self, relay: Relay, server: str) -> None:
        self._relay = relay
        self._server = server
        self._last_id = 0
        self._tools: Mapping[str, Tool] | None = None
        self.welcome = Welcome()
        """What the child said of itself; nothing where an earlier gateway heard it."""
        self.on_list_changed: Callable[[], None] = lambda: None
        """Called when the child says that its tools are others now."""
        relay.on_list_changed = self._forget_tools

    async def shake_hands(self, hello: bytes) -> None:
        """Do the handshake, once, with these params. Raises GatewayError where the child does not manage it."""
        try:
            answer = await self.ask("initialize", Raw(hello))
        except GatewayError as error:
            if error.reason in (Reason.CHILD_ERROR, Reason.BAD_REQUEST):
                about = {"certificate": self._relay.certificate} if self._relay.certificate else {}
                message = "the server refused 'initialize'"
                raise GatewayError(Reason.START_FAILED, message, **error.about, **about) from None
            raise
        self.welcome = _welcome(answer)
        self._relay.notify(notification("notifications/initialized"))

    async def call(self, tool: str, arguments: bytes, who: Who, asks: Asks | None = None) -> bytes:
        """The result of `tool`, as MCP gives it to `who`; `arguments` is the JSON of an object. Raises GatewayError.

        What the child asks before it answers goes to `asks`. Cancellation leaves the call running in the child, and drops
        its result.
        """
        await self.find(tool, arguments, who)
        return await self.fetch(CALL, {"name": tool, "arguments": Raw(arguments)}, who, asks)

    async def fetch(self, method: str, params: object, who: Who, asks: Asks | None = None) -> bytes:
        """The result of any request of `who`, as `call` gives it. Raises GatewayError, also for one too many."""
        self._relay.calls.check()
        return await self.ask(method, params, who, asks)

    @property
    def questions(self) -> Set[bytes]:
        """The ids of the child's questions that are open."""
        return self._relay.questions

    def respond(self, answer: Response) -> None:
        """Answer a question of the child's. Raises GatewayError where the session has ended."""
        self._relay.respond(answer)

    async def find(self, tool: str, arguments: bytes, who: Who) -> Tool:
        """The tool of that name, if there is one that `who` may call. Raises GatewayError."""
        found = (await self.tools()).get(tool) or (await self.tools(fresh=True)).get(tool)
        if found is not None and self._relay.errands.allows(who, tool):
            return found
        error = GatewayError(
            Reason.TOOL_NOT_FOUND, f"server '{self._server}' has no such tool", server=self._server, tool=tool[:128]
        )
        if found is not None:
            params = {"name": tool, "arguments": Raw(arguments)}
            self._relay.errands.denied(request(0, CALL, params), who, error)
        raise error

    async def tools(self, *, fresh: bool = False) -> Mapping[str, Tool]:
        """The child's tools, by name; asked for again if `fresh`, or if they have changed. Raises GatewayError."""
        if fresh or self._tools is None:
            self._tools = {tool.name: tool for tool in await self._list(LIST, "tools", Tool)}
        return self._tools

    async def resources(self) -> list[Resource]:
        """The child's resources. Raises GatewayError."""
        return await self._list("resources/list", "resources", Resource)

    async def templates(self) -> list[Template]:
        """The child's resource templates. Raises GatewayError."""
        return await self._list("resources/templates/list", "resourceTemplates", Template)

    async def prompts(self) -> list[Prompt]:
        """The child's prompts. Raises GatewayError."""
        return await self._list("prompts/list", "prompts", Prompt)

    async def ask(self, method: str, params: object, who: Who | None = None, asks: Asks | None = None) -> bytes:
        """The result of one request of `who`, or the gateway's own. Raises GatewayError for an error, whoever's.

        What the child asks before it answers goes to `asks`. Cancellation drops the result.
        """
        self._last_id += 1
        return await ask(self._relay, self._server, request(self._last_id, method, params), who=who, asks=asks)

    async def _list(self, method: str, key: str, kind: type[_Item]) -> list[_Item]:
        """All pages of a list; it is empty where the child knows no such list."""
        found: list[_Item] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            try:
                page = await self.ask(method, {} if cursor is None else {"cursor": cursor})
                parts = msgspec.json.decode(page, type=dict[str, Raw])
                found += msgspec.json.decode(parts[key], type=list[kind])  # type: ignore[valid-type]
                cursor = msgspec.json.decode(parts.get("nextCursor", Raw(b"null")), type=str | None)
            except (msgspec.MsgspecError, KeyError, RecursionError):
                raise GatewayError(Reason.CHILD_ERROR, f"the server's list of {key} is malformed") from None
            except GatewayError as error:
                if error.about.get("code") == METHOD_NOT_FOUND:
                    return []
                raise
            if cursor is None:
                break
        return found

    def _forget_tools(self) -> None:
        self._tools = None
        self.on_list_changed()


def _welcome(answer: bytes) -> Welcome:
    try:
        return msgspec.json.decode(answer, type=Welcome)
    except (msgspec.MsgspecError, RecursionError):
        return Welcome()
