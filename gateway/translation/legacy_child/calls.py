"""The calls at one legacy child: whose turn it is, what the child asks, and who comes back with the answers. No I/O.

What a child asks belongs to the call that has the turn, because nothing else that runs may be asked (`turn`). The
questions that come within a moment of the first one are put to the client together, as the answer to its request; then
the call is parked (`parking`) and the turn is the next one's. When the client comes back, the call waits for its turn,
and the child gets the answers.

A call that is given up while it has the turn leaves it only when the child has answered a ping that was sent after the
cancellation: what it asks before that is still asked by the cancelled call, and must not be put to the next one. For the
same reason one that is given up while another has the turn waits for it: until then the child waits for its answers.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from typing import Final

import msgspec
from msgspec import Raw

from gateway import rawjson
from gateway.jsonrpc import Notification, Request, Response, cancelled_id, reported_token
from gateway.rawjson import Members
from gateway.specification import INTERNAL_ERROR, INVALID_PARAMS
from gateway.translation.legacy_child import logs, questions, results
from gateway.translation.legacy_child.call import Call, OwnIds, State, new_call
from gateway.translation.legacy_child.envelope import Asked
from gateway.translation.legacy_child.handshake import Askable, Welcome
from gateway.translation.legacy_child.parking import NoGood, Parking
from gateway.translation.legacy_child.questions import Question
from gateway.translation.legacy_child.results import Completer
from gateway.translation.legacy_child.table import Table
from gateway.translation.legacy_child.turn import Turn
from gateway.translation.steps import Hear, Hold, Say, Step, Wake

COALESCE: Final = 0.02
"""Seconds after the first question of a call within which others are put to the client with it."""

PARKED_FOR: Final = 300.0
"""Seconds for which a client may think about its answers."""

BARRIER: Final = 2.0
"""Seconds after which a cancelled call has left, even if the child does not answer a ping."""

QUESTIONS: Final = 16
"""Questions of one call that may be open; one more is not put to its client."""

KEPT_BYTES: Final = 1024 * 1024
"""The size of an answer that is kept for a client who is away."""

_BUSY: Final = "too many requests wait for this server"
_GIVEN_UP: Final = "nobody waits for the answer"


class Calls:
    """Every method says what is to be done, in order. `declared` is what the child was told that its client can do."""

    def __init__(
        self,
        welcome: Welcome,
        declared: Askable,
        ids: OwnIds,
        counters: Counter[str],
        new_handle: Callable[[], str],
    ) -> None:
        self._completer = Completer(welcome.server_info)
        self._declared = declared
        self._ids = ids
        self._counters = counters
        self._levels = logs.Levels(ids, settable=welcome.has("logging"))
        self._table = Table()
        self._turn = Turn()
        self._parking = Parking(new_handle)
        self._barrier = b""
        """The id of the ping after whose answer the call that is leaving has left."""
        self._holding = False

    def __repr__(self) -> str:
        return f"{self._table.in_flight} in flight, {len(self._turn)} waiting, {len(self._parking)} parked"

    @property
    def adrift(self) -> Set[int]:
        """Calls that were parked and have gone on at the child, by its numbers."""
        return self._table.adrift

    @property
    def questions(self) -> Set[bytes]:
        """Ids of the child's open questions."""
        return self._table.questions

    # What the client says.

    def begin(self, asked: Asked) -> list[Step]:
        """A request, which may be the second try of an earlier one."""
        if asked.state is not None:
            return self._retry(asked, asked.state) + self._keep_held()
        return self._start(new_call(asked))

    def cancel(self, client: bytes) -> list[Step] | None:
        """Nobody waits for the answer to the request `client` any more; None where nobody did."""
        if (call := self._table.of_client(client)) is None:
            return None
        if call.at_child:
            return self._abandon(call)
        self._turn.give_up(call)
        self._table.forget(call)
        return []

    # What the child says.

    def waits_for(self, own: bytes) -> bool:
        """Whether the answer to the request `own`, of the gateway itself, is waited for."""
        return bool(self._barrier) and own == self._barrier

    def answer(self, message: Response) -> list[Step]:
        """The child answers, one of the calls or a ping of our own."""
        if self.waits_for(message.id):
            return self._left()
        if (call := self._table.of_child(message.id)) is None:
            self._counters["answer_to_nobody"] += 1
            return []
        if call.state is State.LEAVING:
            return self._left() if call is self._turn.holder else self._forget_leaving(call)
        if call.state is State.PARKED:
            return self._keep(call, message)
        if call.asked.can_be_asked and (urls := results.wanted_urls(message.error)):
            return self._send_to(call, urls) + self._keep_held()
        return self._finish(call, self._completed(call, message))

    def ask(self, request: Request) -> list[Step]:
        """The child asks something of its client."""
        if self._table.is_open(request.id):
            self._counters["asked_twice"] += 1
            return []
        question = questions.read(request)
        call = self._table.asking(self._turn.holder, self._parking)
        if call is None:
            self._counters["asked_by_nobody"] += 1
            return [Say(questions.unasked(question, self._declared))]
        if call.state is State.LEAVING:
            return [Say(questions.unanswered(question))]
        required = questions.required_capability(question)
        if not questions.is_declared(required, call.capabilities):
            return self._refuse(call, question, required)
        if len(call.questions) >= QUESTIONS:
            self._counters["question_refused"] += 1
            return [Say(questions.unanswered(question))]
        is_first = not call.questions
        self._table.note(call, question)
        return [Wake(_key("ask", call), COALESCE)] if is_first and call.state is State.RUNNING else []

    def withdraw(self, message: Notification) -> list[Step]:
        """The child no longer wants an answer."""
        if (call := self._table.withdraw(cancelled_id(message))) is None:
            self._counters["withdrew_nothing"] += 1
            return []
        return [Wake(_key("ask", call), None)] if call.state is State.RUNNING and not call.questions else []

    def report(self, message: Notification) -> list[Step]:
        """The child tells how far it is."""
        token = reported_token(message)
        call = self._table.of_token(token)
        if call is None or not call.client or not call.token:
            self._counters["progress_for_nobody"] += 1
            return []
        if call.token != token:
            params = rawjson.members(message.params)
            params["progressToken"] = Raw(call.token)
            message = Notification(message.method, msgspec.json.encode(params))
        return [Hear(message, int(call.client))]

    def log(self, message: Notification) -> list[Step]:
        """The child logs something."""
        call = logs.hears(self._table.running, message)
        if call is None:
            self._counters["log_for_nobody"] += 1
            return []
        return [Hear(message, int(call.client))]

    def wake(self, key: str) -> list[Step]:
        """The time has come."""
        what, _, number = key.partition(" ")
        if what == "turn":
            return self._left()
        if what == "ask":
            call = self._table.of_child(number.encode())
            steps = self._park(call) if call is not None and call.state is State.RUNNING else []
        else:
            steps = self._expire(number.encode())
        return steps + self._keep_held()

    # Turns.

    def _start(self, call: Call) -> list[Step]:
        if self._table.is_full:
            return self._turn_away(call)
        self._table.add(call)
        return self._wait_for_turn(call)

    def _wait_for_turn(self, call: Call) -> list[Step]:
        if not call.asked.interactive or self._turn.take(call):
            return self._run(call)
        call.state = State.WAITING
        if self._turn.wait(call):
            return []
        self._table.forget(call)
        return self._turn_away(call)

    def _turn_away(self, call: Call) -> list[Step]:
        self._counters["call_refused"] += 1
        return [Hear(results.error(call.client, INTERNAL_ERROR, _BUSY))]

    def _run(self, call: Call) -> list[Step]:
        if call.state is State.LEAVING:
            return self._leave(call)
        call.state = State.RUNNING
        level = self._levels.set_for(self._table.running)
        steps: list[Step] = [Say(level)] if level is not None else []
        if not call.at_child:
            call.at_child = True
            return [*steps, Say(call.asked.legacy)]
        return steps + [Say(questions.answered(each)) for each in self._table.close_questions(call)]

    def _leave_turn(self, call: Call) -> list[Step]:
        """`call` needs its turn no more; the next one does."""
        following = self._turn.leave(call)
        return self._run(following) if following is not None else []

    def _left(self) -> list[Step]:
        """The call that was leaving has left."""
        call, self._barrier = self._turn.holder, b""
        if call is None or call.state is not State.LEAVING:
            return []
        self._table.forget(call)
        return [Wake("turn", None), *self._leave_turn(call)]

    # Questions.

    def _refuse(self, call: Call, question: Question, required: Mapping[str, object]) -> list[Step]:
        """The client of `call` cannot be asked this, which ends the call, if nothing else can have asked."""
        self._counters["asked_undeclared"] += 1
        steps: list[Step] = [Say(questions.refused(question.id))]
        others = [each for each in self._table.running if each is not call and each.asked.can_be_asked]
        if others or call.state is not State.RUNNING:
            return steps
        return [*steps, Hear(results.lacking(call.client, required)), *self._abandon(call)]

    def _leave_unanswered(self, call: Call) -> list[Step]:
        """The child gets no answers of the client's to what `call` asked."""
        waking: list[Step] = [Wake(_key("ask", call), None)] if call.state is State.RUNNING and call.questions else []
        return waking + [Say(questions.unanswered(each)) for each in self._table.close_questions(call)]

    # Parking.

    def _park(self, call: Call) -> list[Step]:
        """Put the open questions to the client, and wait until it comes back."""
        if self._parking.is_full:
            self._counters["parking_refused"] += 1
            if call.at_child:
                return [Say(questions.unanswered(each)) for each in self._table.close_questions(call)]
            return self._finish(call, results.error(call.client, INTERNAL_ERROR, _BUSY))
        call.state = State.PARKED
        self._parking.put(call)
        answer = Response(self._table.put_aside(call), call.input_required(), b"")
        return [Hear(answer), Wake(_key("parked", call), PARKED_FOR), *self._leave_turn(call)]

    def _retry(self, asked: Asked, state: str) -> list[Step]:
        call = self._parking.find(state, asked.digest())
        if isinstance(call, NoGood):
            self._counters[f"state_{call}"] += 1
            text = "Invalid or expired requestState"
            return [Hear(results.error(asked.legacy.id, INVALID_PARAMS, text, {"reason": call}))]
        self._parking.take(call, NoGood.USED)
        call.comes_again(asked)
        self._table.await_by(call)
        for key, question in call.open_questions.items():
            if key in asked.responses:
                question.answer = questions.acceptable(question, asked.responses[key])
        return [Wake(_key("parked", call), None), *self._go_on(call, asked)]

    def _go_on(self, call: Call, asked: Asked) -> list[Step]:
        """The client of `call` is back."""
        if call.outcome is not None:
            return self._finish(call, self._completed(call, call.outcome))
        if call.open_questions:
            return self._park(call)
        if call.at_child:
            return self._wait_for_turn(call)
        self._table.forget(call)
        return self._start(new_call(asked))

    def _keep(self, call: Call, message: Response) -> list[Step]:
        """The child has answered `call` while it was parked: its client may come back for that."""
        if len(message.result) + len(message.error) > KEPT_BYTES:
            self._counters["answer_too_large_to_keep"] += 1
            message = results.error(message.id, INTERNAL_ERROR, "the server answered before its question was answered")
        call.outcome = message
        self._table.leave_child(call)
        return self._leave_unanswered(call)

    def _send_to(self, call: Call, urls: list[Members]) -> list[Step]:
        """The child wants its client to have been at these places before it calls again."""
        open_questions = self._leave_unanswered(call)
        found = questions.to_urls(urls[:QUESTIONS])
        required = questions.required_capability(found[0])
        if not questions.is_declared(required, call.capabilities):
            return open_questions + self._finish(call, results.lacking(call.client, required))
        self._turn.give_up(call)
        self._table.leave_child(call)
        for question in found:
            self._table.note(call, question)
        return open_questions + self._park(call)

    def _expire(self, number: bytes) -> list[Step]:
        """The client of the parked call `number` does not come back."""
        call = next((each for each in self._parking if each.number == number), None)
        if call is None:
            return []
        self._counters["parked_expired"] += 1
        self._parking.take(call, NoGood.EXPIRED)
        if call.at_child:
            return self._abandon(call)
        self._table.forget(call)
        return []

    def _keep_held(self) -> list[Step]:
        """A parked call keeps its session."""
        held = bool(len(self._parking))
        if held == self._holding:
            return []
        self._holding = held
        return [Hold(on=held)]

    # Ends.

    def _completed(self, call: Call, message: Response) -> Response:
        asked = call.asked
        return self._completer.answer(call.client, message, asked.legacy.method, asked.subject)

    def _finish(self, call: Call, answer: Response) -> list[Step]:
        """The client gets `answer`, and the child has nothing more to do with it."""
        steps = self._leave_unanswered(call)
        self._turn.give_up(call)
        self._table.forget(call)
        return [Hear(answer), *steps, *self._leave_turn(call)]

    def _abandon(self, call: Call) -> list[Step]:
        """Nobody wants the answer to `call`, of which the child knows: it is cancelled before its questions are
        answered, so that it asks no more; and they are answered when it has the turn, in case it does.
        """
        params = b'{"requestId":%b,"reason":%b}' % (call.number, msgspec.json.encode(_GIVEN_UP))
        cancelled = Say(Notification("notifications/cancelled", params))
        self._table.leave_client(call)
        self._turn.give_up(call)
        if not call.asked.interactive:
            return [cancelled, *self._forget_leaving(call)]
        if self._turn.take(call) or self._turn.holder is call:
            return [cancelled, *self._leave(call)]
        call.state = State.LEAVING
        self._turn.wait(call)
        return [cancelled]

    def _leave(self, call: Call) -> list[Step]:
        """`call` has the turn, and nobody wants it any more."""
        steps = self._leave_unanswered(call)
        call.state = State.LEAVING
        self._barrier = self._ids.new()
        return [*steps, Say(Request(self._barrier, "ping", b"")), Wake("turn", BARRIER)]

    def _forget_leaving(self, call: Call) -> list[Step]:
        """The child has nothing more to do with `call`, or what it has is nobody's concern."""
        steps = self._leave_unanswered(call)
        self._turn.give_up(call)
        self._table.forget(call)
        return steps


def _key(what: str, call: Call) -> str:
    return f"{what} {call.number.decode()}"
