"""What the doors do for the oversight: a record of who was refused."""

import time
from typing import Final

from common.bucket import Bucket
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.asked import Asked
from gateway.personal import FAULTS
from gateway.sessions import Sessions

_REFUSALS: Final = frozenset({401, 403, 421, 429})
"""Statuses of errors that say that somebody may not, or not now."""

_REASONS: Final = FAULTS | {Reason.SERVER_NOT_FOUND}
"""Others that say so: there is no such server for them, or they did not bring what it is given of its user's own."""

_STRANGERS: Final = 50
_STRANGERS_A_SECOND: Final = 5.0
"""Refusals of nobody in particular that are recorded, for anybody can cause them; the others are counted."""


class Recorder:
    """Records refusals, those of callers without a name no faster than is good for a disk."""

    def __init__(self, sessions: Sessions) -> None:
        self._audit = sessions.oversight.audit
        self._bucket = Bucket(_STRANGERS, _STRANGERS_A_SECOND, time.monotonic())
        self._left_out = 0

    def __call__(self, asked: Asked, error: GatewayError) -> None:
        if not self._audit.is_on or not (error.status in _REFUSALS or error.reason in _REASONS):
            return
        who = asked.who
        if (who is None or not who.principal.subject) and not self._bucket.take(time.monotonic()):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out or None, 0
        server = str(asked.server or error.about.get("server") or "") or None
        about = {"server": server, "from": asked.head.remote_addr, "leftOut": left_out}
        self._audit.refused(who.principal if who is not None else None, error, **about)


def refused(asked: Asked, error: GatewayError) -> None:
    """`error` is about to be the answer; where it means that somebody was refused, that is recorded.

    That a request lacks what a child is to be given of its user's own is told in the log, for somebody wrote it wrong.
    """
    if error.reason in FAULTS:
        asked.checks.guards.tell(asked, error)
    asked.checks.record(asked, error)
