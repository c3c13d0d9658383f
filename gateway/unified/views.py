"""What the unified API shows of servers and tools. No I/O.

A member that is not known is null, so that an answer always has the same members.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from msgspec import Raw

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.catalog.offers import Listing, Offer, Tool
from gateway.errors import GatewayError
from gateway.personal import FAULTS
from supervisor.protocol import ServerReport

READY: Final = "ready"
FAILING: Final = "failing"
UNKNOWN: Final = "unknown"
DISABLED: Final = "disabled"

_NO_FAULT_OF_IT: Final = frozenset({429, 503})
"""Statuses of failures to ask a server that may be as well as ever: there is no room, or soon no gateway."""

_NO_REPORT: Final = ServerReport()
_NO_POLICY: Final = ServerPolicy(start_timeout=0, request_timeout=0, max_message_bytes=0)
View = dict[str, Any]


def state(listing: Listing, report: ServerReport = _NO_REPORT) -> tuple[str, View | None]:
    """How a server is, as far as the caller may know, and why it is no better than that."""
    if report.failing:
        return FAILING, {"code": Reason.SERVER_FAILING, "message": report.failing}
    failure = listing.failure
    if failure is None:
        return (READY if listing.offer is not None else UNKNOWN), None
    if failure.reason in FAULTS or failure.status in _NO_FAULT_OF_IT:
        return (READY if listing.offer is not None else UNKNOWN), _why(failure)
    return FAILING, _why(failure)


def server(listing: Listing, policy: ServerPolicy, report: ServerReport = _NO_REPORT) -> View:
    """A server, as it stands in a list."""
    now, why = state(listing, report)
    offer = listing.offer
    return {
        "id": listing.server,
        "name": policy.name or listing.server,
        "tags": policy.tags,
        "state": now,
        "failing": why,
        "running": report.running,
        "warm": report.warm or 0,
        "toolCount": len(offer.tools) if offer else None,
        "resourceCount": len(offer.resources) if offer else None,
        "resourceTemplateCount": len(offer.templates) if offer else None,
        "promptCount": len(offer.prompts) if offer else None,
        "serverInfo": offer.welcome.server_info if offer else None,
        "protocolVersion": offer.welcome.protocol_version if offer else None,
        "asked": offer.asked if offer else None,
    }


def disabled(name: str) -> View:
    """A server that stands in the configuration, and is not to be used. Nothing else is known of it."""
    shown = server(Listing(name, None), _NO_POLICY)
    return {**shown, "state": DISABLED}


def whole_server(listing: Listing, policy: ServerPolicy, report: ServerReport = _NO_REPORT) -> View:
    """A server by itself, with all that is known of it."""
    offer = listing.offer
    return {
        **server(listing, policy, report),
        "instructions": offer.welcome.instructions if offer else None,
        "capabilities": offer.welcome.capabilities if offer else None,
        "startSeconds": round(offer.took, 3) if offer else None,
        "tools": [tool(each, listing.server, policy) for each in _by_name(offer)],
    }


def tool(each: Tool, server: str, policy: ServerPolicy) -> View:
    """A tool. Of what a server need not give, what it did not give is left away, as MCP has it."""
    shown: View = {
        "server": server,
        "serverId": server,
        "serverName": policy.name or server,
        "tags": policy.tags,
        "name": each.name,
        "title": each.title,
        "description": each.description,
        "inputSchema": each.input_schema,
        "outputSchema": each.output_schema,
        "annotations": each.annotations,
    }
    return {name: value for name, value in shown.items() if value is not None and not _is_empty(value)}


def matches(each: Tool, words: Iterable[str]) -> bool:
    """Whether all `words`, which are casefolded, occur in what `each` is called or described as."""
    told = "\n".join((each.name, each.title or "", each.description or "")).casefold()
    return all(word in told for word in words)


def is_tagged(policy: ServerPolicy, tags: Collection[str]) -> bool:
    """Whether it has one of `tags`, where there are any."""
    return not tags or any(tag in tags for tag in policy.tags)


def failing(listings: Sequence[Listing]) -> list[View]:
    """The servers of which not all is known, and why."""
    found = []
    for listing in listings:
        if listing.failure is not None:
            found.append({"server": listing.server, **_why(listing.failure)})
        elif listing.offer is None:
            about = {"code": Reason.REQUEST_TIMEOUT, "message": "it has not told in time what it offers"}
            found.append({"server": listing.server, **about})
    return found


def _why(failure: GatewayError) -> View:
    return {"code": failure.reason, "message": failure.message}


def _by_name(offer: Offer | None) -> list[Tool]:
    return sorted(offer.tools, key=lambda each: each.name) if offer else []


def _is_empty(value: object) -> bool:
    return isinstance(value, Raw) and not bytes(value)
