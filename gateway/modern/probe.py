"""Whether a server's children speak revision 2026-07-28: one of them is asked, and ended.

It is a child of its own, for some servers end at any request before `initialize`, and some serve no other era than that
of the first request. No answer within PATIENCE seconds, and any answer but a right one, is a no. Whoever wants to know
at the same time waits for the same child.

What is found holds for everybody, so no client has a part in it: the gateway asks in its own name, with an envelope of
its own, and nobody's places for children are taken for it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import msgspec
from loguru import logger

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway import meta
from gateway.channel import Channel, ChildNotReading
from gateway.eras import Eras
from gateway.errors import GatewayError
from gateway.framing import Oversized
from gateway.grants import grant
from gateway.jsonrpc import Malformed, Response, decode, encode, request
from gateway.large import LargeLine
from gateway.personal import NOTHING, Personal
from gateway.specification import LATEST_MODERN_VERSION
from supervisor.client import Grant, SupervisorClient

PATIENCE: Final = 10.0
"""Seconds in which an answer has to come. Some old servers let a request wait for ever that comes too early."""

RENEWING: Final = 1.0
"""Seconds for which a child is waited for where it is known what the last one spoke: whoever has a child waits, too."""

_ID: Final = b"1"


class _Discovered(msgspec.Struct):
    supportedVersions: list[str] = []  # noqa: N815 - the protocol's spelling; msgspec copies it


class Ear:
    """A channel's listener that waits for one answer: `answered` is set once it is known what to make of the child."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.speaks_modern = False
        self.ended = False
        """Whether there was no answer, and will be none."""

    def on_line(self, line: bytes) -> None:
        """Anything but the answer is passed over."""
        try:
            message = decode(line)
        except Malformed:
            return
        if isinstance(message, Response) and message.id == _ID and not self.answered.is_set():
            self.speaks_modern = _says_so(message)
            self.answered.set()

    def on_large(self, line: LargeLine) -> None:
        """No answer."""

    def on_oversized(self, line: Oversized) -> None:
        """No answer."""

    def on_closed(self) -> None:
        """There will be no answer."""
        self.ended = not self.answered.is_set()
        self.answered.set()


def _says_so(message: Response) -> bool:
    if message.error:
        return False
    try:
        return LATEST_MODERN_VERSION in msgspec.json.decode(message.result, type=_Discovered).supportedVersions
    except (msgspec.MsgspecError, RecursionError):
        return False


@dataclass(eq=False, slots=True)
class _Attempt:
    """A child that is being asked, and who waits for what it says."""

    over: anyio.Event = field(default_factory=anyio.Event)
    failure: GatewayError | None = None
    """Why there was no child that could be asked."""


class Probe:
    """Asks children, through the supervisor, and tells `eras` of it. `patience` is in seconds."""

    def __init__(self, supervisor: SupervisorClient, eras: Eras, patience: float = PATIENCE) -> None:
        self._supervisor = supervisor
        self._eras = eras
        self._patience = patience
        self._asking: dict[str, _Attempt] = {}

    def __repr__(self) -> str:
        return f"<Probe: {len(self._asking)} servers are being asked>"

    async def speaks_modern(self, server: str, policy: ServerPolicy, own: Personal = NOTHING) -> bool:
        """Whether a child of `server` does. Raises GatewayError where none can be had, and nothing was ever seen.

        A child that is not the same for everybody is given the user's `own` who asks.
        Cancellation ends the child that was being asked, and then whoever else waits asks another one.
        """
        while (known := self._eras.modern(server)) is None:  # still, where the configuration was read again meanwhile
            attempt = self._asking.get(server)
            if attempt is None:
                if await self._try(server, policy, own) is None:
                    return False
                continue
            await attempt.over.wait()
            # A child that one user's values have kept from starting says nothing of another's.
            if (failure := attempt.failure) is not None and not policy.personal:
                raise GatewayError(failure.reason, failure.message, **failure.about)
        return known

    async def _try(self, server: str, policy: ServerPolicy, own: Personal) -> bool | None:
        """Ask one child, for all that want to know by now. Raises GatewayError.

        None where it says nothing of the others: one that is given something of a user's own, and ends without a word,
        may not have liked that.
        """
        attempt = self._asking[server] = _Attempt()
        edition = self._eras.edition
        within = min(policy.start_timeout, RENEWING) if self._eras.remembers(server) else policy.start_timeout
        try:
            found = await self._ask(await grant(self._supervisor, server, "probe", "", within, own), policy)
        except GatewayError as error:
            if self._eras.prolong(server):
                return self._eras.modern(server)  # whoever has a child already needs no other one to be had
            attempt.failure = error
            raise
        finally:
            del self._asking[server]
            attempt.over.set()
        if found is None and policy.personal and not self._eras.handshake(server):
            return None
        found = bool(found)
        self._eras.saw(server, modern=found, edition=edition)
        logger.info(
            "server '{}' {} revision {}", server, "speaks" if found else "does not speak", LATEST_MODERN_VERSION
        )
        return found

    async def _ask(self, granted: Grant, policy: ServerPolicy) -> bool | None:
        """What the child says, or is taken to say by not saying it; None where it ends."""
        ear = Ear()
        channel = Channel(granted.stdin, granted.stdout, policy.max_message_bytes, ear)
        try:
            with suppress(ChildNotReading):
                channel.write(encode(request(int(_ID), "server/discover", {"_meta": meta.OWN_ENVELOPE})))
            with anyio.move_on_after(self._patience):
                await ear.answered.wait()
            return None if ear.ended else ear.speaks_modern
        finally:
            self._supervisor.release(granted.lease, Reason.REQUEST_DONE, channel.detach())
