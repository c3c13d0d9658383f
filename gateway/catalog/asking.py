"""A child that is opened to be asked what its server offers, and ended.

It is nobody's session: it stands in no table, nobody's places for children are taken for it, and it gives way to whoever
would have to wait for its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Final, TypeVar

import anyio
import msgspec

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.caller import SILENT, Caller
from gateway.catalog.offers import Offer, Prompt, Resource, Template
from gateway.catalog.reading import MAX_BYTES, size_of
from gateway.eras import Eras
from gateway.errors import GatewayError, mebibytes
from gateway.identity.principal import Principal
from gateway.leases import Leases
from gateway.personal import NOTHING, Personal
from gateway.relay import Relay
from gateway.session import Door, Session

TO_TELL: Final = 30.0
"""Seconds that a child may take, once it is ready, to say all that it offers."""

_NOBODY: Final = Principal("gateway", "")
_TOLERATED: Final = frozenset({Reason.CHILD_ERROR, Reason.BAD_REQUEST})
"""What becomes of a list that is the child's own error; its tools are of use without that list."""

_Thing = TypeVar("_Thing", bound=msgspec.Struct)
_numbers = count(1)


class _Backstage:
    """What a session needs of the table that it is in, for one that is in none."""

    level = "DEBUG"

    def __init__(self, leases: Leases, eras: Eras, *, quietly: bool) -> None:
        self._leases = leases
        self._eras = eras
        self._quietly = quietly

    async def spawn(self, session: Session) -> Relay:
        relay = await self._leases.spawn_aside(session)
        if self._quietly:
            relay.hush()
        return relay

    def keep(self, session: Session, relay: Relay) -> None:
        """No later gateway could make use of it."""

    def remove(self, ended: Session, reason: Reason) -> None:
        if reason is Reason.START_FAILED:
            self._eras.forget(ended.server)  # perhaps it was spoken to in the wrong one
        if ended.relay is not None:
            self._leases.remove(ended.relay)


async def offer_of(
    leases: Leases, eras: Eras, server: str, policy: ServerPolicy, own: Personal = NOTHING, *, quietly: bool = False
) -> Offer:
    """What a child of `server` offers that is given a user's `own`. Raises GatewayError where none can be had or asked.

    What it writes that is no message is no news to the log if it is asked `quietly`. Cancellation ends the child.
    """
    label, table = f"catalog.{next(_numbers)}", _Backstage(leases, eras, quietly=quietly)
    session = Session(table, label, _NOBODY, server, Door.REST, policy, personal=own, on_forget=lambda: None)
    session.hello = SILENT
    began = anyio.current_time()
    try:
        caller = await session.caller()
        took = anyio.current_time() - began
        with anyio.fail_after(TO_TELL):
            offer = await _asked(caller, took)
    except TimeoutError:
        message = f"the server did not say within {TO_TELL:g} seconds what it offers"
        raise GatewayError(Reason.REQUEST_TIMEOUT, message, server=server) from None
    finally:
        session.end(Reason.REQUEST_DONE)
    if offer.size > MAX_BYTES:
        raise GatewayError(Reason.CHILD_ERROR, f"what the server offers has more than {mebibytes(MAX_BYTES)}")
    return offer


async def _asked(caller: Caller, took: float) -> Offer:
    """What the child says; once more where it says meanwhile that this is another now."""
    said = await _ask(caller, took)
    return said if caller.knows_tools else await _ask(caller, took)


async def _ask(caller: Caller, took: float) -> Offer:
    tools = tuple((await caller.tools()).values())
    resources: Sequence[Resource] = ()
    templates: Sequence[Template] = ()
    prompts: Sequence[Prompt] = ()
    if "resources" in caller.welcome.capabilities:
        resources = await _if_told(caller, "resources", caller.resources)
        templates = await _if_told(caller, "resource templates", caller.templates)
    if "prompts" in caller.welcome.capabilities:
        prompts = await _if_told(caller, "prompts", caller.prompts)
    parts = (caller.welcome, *tools, *resources, *templates, *prompts)
    return Offer(
        welcome=caller.welcome,
        tools=tools,
        resources=tuple(resources),
        templates=tuple(templates),
        prompts=tuple(prompts),
        asked=datetime.now(UTC),
        took=took,
        size=sum(map(size_of, parts)),
        losses=tuple(sorted(caller.losses)),
    )


async def _if_told(caller: Caller, what: str, ask: Callable[[], Awaitable[Sequence[_Thing]]]) -> Sequence[_Thing]:
    try:
        return await ask()
    except GatewayError as error:
        if error.reason not in _TOLERATED:
            raise
        caller.losses.add(f"it does not tell its {what} ({error.reason})")
        return ()
