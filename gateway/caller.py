"""The gateway itself as the MCP client of one child: how a REST call reaches a tool, and how its offer is found out.

The handshake is done once. The child's tools are listed before the first call, and again when the child says that they
changed or when a name is asked for that is not among them.
"""

from collections.abc import Callable, Mapping, Set
from importlib.metadata import version
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.asking import Asking, Asks, Listener
from gateway.catalog.offers import Prompt, Resource, Template, Tool, Welcome
from gateway.catalog.reading import MAX_BYTES, Collected, Malformed, TooLarge, detached
from gateway.errors import GatewayError, mebibytes
from gateway.identity.who import Who
from gateway.jsonrpc import Response, notification, request
from gateway.meta import LOG_LEVEL, PROGRESS
from gateway.relay import Relay
from gateway.specification import LATEST_HANDSHAKE_VERSION, METHOD_NOT_FOUND
from gateway.toollists import CALL, LIST

_CLIENT_INFO: Final = {"name": "mcp-gateway", "version": version("mcp-gateway")}

ANSWERED: Final = frozenset({"elicitation/create", "sampling/createMessage"})
"""What the child of a REST session may ask; all else is declined at once."""

MAX_PAGES: Final = 100
"""Pages of a list that are asked for: a child that always has one more must not keep the gateway busy."""

_LOG_LEVEL: Final = "info"
"""From which on a child of revision 2026-07-28 is to log what it does for a call; others have no such thing."""

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
        self.losses: set[str] = set()
        """What is missing in the lists that the child has told so far, and why: a sentence for the operator for each."""
        self.on_list_changed: Callable[[], None] = lambda: None
        """Called when the child says that its tools are others now."""
        self.on_end: Callable[[], None] = lambda: None
        """Called when the session has ended, and nothing of the child's state is left."""
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

    def call(
        self,
        tool: str,
        arguments: bytes,
        who: Who,
        *,
        within: float | None = None,
        listener: Listener | None = None,
        asks: Asks | None = None,
    ) -> Asking:
        """A call of `tool` is on its way, for `who`, who has let `find` see whether there is one.

        `arguments` is the JSON of an object.
        `within` is how many seconds the child has for it, where that is less than `request_timeout`. A `listener` hears
        of its progress, and what the child logs; what the child asks before it answers goes to `asks`.

        Raises GatewayError.
        """
        self._relay.calls.check()
        params: dict[str, object] = {"name": tool, "arguments": Raw(arguments)}
        if listener is not None:
            params["_meta"] = {PROGRESS: self._last_id + 1, LOG_LEVEL: _LOG_LEVEL}
        return self._ask(CALL, params, who, within=within, listener=listener, asks=asks)

    def fetch(self, method: str, params: object, who: Who, asks: Asks | None = None) -> Asking:
        """The same for any other request. Raises GatewayError, also for one too many."""
        self._relay.calls.check(of_tool=False)
        return self._ask(method, params, who, asks=asks)

    @property
    def questions(self) -> Set[bytes]:
        """The ids of the child's questions that are open."""
        return self._relay.questions

    def respond(self, answer: Response) -> None:
        """Answer a question of the child's. Raises GatewayError where the session has ended."""
        self._relay.respond(answer)

    async def find(self, tool: str, arguments: bytes, who: Who) -> Tool:
        """The tool of that name, if there is one that `who` may call. Raises GatewayError.

        It is one of the child that `who` is to have, which may be another than the one that the last caller had.
        """
        self._relay.heed(who)
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
            self._tools = await self._list(LIST, "tools", Tool)
        return self._tools

    @property
    def knows_tools(self) -> bool:
        """Whether the child's tools were listed, and have not changed since."""
        return self._tools is not None

    async def resources(self) -> list[Resource]:
        """The child's resources. Raises GatewayError."""
        return [*(await self._list("resources/list", "resources", Resource)).values()]

    async def templates(self) -> list[Template]:
        """The child's resource templates. Raises GatewayError."""
        return [*(await self._list("resources/templates/list", "resourceTemplates", Template)).values()]

    async def prompts(self) -> list[Prompt]:
        """The child's prompts. Raises GatewayError."""
        return [*(await self._list("prompts/list", "prompts", Prompt)).values()]

    async def ask(self, method: str, params: object, who: Who | None = None) -> bytes:
        """The result of one request of `who`, or the gateway's own, as a whole. Raises GatewayError.

        Cancellation cancels the request, and the child is told so.
        """
        return bytes(await self._ask(method, params, who).answer())

    def _ask(
        self,
        method: str,
        params: object,
        who: Who | None,
        *,
        within: float | None = None,
        listener: Listener | None = None,
        asks: Asks | None = None,
    ) -> Asking:
        self._last_id += 1
        message = request(self._last_id, method, params)
        return Asking(self._relay, self._server, message, who=who, within=within, listener=listener, asks=asks)

    async def _list(self, method: str, key: str, kind: type[_Item]) -> dict[str, _Item]:
        """All pages of a list, by name; it is empty where the child knows no such list."""
        collected, cursor = Collected(key, kind), None
        for _ in range(MAX_PAGES):
            try:
                cursor = collected.add(await self.ask(method, {} if cursor is None else {"cursor": cursor}))
            except GatewayError as error:
                if error.about.get("code") == METHOD_NOT_FOUND:
                    return {}
                raise
            except Malformed:
                raise GatewayError(Reason.CHILD_ERROR, f"the server's list of {key} is malformed") from None
            except TooLarge:
                message = f"the server's list of {key} has more than {mebibytes(MAX_BYTES)}"
                raise GatewayError(Reason.CHILD_ERROR, message) from None
            if cursor is None:
                break
        self.losses |= collected.losses(more=cursor is not None)
        return collected.found

    def _forget_tools(self) -> None:
        self._tools = None
        self.on_list_changed()


def _welcome(answer: bytes) -> Welcome:
    try:
        said = msgspec.json.decode(answer, type=Welcome)
        capabilities = {name: detached(each) for name, each in said.capabilities.items()}
        return msgspec.structs.replace(said, capabilities=capabilities, server_info=detached(said.server_info))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Welcome()
