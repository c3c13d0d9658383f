"""Requests that were answered with a question, and whose child waits for the retry with the answer.

A client of 2026-07-28 answers an `input_required` by sending the request again, with what it got as `requestState`
(specification: patterns/multi-round-trip). A child that was for one request alone must then be found again, so the state
that the client gets is a handle of the gateway's own: random, for this principal and this very request, for once, and
for a bounded time in which the child is kept.
"""

import asyncio
import hashlib
import secrets
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.identity.principal import Principal
from gateway.jsonrpc import Malformed, Request, Response, decode, encode
from gateway.large import Data, LargeAnswer
from gateway.modern.envelope import Envelope, Rejected
from gateway.personal import NOTHING, Personal
from gateway.rawjson import members
from gateway.relay import Relay
from gateway.session import Session
from gateway.specification import INVALID_PARAMS

PATIENCE: Final = 300.0
"""Seconds in which the client may come back."""

MAX_OF_ONE: Final = 50
"""Rounds of one principal that are open at once, for each keeps a child; all that are anonymous are one principal."""

_HANDLE_BYTES: Final = 24
_STATE: Final = "requestState"
_ASKS: Final = b'"input_required"'


@dataclass(frozen=True, slots=True)
class _Round:
    session: Session
    relay: Relay
    asked: bytes
    """A digest of the server, what its child is given of the user's own, and the request."""
    state: bytes = field(repr=False)
    """The JSON of the child's own state; empty where it gave none."""
    timer: asyncio.TimerHandle


class Rounds:
    """Children that wait for a retry, by handle."""

    def __init__(self) -> None:
        self._open: dict[str, _Round] = {}

    def __repr__(self) -> str:
        return f"<Rounds: {len(self._open)} open>"

    def keep(self, session: Session, envelope: Envelope, answer: Data) -> Data:
        """`answer` as the client gets it. Where it asks something, its session is kept until the client comes back."""
        relay = session.relay
        asks = answer.asks if isinstance(answer, LargeAnswer) else _ASKS in answer
        if relay is None or not asks:
            return answer
        message = _decoded(bytes(answer))
        result = members(message.result) if message is not None else {}
        if message is None or bytes(result.get("resultType", b"")) != _ASKS:
            return answer
        self._make_room(session.principal)
        handle = secrets.token_urlsafe(_HANDLE_BYTES)
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._expire, handle, context=Context())
        state = bytes(result.get(_STATE, b""))
        self._open[handle] = _Round(session, relay, _digest(session.server, session.personal, envelope), state, timer)
        relay.hold()
        result[_STATE] = Raw(msgspec.json.encode(handle))
        return encode(Response(message.id, msgspec.json.encode(result), b""))

    def knows(self, handle: object, principal: Principal) -> bool:
        """Whether this was given out to `principal` for a round that is still open."""
        return self._find(handle, principal) is not None

    def keeps(self, session: Session) -> bool:
        """Whether `session` waits for a retry."""
        return any(each.session is session for each in self._open.values())

    def claim(
        self, principal: Principal, server: str, envelope: Envelope, own: Personal = NOTHING
    ) -> tuple[Session, Request] | None:
        """The session that waits for this request, and the request as its child expects it; None for a first one.

        `own` is what it bears of its user's own. Raises Rejected where the request bears a state that is none, or not
        its own, or no longer. Another principal's is none.
        """
        handle = envelope.value(_STATE)
        if handle is None:
            return None
        found = self._find(handle, principal)
        if found is None:
            raise _invalid(envelope, "unknown_or_expired")
        if not secrets.compare_digest(found.asked, _digest(server, own, envelope)):
            raise _invalid(envelope, "of_another_request")
        self._close(str(handle))
        if found.session.ended is not None:
            raise _invalid(envelope, "session_ended")
        return found.session, _with_state(envelope.message, found.state)

    def _find(self, handle: object, principal: Principal) -> _Round | None:
        found = self._open.get(handle) if isinstance(handle, str) else None
        return found if found is not None and found.session.principal == principal else None

    def _make_room(self, principal: Principal) -> None:
        """The oldest gives way: most probably nobody will come back for it."""
        own = [handle for handle, each in self._open.items() if each.session.principal == principal]
        if len(own) >= MAX_OF_ONE:
            self._expire(own[0])

    def _close(self, handle: str) -> _Round:
        found = self._open.pop(handle)
        found.timer.cancel()
        found.relay.unhold()
        return found

    def _expire(self, handle: str) -> None:
        self._close(handle).session.end(Reason.UNUSED)


def _digest(server: str, own: Personal, envelope: Envelope) -> bytes:
    """Of all that a retry must have in common with the request that it repeats, beside its principal."""
    parts = (envelope.value(name) for name in ("name", "uri", "arguments"))
    same = [server, own.digest.hex(), envelope.message.method, *parts]
    return hashlib.sha256(msgspec.json.encode(same, order="deterministic")).digest()


def _with_state(message: Request, state: bytes) -> Request:
    params = members(message.params)
    if state:
        params[_STATE] = Raw(state)
    else:
        params.pop(_STATE, None)
    return Request(message.id, message.method, msgspec.json.encode(params))


def _decoded(answer: bytes) -> Response | None:
    try:
        message = decode(answer)
    except Malformed:
        return None
    return message if isinstance(message, Response) and message.result else None


def _invalid(envelope: Envelope, reason: str) -> Rejected:
    return Rejected(INVALID_PARAMS, "Invalid or expired requestState", {"reason": reason}, envelope.message.id)
