"""A **session**: one principal's private use of one server, with at most one child.

Its child is spawned when the first message needs one, and ends with it; the bridge to it is a `Relay`.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Protocol

import anyio
from loguru import logger

from common.config.model import ServerPolicy
from common.logs import masked
from common.reasons import Reason
from gateway.caller import SILENT, Caller
from gateway.conversation import Answers
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.personal import NOTHING, Personal
from gateway.rawjson import Members
from gateway.relay import Relay
from gateway.sharing.whose import changed
from gateway.unused import Unused


class Door(Enum):
    """Through which door a session was opened. It answers at no other."""

    SSE = "HTTP+SSE"
    STREAMABLE = "Streamable HTTP"
    REST = "REST"
    WEBSOCKET = "WebSocket"
    STATELESS = "stateless HTTP"
    """Revision 2026-07-28. The session is the gateway's own affair: found by its key, its id shown to nobody."""


class Table(Protocol):
    """What a session needs of the table that it is in (`gateway.sessions`)."""

    level: str
    """How loud the log is about the end of a session in it."""

    async def spawn(self, session: "Session") -> Relay:
        """A child for it. Raises GatewayError where none can be had."""

    def keep(self, session: "Session", relay: Relay) -> None:
        """From now on another gateway could go on with it."""

    def remove(self, ended: "Session", reason: Reason) -> None:
        """It has ended."""


class Session:
    """One principal's use of one server, through one door.

    It ends by itself when nobody makes use of it, unless it belongs to a session set, which does so itself: that one
    gives it an `on_forget`, called once it has ended.
    """

    def __init__(
        self,
        table: Table,
        id_: str,
        principal: Principal,
        server: str,
        door: Door,
        policy: ServerPolicy,
        *,
        key: str | None = None,
        personal: Personal = NOTHING,
        share: str | None = None,
        on_forget: Callable[[], None] | None = None,
    ) -> None:
        self.id = id_
        self.key = key
        """By which it is found, beside its principal and server, where no client ever gets its id."""
        self.principal = principal
        self.personal = personal
        """What its child is given of its user's own."""
        self.share = share
        """What it has in common with the sessions that share its child; None where that is its own."""
        self.hello: bytes | None = None
        """The params of its client's `initialize`, where those are known before there is a child."""
        self.answers: Answers = door is not Door.REST
        """What its client can be asked."""
        self.server = server
        self.door = door
        self.policy = policy
        self.ended: Reason | None = None
        self.since = time.monotonic()
        """When it was opened, or taken up."""
        self.opened = ""
        """What the translator before its child has to know, where there is one, for the gateway after this one."""
        self.envelope: Members = {}
        """What a client without a session has said of itself, for a child that is to be told so once."""
        self.resumes = False
        """Whether an earlier gateway saw its child through the handshake."""
        self._table = table
        self._relay: Relay | None = None
        self._caller: Caller | None = None
        self._lapsed = False
        self._certificate = ""
        self._failure: GatewayError | None = None
        """Why its child could not be had, for who waited for it, too."""
        self._starting: anyio.Lock | None = None
        """Held by who starts the child, or shakes hands with it; there is none in between."""
        self._on_forget = on_forget or Unused(self).cancel

    def __repr__(self) -> str:
        return f"<Session {masked(self.id)} {self.door.value} {self._relay or self.ended or 'without a child'!r}>"

    @property
    def in_use(self) -> bool:
        """Whether anything was ever asked of its child."""
        return self._relay is not None and self._relay.used and self.ended is None

    @property
    def relay(self) -> Relay | None:
        """The bridge to its child, once `start` has made it."""
        return self._relay

    @property
    def is_starting(self) -> bool:
        """Whether somebody waits for its child."""
        return self._starting is not None or (self._relay is not None and not self._relay.initialized)

    @property
    def owner(self) -> tuple[object, ...]:
        """All that has to be right before anybody is told of it."""
        return (self.principal, self.server, self.door)

    @property
    def certificate(self) -> str:
        """The id of its child's death certificate, where there is one."""
        return self._relay.certificate if self._relay is not None else self._certificate

    def resume(self, relay: Relay) -> None:
        """Go on with a child that an earlier gateway saw through its handshake."""
        self._relay = relay
        if self.door is Door.REST:
            self._caller = Caller(relay, self.server)

    async def start(self) -> Relay:
        """The bridge to its child, spawned if there is none yet; who comes meanwhile waits for the same one.

        Raises GatewayError where no child can be had, and then a later call tries again, or where the session has ended.
        Cancellation gives back what was being spawned.
        """
        if self._relay is not None and self._starting is None and self.ended is None:
            return self._relay
        async with self._one_at_a_time():
            if self.ended is not None:
                raise self._failure or not_found(self.ended)
            if self._relay is None:
                self._relay = await self._table.spawn(self)
                if self.door is Door.STREAMABLE or (self.door is Door.STATELESS and self.key is not None):
                    self._relay.on_ready = self.keep
            return self._relay

    @asynccontextmanager
    async def _one_at_a_time(self) -> AsyncIterator[None]:
        lock = self._starting = self._starting or anyio.Lock()
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._starting is lock:
                self._starting = None

    def heed(self, own: Personal) -> None:
        """Its user's own values are others now: it goes on with another child, after its calls have ended."""
        names = changed(self.personal.values, own.values)
        self.personal = own
        if self._relay is not None and self._relay.lane is not None:
            self._relay.lane.change(own, names)

    def lapse(self, reason: Reason) -> None:
        """Its child ended after an earlier gateway, and before this one."""
        self._lapsed = True
        self.forget(reason)

    def keep(self) -> None:
        """From now on another gateway could go on with it."""
        if self._relay is not None:
            self._table.keep(self, self._relay)

    async def caller(self) -> Caller:
        """The gateway's own MCP client of its child, past the handshake; who comes meanwhile waits for it.

        Raises GatewayError where the handshake fails. Then, and when it is cancelled, the session ends.
        """
        if self._caller is not None:  # until the session ends
            return self._caller
        try:
            relay = await self.start()
            async with self._one_at_a_time():
                if self._caller is None:
                    self._caller = await self._shake_hands(relay)
                return self._caller
        except GatewayError as error:
            self._failure = self._failure or error
            self.end(error.reason)
            raise

    async def _shake_hands(self, relay: Relay) -> Caller:
        caller = Caller(relay, self.server)
        try:
            await caller.shake_hands(self.hello or SILENT)
        except anyio.get_cancelled_exc_class():
            self.end(Reason.CLIENT_GONE)
            raise
        self.keep()
        return caller

    @property
    def had_a_caller(self) -> bool:
        """Whether its handshake was ever done, so that there may be a state to lose."""
        return self._caller is not None or self._lapsed

    def end(self, reason: Reason) -> None:
        """End it, and its child with it. May be called again."""
        if self._relay is not None:
            self._relay.end(reason)
        self.forget(reason)

    def forget(self, reason: Reason) -> None:
        """It has ended: take it out of the table. `end` and the relay's own end come here."""
        if self.ended is None:
            self.ended = reason
            self._table.remove(self, reason)
            self._on_forget()
            certificate = f", certificate {self.certificate}" if self.certificate else ""
            facts = (masked(self.id), self.principal, self.server, reason, certificate)
            logger.log(self._table.level, "session {} of {} on {} ended: {}{}", *facts)
            # Its set keeps it for minutes, to say why it ended; without this the whole bridge would be kept with it.
            self._certificate, self._lapsed = self.certificate, self.had_a_caller
            if self._caller is not None:
                self._caller.on_end()
            self._relay = self._caller = None


def not_found(
    ended: Reason | None = None, /, remedy: str = "open a new one with 'initialize'", **about: object
) -> GatewayError:
    """What an unknown id gets, and somebody else's; one's own that has ended is told why."""
    if ended is None:
        return GatewayError(Reason.SESSION_NOT_FOUND, f"there is no such session; {remedy}", **about)
    message = f"the session has ended ({ended}); {remedy}"
    return GatewayError(Reason.SESSION_NOT_FOUND, message, reason=ended, **about)
