"""Which arguments of which tools stand in headers, too, and whether the two agree.

A tool's schema may say of an argument that it is repeated in a header `Mcp-Param-…` (`x-mcp-header`), so that whatever
stands in between can route by it. Only the child knows the schemas, so the gateway asks for its list, once for each
server, principal and set of credentials, and keeps of it no more than those annotations. A list may change, and a child
tells so only those who listen: what is kept is forgotten after a while, and nobody is refused by it before the child was
asked again.

Where the child's list cannot be had, nothing is checked: the check must not break a call that works.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import msgspec
from loguru import logger

from gateway.asking import Asking
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.jsonrpc import request
from gateway.meta import envelope_of
from gateway.modern.envelope import Envelope, Headers, Rejected
from gateway.modern.repeated import Annotations, annotations, disagreement
from gateway.rawjson import Members
from gateway.relay import Relay
from gateway.specification import HEADER_MISMATCH, MCP_PARAM_HEADER_PREFIX

MAX_OWNERS: Final = 1_000
"""Servers' lists, as their principals see them, that are kept; the one that was not used for longest goes first."""

MAX_PAGES: Final = 100
"""Pages of a tool list that are asked for: a child that always has one more must not keep the gateway busy."""

LISTING: Final = 30.0
"""Seconds that a list may take, with all its pages: a call waits for it."""

MAX_TOOLS: Final = 10_000
"""Tools with annotations that are kept of one list."""

FRESH: Final = 60.0
"""Seconds for which a list is taken for what it was."""

_CALL: Final = "tools/call"
_NOTHING: Final = (b"{}", b"null")

Whose = tuple[Principal, bytes]
"""A principal, and the digest of what their child is given of the user's own: with that its tools may be others."""

Annotated = dict[str, Annotations]
"""The tools that have any annotation."""


class _Tool(msgspec.Struct):
    name: str
    inputSchema: Any = None  # noqa: N815 - the protocol's spelling


class _Tools(msgspec.Struct):
    tools: list[_Tool]
    nextCursor: str | None = None  # noqa: N815


@dataclass
class _Owner:
    asking: anyio.Lock = field(default_factory=anyio.Lock)
    tools: Annotated = field(default_factory=dict)
    fresh_until: float = float("-inf")


class ToolHeaders:
    """What is known of the children's tools. `now` is the clock, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._owners: OrderedDict[tuple[str, Principal, bytes], _Owner] = OrderedDict()

    def __repr__(self) -> str:
        return f"<ToolHeaders: {len(self._owners)} lists>"

    def forget(self, server: str, whose: Whose) -> None:
        """The child has said that its tools are others now."""
        self._owners.pop((server, *whose), None)

    async def check(self, relay: Relay, server: str, whose: Whose, envelope: Envelope) -> None:
        """Raises Rejected where headers and arguments disagree. The child of `relay` is asked where need be.

        `whose` it is says what else has the same tools.
        """
        if envelope.message.method != _CALL:
            return
        headers = [
            (name, value) for name, value in envelope.headers if name.lower().startswith(MCP_PARAM_HEADER_PREFIX)
        ]
        if not headers and bytes(envelope.params.get("arguments", b"{}")) in _NOTHING:
            return  # nothing could be violated either way
        owner = self._owner(server, whose)
        # Of two that agree on an old list the second is not asked; of one that disagrees the newest list decides.
        asked = await self._refresh(owner, relay, server, envelope, older_than=self._now())
        rejection = _rejection(owner.tools, envelope, headers)
        if rejection is not None and not asked:
            await self._refresh(owner, relay, server, envelope, older_than=float("inf"))
            rejection = _rejection(owner.tools, envelope, headers)
        if rejection is not None:
            raise rejection

    def _owner(self, server: str, whose: Whose) -> _Owner:
        owner = self._owners.setdefault((server, *whose), _Owner())
        self._owners.move_to_end((server, *whose))
        if len(self._owners) > MAX_OWNERS:
            self._owners.popitem(last=False)
        return owner

    async def _refresh(
        self, owner: _Owner, relay: Relay, server: str, envelope: Envelope, *, older_than: float
    ) -> bool:
        """Ask for the list, if what is known of it is only fresh until before `older_than`; whether it was asked for."""
        async with owner.asking:
            if owner.fresh_until > older_than:
                return False
            owner.tools = {}
            try:
                with anyio.fail_after(LISTING):
                    owner.tools = await _listed(relay, server, envelope_of(envelope.message.params))
            except (GatewayError, TimeoutError) as error:
                why = (
                    error.reason if isinstance(error, GatewayError) else "no answer in time"
                )  # not the child's own words
                logger.debug("the tools of {!r} could not be listed, so no Mcp-Param is checked: {}", relay, why)
            owner.fresh_until = self._now() + FRESH
            return True


async def _listed(relay: Relay, server: str, envelope: Members) -> Annotated:
    """All pages of the child's list. Raises GatewayError."""
    tools: Annotated = {}
    params: dict[str, object] = {"_meta": envelope}
    for _ in range(MAX_PAGES):
        page = bytes(await Asking(relay, server, request(0, "tools/list", params), who=None, cancels=False).answer())
        try:
            listed = msgspec.json.decode(page, type=_Tools)
        except (msgspec.MsgspecError, RecursionError):
            logger.warning("{!r} gave a malformed list of tools", relay)
            break
        tools |= {tool.name: kept for tool in listed.tools if (kept := annotations(tool.inputSchema))}
        if listed.nextCursor is None or len(tools) > MAX_TOOLS:
            break
        params = {"_meta": envelope, "cursor": listed.nextCursor}
    return tools


def _rejection(tools: Annotated, envelope: Envelope, headers: Headers) -> Rejected | None:
    known = tools.get(str(envelope.value("name"))) if tools else None
    if known is None:
        return None
    # Arguments that are no object are the child's to refuse.
    wrong = disagreement(known, envelope.value("arguments"), headers)
    return Rejected(HEADER_MISMATCH, wrong, id_=envelope.message.id) if wrong is not None else None
