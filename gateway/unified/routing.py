"""Which server a tool is called on, where the caller names the tool alone."""

import difflib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from common.reasons import Reason
from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import request
from gateway.sessions import Sessions
from gateway.toollists import CALL, LONGEST_NAME
from gateway.unified.asking import listings

RECENT: Final = timedelta(seconds=10)
"""Who was asked within this is not asked again for a tool that nobody has: a client may try one name after the other."""

PATIENCE: Final = 30.0
"""Seconds that finding out may take."""

LONGEST_GUESS: Final = 64
MOST_GUESSES: Final = 50
"""Characters of a name for which another is guessed, and names that are held against it: a child may have thousands."""


class Router:
    """Finds the server of a tool among those that its caller may use, and knows nothing of any other."""

    def __init__(self, sessions: Sessions, catalog: Catalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    async def server_of(self, tool: str, who: Who) -> str:
        """The one server that has `tool`. Raises GatewayError where none has, or several have.

        No child is asked where what is known will do. A server of which nothing is known is asked first, for it may have
        the tool, too. Where nobody is known to have it, each is asked once more, for it may be new. Cancellation ends the
        children that are asked.
        """
        allows = self._sessions.oversight.permission
        servers = [server for server in self._sessions.policies if allows(who, server).server]
        known = {server: self._catalog.known(server, who) for server in servers}
        if unheard := [server for server, each in known.items() if each.offer is None and each.failure is None]:
            asked = await listings(self._catalog, unheard, who, within=PATIENCE)
            known |= {each.server: each for each in asked}
        if (server := route(tool, [*known.values()])) is not None:
            return server
        stale = not_asked_since([*known.values()], datetime.now(UTC) - RECENT)
        again = await listings(self._catalog, servers, who, fresh=stale, within=PATIENCE)
        if (server := route(tool, again)) is not None:
            return server
        error = nowhere(tool, again)
        self._record(tool, who, servers, error)
        raise error

    def _record(self, tool: str, who: Who, servers: Sequence[str], error: GatewayError) -> None:
        """That `who` may not use the tool is recorded, and not told."""
        for server in servers:
            if self._catalog.hides(server, who, tool):
                self._sessions.oversight.denied(who, server, request(0, CALL, {"name": tool}), error)


def route(tool: str, known: Sequence[Listing]) -> str | None:
    """The server that has `tool`; None where none has. Raises GatewayError where several have."""
    servers = [listing.server for listing in known if any(each.name == tool for each in listing.tools)]
    if len(servers) > 1:
        name = tool[:LONGEST_NAME]
        message = (
            f"several servers have a tool '{name}': {', '.join(servers)}; say with 'server' which of them is meant"
        )
        raise GatewayError(Reason.AMBIGUOUS_TOOL, message, tool=name, servers=servers)
    return servers[0] if servers else None


def not_asked_since(known: Sequence[Listing], instant: datetime) -> list[str]:
    """The servers that have told what they offer, all before `instant`. Those that cannot be asked are none of them."""
    return [each.server for each in known if each.offer is not None and not each.failure and each.offer.asked < instant]


def _nearest(name: str, names: Collection[str]) -> list[str]:
    """The one of `names` that is the most like it, if any is: of those that are about as long, for there may be many."""
    if len(name) > LONGEST_GUESS:
        return []
    likely = sorted(names, key=lambda each: (abs(len(each) - len(name)), each))[:MOST_GUESSES]
    return difflib.get_close_matches(name, likely, n=1)


def nowhere(tool: str, known: Sequence[Listing]) -> GatewayError:
    """No server has the tool; or one that cannot be asked might."""
    name = tool[:LONGEST_NAME]
    silent = [listing.server for listing in known if listing.offer is None]
    message = f"no server has a tool '{name}'"
    if silent:
        message += f", but of {', '.join(silent)} it is not known what they have"
    if near := _nearest(name, {each.name for listing in known for each in listing.tools}):
        message += f"; did you mean '{near[0]}'?"
    return GatewayError(Reason.TOOL_NOT_FOUND, message, tool=name, unknown=silent)
