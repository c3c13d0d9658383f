"""The requests in flight, by who has sent them: what their answers may hold, and what the audit log says of them.

Every request of a client comes by here before its child hears of it, and its answer before the client does, whatever the
door; the gateway's own requests do not. The conversation and the clocks know nothing of either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from gateway.access import EVERYTHING, Permission
from gateway.audit import Outcome, SessionAudit, outcome
from gateway.effects import Answered, Effect
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.large import Data, LargeAnswer
from gateway.toollists import LIST, filtered, permitted


def _everything(_: Who) -> Permission:
    return EVERYTHING


@dataclass(frozen=True, slots=True)
class _Errand:
    who: Who
    message: Request
    permission: Permission
    began: float
    audit: SessionAudit | None


class Errands:
    """Those of one session with `server`.

    `permission(who)` is what the sender of a request may use now. `audit()` is the record as the session has it now,
    with what its user gives at this moment; it is None where none is kept.
    """

    def __init__(
        self,
        server: str = "",
        permission: Callable[[Who], Permission] = _everything,
        audit: Callable[[], SessionAudit] | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._server = server
        self._permission = permission
        self._audit = audit
        self._now = now
        self._errands: dict[int, _Errand] = {}

    def __repr__(self) -> str:
        return f"<Errands: {len(self._errands)}>"

    def check(self, message: Request, who: Who) -> Request:
        """`message` as its child may get it. Raises GatewayError where its sender may not use what it asks for."""
        try:
            return permitted(message, self._permission(who), self._server)
        except GatewayError as error:
            self.denied(message, who, error)
            raise

    def allows(self, who: Who, tool: str) -> bool:
        """Whether `who` may call `tool`."""
        return self._permission(who).tool(tool)

    def denied(self, message: Request, who: Who, error: GatewayError) -> None:
        """The request is answered with `error`: its sender may not use what it asks for, or not now."""
        if self._audit is not None:
            self._audit().denied(who.principal, message, error)

    def enter(self, call: int | None, message: Request, who: Who, effects: Sequence[Effect]) -> None:
        """The conversation has taken `message`, as `call`; without one it answers itself, perhaps with a refusal."""
        if call is not None:
            self.begin(call, message, who)
            return
        for effect in effects:
            if isinstance(effect, Answered) and effect.failure is not None:
                self.denied(message, who, effect.failure)

    def begin(self, call: int, message: Request, who: Who) -> None:
        """`message`, which was checked, is in flight from now on, as `call`."""
        permission = EVERYTHING if message.method != LIST else self._permission(who)
        if self._audit is not None or not permission.every_tool:
            audit = self._audit() if self._audit is not None else None
            self._errands[call] = _Errand(who, message, permission, self._now(), audit)

    def answered(self, call: int, answer: Data, failure: GatewayError | None) -> Data:
        """The answer to `call`, as the client gets it; `failure` is set where it is the gateway's own."""
        errand = self._errands.pop(call, None)
        if errand is None:
            return answer
        if errand.audit is not None:
            self._called(errand, call, _outcome(answer, failure))
        if errand.permission.every_tool:
            return answer
        return filtered(bytes(answer), errand.message.id, errand.permission.tool)

    def cancelled(self, call: int) -> None:
        """The client wants no answer to `call` any more."""
        errand = self._errands.pop(call, None)
        if errand is not None:
            self._called(errand, call, {"outcome": "cancelled"})

    def _called(self, errand: _Errand, call: int, came: Outcome) -> None:
        if errand.audit is not None:
            took = (self._now() - errand.began) * 1000
            errand.audit.called(errand.who.principal, errand.message, call, came, took)


def _outcome(answer: Data, failure: GatewayError | None) -> Outcome:
    if isinstance(answer, LargeAnswer) and not answer.is_error:
        return {"outcome": "tool_error" if answer.tool_failed else "ok"}
    return outcome(bytes(answer), failure)
