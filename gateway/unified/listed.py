"""What the unified API shows of a principal's own sessions, and how it names them. No I/O.

A session's id is a secret: whoever has it, and the right credentials, may use it. A handle stands for it in lists. It is
made of the id by a hash with a secret of this process, so it tells nothing of the id, and the next gateway knows it no
more; and it is good for looking at the session, and for ending it, and for nothing else.
"""

import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.session import Door, Session
from gateway.session_sets import SessionSet

Listed = Session | SessionSet

_BYTES: Final = 16

UNUSED: Final = "unused"
"""Nothing was asked of it yet, so it has no child."""
STARTING: Final = "starting"
READY: Final = "ready"
ENDED: Final = "ended"


class Handles:
    """Handles, by a secret of its own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def __repr__(self) -> str:
        return "<Handles>"

    def of(self, each: Listed) -> str:
        """The handle of a session, or a session set."""
        return hashlib.blake2b(each.id.encode(), key=self._secret, digest_size=_BYTES).hexdigest()

    def find(self, handle: str, among: Iterable[Listed]) -> Listed | None:
        """The one of that handle; None where it is none of theirs."""
        return next((each for each in among if secrets.compare_digest(self.of(each).encode(), handle.encode())), None)


def view(each: Listed, handle: str) -> dict[str, Any]:
    """What its owner is shown of a session, or of a session set."""
    sessions = each.sessions if isinstance(each, SessionSet) else (each,)
    return {
        "handle": handle,
        "door": Door.REST.value if isinstance(each, SessionSet) else each.door.value,
        "own": each.key is not None and isinstance(each, SessionSet),
        "state": _state_of_all(sessions),
        "ageSeconds": _age(each),
        "idleSeconds": min((_idle(session) for session in sessions if session.ended is None), default=_age(each)),
        "calls": _calls(sessions),
        "servers": [_server(session) for session in sessions],
    }


def _server(session: Session) -> dict[str, Any]:
    relay = session.relay
    return {
        "server": session.server,
        "state": _state(session),
        "pid": relay.pid or None if relay is not None else None,
        "ageSeconds": _age(session) if session.ended is None else None,
        "idleSeconds": _idle(session) if session.ended is None else None,
        "calls": _calls((session,)),
        "reason": session.ended,
        "certificate": session.certificate or None if session.ended is not None else None,
    }


def _state(session: Session) -> str:
    if session.ended is not None:
        return ENDED
    if session.is_starting:
        return STARTING
    return READY if session.relay is not None else UNUSED


def _state_of_all(sessions: Sequence[Session]) -> str:
    """That of the one that is the best off, which is the set's: it is of use as long as any of them is."""
    states = {_state(session) for session in sessions}
    return next((state for state in (READY, STARTING) if state in states), UNUSED)


def _calls(sessions: Iterable[Session]) -> dict[str, int]:
    relays = [session.relay for session in sessions if session.relay is not None]
    return {"inFlight": sum(relay.in_flight for relay in relays), "total": sum(relay.asked for relay in relays)}


def _age(each: Listed) -> float:
    return round(time.monotonic() - each.since, 3)


def _idle(session: Session) -> float:
    return round(session.relay.idle, 3) if session.relay is not None else _age(session)
