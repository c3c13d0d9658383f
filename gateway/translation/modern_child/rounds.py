"""Calls that a modern child answers with questions, and that are asked again with the client's answers. No I/O, no clock.

To a legacy client each question is a request of the child's. A call that was answered with `input_required` is repeated,
under an id of its own, with what the client said and the state that the child gave along, for MAX_ROUNDS at most. Where
the child gave a state and no question it wants to be asked again after a while.
"""

import secrets
from dataclasses import dataclass, field
from typing import Final

from msgspec import Raw

from gateway.jsonrpc import ABSENT, Request, Response, notification
from gateway.rawjson import Members, members, put, put_together, text
from gateway.translation.modern_child import results
from gateway.translation.steps import Hear, Say, Step, Wake

MAX_ROUNDS: Final = 10
"""Rounds of one call: what the SDKs allow."""

MAX_QUESTIONS: Final = 32
"""Questions in one round."""

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds before a call is repeated for which the child asked nothing: at first, and at most."""

_ASKED_OF_CLIENTS: Final = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})


@dataclass(slots=True)
class Call:
    """One request of the conversation that the child has not answered for good."""

    id: bytes
    """The conversation's."""
    method: str
    params: Members
    attempt: bytes
    """Under which id the child knows it; empty while the client is asked, or it is waited."""
    rounds: int = 0
    pause: float = FIRST_PAUSE
    state: Raw = field(default_factory=Raw)
    asked: dict[bytes, str] = field(default_factory=dict)
    """Ids of the questions that are open, with the child's keys for them."""
    answers: Members = field(default_factory=dict)


class Rounds:
    """The calls in flight, and the questions that came of them."""

    def __init__(self) -> None:
        self._calls: dict[bytes, Call] = {}
        self._attempts: dict[bytes, Call] = {}
        self._asked: dict[bytes, Call] = {}
        self._names = secrets.token_hex(4)  # an answer to a question of an earlier gateway fits none of ours
        self._last_question = 0
        self.url_ids = False
        """Whether the client wants an `elicitationId` with a question that is answered elsewhere (2025-11-25)."""

    def __repr__(self) -> str:
        return f"<Rounds: {len(self._calls)} calls, {len(self._asked)} questions>"

    def begin(self, id_: bytes, method: str, params: Members) -> list[Step]:
        """The conversation asks; `params` are complete but for what a later round adds."""
        call = self._calls[id_] = self._attempts[id_] = Call(id_, method, params, attempt=id_)
        return [Say(Request(id_, method, put_together(call.params)))]

    def cancel(self, id_: bytes, reason: Raw) -> list[Step] | None:
        """The conversation wants no answer to its call `id_` any more; None where it is none that is known here."""
        call = self._calls.get(id_)
        if call is None:
            return None
        attempt = call.attempt
        steps = self._forget(call)
        if attempt:
            about: dict[str, object] = {"requestId": Raw(attempt)}
            if bytes(reason):
                about["reason"] = reason
            steps.append(Say(notification("notifications/cancelled", about)))
        return steps

    def answered(self, message: Response) -> list[Step] | None:
        """The child answers; None where this is no answer to any call."""
        call = self._attempts.pop(message.id, None)
        if call is None:
            return None
        call.attempt = b""
        if message.error:
            return self._finish(call, error=results.plain_error(call.method, message.error))
        try:
            result = results.read(message.result)
            kind = results.kind(result)
        except results.Unknown as unknown:
            return self._finish(call, error=results.error(str(unknown)))
        if kind == results.INPUT_REQUIRED:
            return self._go_on(call, result)
        return self._finish(call, result=results.plain(call.method, result))

    def respond(self, message: Response) -> list[Step] | None:
        """The client answers a question, or refuses to; None where it is none of ours."""
        call = self._asked.pop(message.id, None)
        if call is None:
            return None
        key = call.asked.pop(message.id)
        if message.error:
            return self._finish(call, error=results.error("the client did not answer a question of the server's"))
        call.answers[key] = Raw(message.result)
        return [] if call.asked else self._repeat(call)

    def wake(self, key: str) -> list[Step]:
        """The pause of a call is over."""
        call = self._calls.get(key.encode())
        return self._repeat(call) if call is not None else []

    # Within.

    def _go_on(self, call: Call, result: Members) -> list[Step]:
        """The child wants to know something first."""
        call.rounds += 1
        asked = members(result.get("inputRequests", ABSENT))
        if call.rounds > MAX_ROUNDS:
            return self._finish(call, error=results.error(f"the server asked in more than {MAX_ROUNDS} rounds"))
        if len(asked) > MAX_QUESTIONS:
            return self._finish(
                call, error=results.error(f"the server asked more than {MAX_QUESTIONS} questions at once")
            )
        call.state, call.answers = result.get("requestState", ABSENT), {}
        if not asked:
            pause, call.pause = call.pause, min(call.pause * 2, LONGEST_PAUSE)
            return [Wake(call.id.decode(), pause)]
        call.pause = FIRST_PAUSE
        steps: list[Step] = []
        for key, question in asked.items():
            said = members(question)
            method = text(said.get("method", ABSENT))
            if method not in _ASKED_OF_CLIENTS:
                withdrawn = self._finish(call, error=results.error("the server asked what no client can answer"))
                return [*steps, *withdrawn]
            steps.append(self._ask(call, key, method, said.get("params", ABSENT)))
        return steps

    def _ask(self, call: Call, key: str, method: str, params: Raw) -> Step:
        self._last_question += 1
        id_ = b'"ask-%b-%d"' % (self._names.encode(), self._last_question)
        call.asked[id_] = key
        self._asked[id_] = call
        said = members(params)
        if self.url_ids and text(said.get("mode", ABSENT)) == "url" and "elicitationId" not in said:
            said["elicitationId"] = put(secrets.token_urlsafe(16))
        return Hear(Request(id_, method, put_together(said) if said else b""), about=int(call.id))

    def _repeat(self, call: Call) -> list[Step]:
        params: dict[str, object] = dict(call.params)
        if call.answers:
            params["inputResponses"] = call.answers
        if bytes(call.state):
            params["requestState"] = call.state
        call.attempt = b'"%b.%d"' % (call.id, call.rounds)
        self._attempts[call.attempt] = call
        return [Say(Request(call.attempt, call.method, put_together(params)))]

    def _finish(self, call: Call, result: bytes = b"", error: bytes = b"") -> list[Step]:
        return [*self._forget(call), Hear(Response(call.id, result, error))]

    def _forget(self, call: Call) -> list[Step]:
        """Nothing waits for `call` any more; the client is told which questions need no answer."""
        del self._calls[call.id]
        self._attempts.pop(call.attempt, None)
        steps: list[Step] = [Wake(call.id.decode(), None)] if call.rounds else []
        for question in call.asked:
            del self._asked[question]
            steps.append(Hear(notification("notifications/cancelled", {"requestId": Raw(question)})))
        return steps
