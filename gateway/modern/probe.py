"""Whether a server's children speak revision 2026-07-28: one of them is asked, and ended.

It is a child of its own, for some servers end at any request before `initialize`, and some serve no other era than that
of the first request. No answer within PATIENCE seconds, and any answer but a right one, is a no. Whoever wants to know
at the same time waits for the same child.
"""

from contextlib import suppress
from typing import Final

import anyio
import msgspec
from loguru import logger
from mcp_types.version import LATEST_MODERN_VERSION

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.channel import Channel, ChildNotReading
from gateway.eras import Eras
from gateway.framing import Oversized
from gateway.jsonrpc import Malformed, Response, decode, encode, request
from supervisor.client import Grant, SupervisorClient

PATIENCE: Final = 10.0
"""Seconds in which an answer has to come. Some old servers let a request wait for ever that comes too early."""

_ID: Final = b"1"


class _Discovered(msgspec.Struct):
    supportedVersions: list[str] = []  # noqa: N815 - the protocol's spelling; msgspec copies it


class Ear:
    """A channel's listener that waits for one answer. `answer` is set once: True, False, or None as long as it waits."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.speaks_modern = False

    def on_line(self, line: bytes) -> None:
        """Anything but the answer is passed over."""
        try:
            message = decode(line)
        except Malformed:
            return
        if isinstance(message, Response) and message.id == _ID:
            self.speaks_modern = _says_so(message)
            self.answered.set()

    def on_oversized(self, line: Oversized) -> None:
        """No answer."""

    def on_closed(self) -> None:
        """There will be no answer."""
        self.answered.set()


def _says_so(message: Response) -> bool:
    if message.error:
        return False
    try:
        return LATEST_MODERN_VERSION in msgspec.json.decode(message.result, type=_Discovered).supportedVersions
    except msgspec.MsgspecError:
        return False


class Probe:
    """Asks children, through the supervisor, and tells `eras` of it."""

    def __init__(self, supervisor: SupervisorClient, eras: Eras) -> None:
        self._supervisor = supervisor
        self._eras = eras
        self._asking: dict[str, anyio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Probe of {', '.join(self._asking) or 'nobody'}>"

    async def speaks_modern(self, server: str, policy: ServerPolicy, user: str, meta: dict[str, object]) -> bool:
        """Whether a child of `server` does, asked on behalf of `user`; `meta` is the envelope that it is asked with.

        Raises what `SupervisorClient.open` raises, and TimeoutError where there is no child in `start_timeout`.
        Cancellation ends the child that was being asked.
        """
        async with self._asking.setdefault(server, anyio.Lock()):
            known = self._eras.modern(server)
            if known is not None:
                return known
            with anyio.fail_after(policy.start_timeout):
                grant = await self._supervisor.open(server, "probe", user)
            found = await self._ask(grant, policy, meta)
            self._eras.saw(server, modern=found)
            logger.info(
                "server '{}' {} revision {}", server, "speaks" if found else "does not speak", LATEST_MODERN_VERSION
            )
            return found

    async def _ask(self, grant: Grant, policy: ServerPolicy, meta: dict[str, object]) -> bool:
        ear = Ear()
        channel = Channel(grant.stdin, grant.stdout, policy.max_message_bytes, ear)
        try:
            with suppress(ChildNotReading):
                channel.write(encode(request(int(_ID), "server/discover", {"_meta": meta})))
            with anyio.move_on_after(PATIENCE):
                await ear.answered.wait()
            return ear.speaks_modern
        finally:
            self._supervisor.release(grant.lease, Reason.REQUEST_DONE, channel.detach())
