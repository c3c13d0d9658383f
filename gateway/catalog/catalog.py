"""The catalog: what each server offers, kept until it is asked for again.

A server whose children are given something of a user's own is asked for each user; of any other there is one answer for
everybody, of which a caller is told what the rules of `access` leave. When a server is asked again, `entries` decides.
"""

import asyncio
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import anyio
from loguru import logger

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.catalog.asking import offer_of
from gateway.catalog.conditions import Conditions
from gateway.catalog.entries import Entries, Entry, is_its_own, too_often
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError, no_server, refused
from gateway.identity.who import Who
from gateway.personal import NOTHING, Personal, personal
from gateway.session import Session
from gateway.sessions import LEAVING_RETRY, Sessions

AT_ONCE: Final = 4
"""Children that are asked at once; and as many again of those that are given something of a user's own."""

EACH_USERS_OWN: Final = "each user's own"
"""How a server is whose children are given something of a user's own."""

REMEDY: Final = "this log may say more, 'mcp-gateway check' tries it again, and 'enabled: false' takes it out"


class Catalog:
    """What the servers of `sessions` offer."""

    def __init__(self, sessions: Sessions) -> None:
        self.disabled: tuple[str, ...] = ()
        """Servers that stand in the configuration, and are not there."""
        self.reloaded = anyio.Event()
        """Set when the servers are others; then there is another event."""
        self._sessions = sessions
        self._entries = Entries()
        self._conditions = Conditions()
        self._again: set[asyncio.Task[None]] = set()
        """Questions for whose answers nobody waits."""
        self._common = anyio.CapacityLimiter(AT_ONCE)
        self._personal = anyio.CapacityLimiter(AT_ONCE)
        sessions.leases.on_offer_changed = self._changed

    def __repr__(self) -> str:
        return f"<Catalog: {self._entries!r}, {self._conditions!r}>"

    async def listings(self, who: Who, *, fresh: bool = False) -> list[Listing]:
        """What each server offers that `who` may use, in the order of the configuration; whatever fails says why.

        Servers that are to be asked are asked at once. Cancellation ends their children.
        """
        allowed = self._sessions.oversight.permission
        servers = [server for server in self._sessions.policies if allowed(who, server).server]
        found: dict[str, Listing] = {}

        async def find(server: str) -> None:
            try:
                found[server] = await self.listing(server, who, fresh=fresh)
            except GatewayError as error:  # it was taken out of the configuration meanwhile
                logger.debug("server '{}' is not listed: {}", server, error)

        async with anyio.create_task_group() as tasks:
            for server in servers:
                tasks.start_soon(find, server, name=f"catalog of {server}")
        return [found[server] for server in servers if server in found]

    async def listing(self, server: str, who: Who, *, fresh: bool = False) -> Listing:
        """What `server` offers. A child is asked where that is due, or `fresh`; whoever else asks waits for it.

        Only where it failed, and is not to be `fresh`, nobody waits: it is asked again behind the answer, which says why.
        One that was asked a moment ago is not asked again, however `fresh`. Raises GatewayError where `who` may not use
        it, the same as for a server that there is not. Why a child could not be asked is in the answer. Cancellation
        ends the child, and whoever waits for it has another one asked.
        """
        self._sessions.check(who, server)
        policy = self._sessions.policy(server)
        try:
            own = personal(who, policy)
        except GatewayError as error:
            return Listing(server, None, error)
        if server not in self._sessions.policies:
            raise no_server(server)  # only sessions from before a reload have it
        entry = self._entries.get(server, own.digest, policy, who.principal, anyio.current_time())
        failure = await self._see_to(server, entry, own, fresh=fresh)
        return self._told(Listing(server, entry.offer, failure or entry.failure), who)

    def known(self, server: str, who: Who) -> Listing:
        """What `server` offers, of what is known already: nobody is asked. Both members are None where nothing is.

        Raises GatewayError as `listing` does.
        """
        self._sessions.check(who, server)
        try:
            own = personal(who, self._sessions.policy(server))
        except GatewayError as error:
            return Listing(server, None, error)
        entry = self._entries.find(server, own.digest)
        return self._told(Listing(server, entry.offer, entry.failure) if entry else Listing(server, None), who)

    def hides(self, server: str, who: Who, tool: str) -> bool:
        """Whether `server`, which `who` may use, is known to have that tool, and `who` may not use it."""
        if self._sessions.oversight.permission(who, server).tool(tool):
            return False
        return any(each.name == tool for offer in self._entries.offers(server) for each in offer.tools)

    async def look(self, server: str) -> Listing | None:
        """Ask `server` now, unless that was done a moment ago; None where it is each user's own, or not there any more.

        Cancellation ends the child.
        """
        policy = self._sessions.policies.get(server)
        if policy is None or policy.personal:
            return None
        entry = self._entries.get(server, NOTHING.digest, policy, Who().principal, anyio.current_time())
        failure = await self._see_to(server, entry, NOTHING, fresh=True)
        return Listing(server, entry.offer, failure or entry.failure)

    def condition(self, server: str, who: Who | None = None) -> dict[str, object] | None:
        """How `server` is, for `/health`; None where nothing is known. The tools of which `who` may know are counted."""
        policy, condition = self._sessions.policies.get(server), self._conditions.of(server)
        if policy is not None and policy.personal:
            return {"state": EACH_USERS_OWN}
        if condition is None:
            return None
        report = condition.report()
        if who is not None and condition.offer is not None and "tools" in report:
            permission = self._sessions.oversight.permission(who, server)
            report["tools"] = sum(permission.tool(tool.name) for tool in condition.offer.tools)
        return report

    def take_over(self, policies: dict[str, ServerPolicy], disabled: tuple[str, ...]) -> None:
        """The servers are these now: what was told by others is forgotten."""
        self.disabled = disabled
        self._entries.retain(policies)
        # What is known of a server that is another now is known of that other one no more.
        self._conditions.retain({name for name in policies if self._entries.find(name, NOTHING.digest) is not None})
        self.reloaded.set()
        self.reloaded = anyio.Event()

    async def _see_to(self, server: str, entry: Entry, own: Personal, *, fresh: bool) -> GatewayError | None:
        """See to it that `server` is asked if it should be. Why it may not be, where nothing is known."""
        if entry.is_known_to_fail and not fresh:
            self._ask_behind(server, entry, own)
            return None
        before = entry.asks
        async with entry.lock:
            now = anyio.current_time()
            if entry.asks != before or not entry.is_due(now, fresh=fresh):
                return None
            if not entry.begin(now):
                return too_often(server) if not entry.asks else None
            await self._ask(server, entry, own)
        return None

    def _ask_behind(self, server: str, entry: Entry, own: Personal) -> None:
        """Ask a server that failed, if it is due. Nobody waits: it may hang again, and is one of many that are listed."""
        now = anyio.current_time()
        if not entry.lock.locked() and entry.is_due(now, fresh=False):
            task = asyncio.create_task(
                self._ask_again(server, entry, own), name=f"ask {server} again", context=Context()
            )
            self._again.add(task)
            task.add_done_callback(self._again.discard)

    async def _ask_again(self, server: str, entry: Entry, own: Personal) -> None:
        async with entry.lock:
            now = anyio.current_time()
            if entry.is_due(now, fresh=False) and entry.begin(now):
                await self._ask(server, entry, own)

    async def close(self) -> None:
        """End the children for whose answers nobody waits."""
        for task in self._again:
            task.cancel()
        await asyncio.gather(*self._again, return_exceptions=True)

    async def _ask(self, server: str, entry: Entry, own: Personal) -> None:
        """Ask a child of `server`, and remember what it says."""
        try:
            async with self._personal if entry.policy.personal else self._common:
                self._refuse_if_leaving()
                leases, eras = self._sessions.leases, self._sessions.eras
                offer = await offer_of(leases, eras, server, entry.policy, own, quietly=entry.asks > 0)
        except GatewayError as error:
            entry.failed(error, anyio.current_time())
            self._note(server, entry, error)
        except BaseException:
            entry.give_up()
            raise
        else:
            before = entry.offer.losses if entry.offer is not None else ()
            entry.told(offer)
            self._entries.make_room()
            self._note(server, entry, None)
            for loss in sorted({*offer.losses} - {*before}):
                logger.warning("of what server '{}' offers something is left out: {}", server, loss)

    def _note(self, server: str, entry: Entry, failure: GatewayError | None) -> None:
        if entry.policy.personal or self._sessions.policies.get(server) != entry.policy:
            return
        if failure is not None and not is_its_own(failure):
            return
        if not self._conditions.note(server, entry.offer, failure, datetime.now(UTC)):
            return
        if failure is None:
            logger.info("server '{}' is well again", server)
        else:
            # It may be the child's own words.
            said = "".join(each if each.isprintable() else " " for each in failure.message)
            logger.warning("server '{}' fails ({}): {}; {}", server, failure.reason, said, REMEDY)

    def _changed(self, session: Session) -> None:
        """The child of `session` says that what it offers is another now."""
        entry = self._entries.find(session.server, session.personal.digest)
        if entry is not None and entry.policy.generation == session.policy.generation:
            entry.changed()

    def _refuse_if_leaving(self) -> None:
        if self._sessions.is_leaving:
            raise refused(Reason.SHUTDOWN, "the gateway is shutting down", LEAVING_RETRY)

    def _told(self, listing: Listing, who: Who) -> Listing:
        offer, permission = listing.offer, self._sessions.oversight.permission(who, listing.server)
        if offer is None or permission.every_tool:
            return listing
        return replace(listing, offer=replace(offer, tools=tuple(t for t in offer.tools if permission.tool(t.name))))
