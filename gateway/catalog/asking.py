"""A child that is opened to be asked what its server offers, and ended.

It is nobody's session: it stands in no table, and nobody's places for children are taken for it.
"""

from datetime import UTC, datetime
from typing import Final

import anyio

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.caller import SILENT, Caller
from gateway.catalog.offers import Offer
from gateway.identity.principal import Principal
from gateway.leases import Leases
from gateway.personal import NOTHING, Personal
from gateway.relay import Relay
from gateway.session import Door, Session

_NOBODY: Final = Principal("gateway", "")
_LABEL: Final = "catalog"


class _Backstage:
    """What a session needs of the table that it is in, for one that is in none."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def spawn(self, session: Session) -> Relay:
        return await self._leases.spawn(session)

    def keep(self, session: Session, relay: Relay) -> None:
        """No later gateway could make use of it."""

    def remove(self, ended: Session, reason: Reason) -> None:  # noqa: ARG002 - the table's contract
        if ended.relay is not None:
            self._leases.remove(ended.relay)


async def offer_of(leases: Leases, server: str, policy: ServerPolicy, own: Personal = NOTHING) -> Offer:
    """What a child of `server` offers that is given a user's `own`. Raises GatewayError where none can be had or asked.

    Cancellation ends the child.
    """
    session = Session(
        _Backstage(leases), _LABEL, _NOBODY, server, Door.REST, policy, personal=own, on_forget=lambda: None
    )
    session.hello = SILENT
    began = anyio.current_time()
    try:
        caller = await session.caller()
        took = anyio.current_time() - began
        return await _asked(caller, took)
    finally:
        session.end(Reason.REQUEST_DONE)


async def _asked(caller: Caller, took: float) -> Offer:
    return Offer(
        welcome=caller.welcome,
        tools=tuple((await caller.tools()).values()),
        resources=tuple(await caller.resources()),
        templates=tuple(await caller.templates()),
        prompts=tuple(await caller.prompts()),
        asked=datetime.now(UTC),
        took=took,
    )
