"""The catalog: what each server offers, kept until it is asked for again.

A server whose children are given something of a user's own is asked for each user; of any other there is one answer for
everybody, of which a caller is told what the rules of `access` leave.
"""

from dataclasses import replace

import anyio

from gateway.catalog.asking import offer_of
from gateway.catalog.offers import Listing, Offer
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.personal import personal
from gateway.sessions import Sessions

_Key = tuple[str, bytes]
"""A server, and the digest of what its child was given of a user's own."""


class Catalog:
    """What the servers of `sessions` offer."""

    def __init__(self, sessions: Sessions) -> None:
        self.disabled: tuple[str, ...] = ()
        """Servers that stand in the configuration, and are not there."""
        self._sessions = sessions
        self._offers: dict[_Key, Offer] = {}
        self._failures: dict[_Key, GatewayError] = {}
        self._asking: dict[_Key, anyio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Catalog: {len(self._offers)} offers>"

    async def listings(self, who: Who, *, fresh: bool = False) -> list[Listing]:
        """What each server offers that `who` may use, in the order of the configuration; whatever fails says why.

        Servers of which nothing is known, or all if `fresh`, are asked at once. Cancellation ends their children.
        """
        allowed = self._sessions.oversight.permission
        servers = [server for server in self._sessions.policies if allowed(who, server).server]
        found: dict[str, Listing] = {}

        async def find(server: str) -> None:
            found[server] = await self.listing(server, who, fresh=fresh)

        async with anyio.create_task_group() as tasks:
            for server in servers:
                tasks.start_soon(find, server, name=f"catalog of {server}")
        return [found[server] for server in servers]

    async def listing(self, server: str, who: Who, *, fresh: bool = False) -> Listing:
        """What `server` offers; a child is asked if nobody knows, or if `fresh`, and whoever else asks waits for it.

        Raises GatewayError where `who` may not use it, the same as for a server that there is not. Why a child could not
        be asked is in the answer. Cancellation ends the child.
        """
        self._sessions.check(who, server)
        try:
            policy = self._sessions.policy(server)
            own = personal(who, policy)
        except GatewayError as error:
            return Listing(server, None, error)
        key = (server, own.digest)
        before = self._offers.get(key)
        async with self._asking.setdefault(key, anyio.Lock()):
            if self._offers.get(key) is None or (fresh and self._offers.get(key) is before):
                try:
                    self._offers[key] = await offer_of(self._sessions.leases, server, policy, own)
                    self._failures.pop(key, None)
                except GatewayError as error:
                    self._failures[key] = error
        return self._told(key, who)

    def known(self, server: str, who: Who) -> Listing:
        """The same, of what is known already: nobody is asked. Both offer and failure are None where nothing is.

        Raises GatewayError as `listing` does.
        """
        self._sessions.check(who, server)
        try:
            key = (server, personal(who, self._sessions.policy(server)).digest)
        except GatewayError as error:
            return Listing(server, None, error)
        return self._told(key, who)

    def hides(self, server: str, who: Who, tool: str) -> bool:
        """Whether `server`, which `who` may use, is known to have that tool, and `who` may not use it."""
        permission = self._sessions.oversight.permission(who, server)
        if permission.tool(tool):
            return False
        offers = (offer for (name, _), offer in self._offers.items() if name == server)
        return any(each.name == tool for offer in offers for each in offer.tools)

    def _told(self, key: _Key, who: Who) -> Listing:
        offer, permission = self._offers.get(key), self._sessions.oversight.permission(who, key[0])
        if offer is not None and not permission.every_tool:
            offer = replace(offer, tools=tuple(tool for tool in offer.tools if permission.tool(tool.name)))
        return Listing(key[0], offer, self._failures.get(key))
