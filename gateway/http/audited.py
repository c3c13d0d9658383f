"""What the doors do for the oversight: no server that its sender may not use, and a record of who was refused.

A server is looked at in one place, before any door has a request: there is the same answer, at the same point, for one
that is denied and for one that there is not.
"""

import time
from typing import Final

from quart import Quart, current_app, g

from common.bucket import Bucket
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.guards import Guards, asked
from gateway.identity.who import Who
from gateway.personal import FAULTS
from gateway.sessions import Sessions

_REFUSALS: Final = frozenset({401, 403, 421, 429})
"""Statuses of errors that say that somebody may not, or not now."""

_REASONS: Final = FAULTS | {Reason.SERVER_NOT_FOUND}
"""Others that say so: there is no such server for them, or they did not bring what it is given of its user's own."""

_STRANGERS: Final = 50
_STRANGERS_A_SECOND: Final = 5.0
"""Refusals of nobody in particular that are recorded, for anybody can cause them; the others are counted."""


_RECORDER: Final = "recorder of refusals"


class _Recorder:
    """Records refusals, those of callers without a name no faster than is good for a disk."""

    def __init__(self, sessions: Sessions) -> None:
        self._audit = sessions.oversight.audit
        self._bucket = Bucket(_STRANGERS, _STRANGERS_A_SECOND, time.monotonic())
        self._left_out = 0

    def __call__(self, error: GatewayError) -> None:
        if not self._audit.is_on or not (error.status in _REFUSALS or error.reason in _REASONS):
            return
        who: Who | None = g.get("who")
        if (who is None or not who.principal.subject) and not self._bucket.take(time.monotonic()):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out or None, 0
        server = str((asked().view_args or {}).get("server") or error.about.get("server") or "") or None
        about = {"server": server, "from": asked().remote_addr, "leftOut": left_out}
        self._audit.refused(who.principal if who is not None else None, error, **about)


def install(app: Quart, sessions: Sessions) -> None:
    """Have every request of `app` that names a server looked at. To be called once the guards are installed."""
    app.extensions[_RECORDER] = _Recorder(sessions)

    async def check() -> None:
        server = (asked().view_args or {}).get("server")
        if server is not None:
            sessions.check(g.who or Who(), server)

    app.before_request(check)
    app.before_websocket(check)


def refused(error: GatewayError) -> None:
    """`error` is about to be the answer; where it means that somebody was refused, that is recorded.

    That a request lacks what a child is to be given of its user's own is told in the log, for somebody wrote it wrong.
    """
    if error.reason in FAULTS:
        guards: Guards = current_app.extensions["guards"]
        guards.tell(error)
    recorder: _Recorder | None = current_app.extensions.get(_RECORDER)
    if recorder is not None:
        recorder(error)
