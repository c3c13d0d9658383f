"""The calls at one child, as each party names them: the child, the conversation, and the child's questions. No I/O."""

from collections.abc import Iterable, Set
from typing import Final

from gateway.translation.legacy_child.call import Call, State
from gateway.translation.legacy_child.questions import CAPABILITY_OF, Question

IN_FLIGHT: Final = 1024
"""Calls of one child that may be in flight, waiting for their turn or parked; one more is refused."""


class Table:
    """Which calls there are, and what they have asked."""

    def __init__(self) -> None:
        self._calls: dict[bytes, Call] = {}
        """By the child's number: those of which the child knows, or that wait for their first turn."""
        self._clients: dict[bytes, Call] = {}
        """By the conversation's number: those for which a request waits."""
        self._asked: dict[bytes, tuple[Call, str]] = {}
        """By the child's ids: its open questions."""
        self._adrift: set[int] = set()
        self._last_key = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another call."""
        return len(self._calls) >= IN_FLIGHT

    @property
    def in_flight(self) -> int:
        """How many requests of clients wait."""
        return len(self._clients)

    @property
    def adrift(self) -> Set[int]:
        """Calls of which the child knows, and that were put aside, even if a request waits for them again."""
        return self._adrift

    @property
    def questions(self) -> Set[bytes]:
        """By the child's ids: its open questions."""
        return self._asked.keys()

    @property
    def running(self) -> list[Call]:
        """Those that the child is working at."""
        return [call for call in self._calls.values() if call.state is State.RUNNING]

    def add(self, call: Call) -> None:
        """A new call."""
        self._calls[call.number] = self._clients[call.client] = call

    def await_by(self, call: Call) -> None:
        """A request waits for `call` again."""
        self._clients[call.client] = call

    def leave_client(self, call: Call) -> bytes:
        """No request waits for `call` any more; the number of the one that did."""
        client, call.client = call.client, b""
        self._clients.pop(client, None)
        self._adrift.discard(int(call.number))
        return client

    def put_aside(self, call: Call) -> bytes:
        """The same, but the child goes on with it."""
        client = self.leave_client(call)
        if call.at_child:
            self._adrift.add(int(call.number))
        return client

    def leave_child(self, call: Call) -> None:
        """The child has answered `call`."""
        call.at_child = False
        self._calls.pop(call.number, None)
        self._adrift.discard(int(call.number))

    def forget(self, call: Call) -> None:
        """Nobody knows `call` any more."""
        self._calls.pop(call.number, None)
        self._clients.pop(call.client, None)
        self._adrift.discard(int(call.number))

    def of_child(self, number: bytes) -> Call | None:
        """The call that the child knows by this number."""
        call = self._calls.get(number)
        return call if call is not None and call.at_child else None

    def of_client(self, number: bytes) -> Call | None:
        """The call for which this request waits."""
        return self._clients.get(number)

    def of_token(self, token: bytes) -> Call | None:
        """The call whose first request bore this progress token."""
        return next((each for each in self._calls.values() if each.asked.token == token), None) if token else None

    def asking(self, holder: Call | None, parked: Iterable[Call]) -> Call | None:
        """On whose behalf the child asks, where `holder` has the turn; None where that cannot be known."""
        if holder is not None:
            return holder
        candidates = [call for call in self.running if call.asked.can_be_asked] or list(parked)
        return candidates[0] if len(candidates) == 1 and candidates[0].at_child else None

    def is_open(self, question: bytes) -> bool:
        """Whether the child has asked something under this id, and waits."""
        return question in self._asked

    def note(self, call: Call, question: Question) -> None:
        """`call` asks this."""
        self._last_key += 1
        key = f"{CAPABILITY_OF[question.method]}_{self._last_key}"
        call.questions[key] = question
        if question.id:
            self._asked[question.id] = (call, key)

    def withdraw(self, question: bytes) -> Call | None:
        """The child no longer asks this; the call that did."""
        if (found := self._asked.pop(question, None)) is None:
            return None
        call, key = found
        del call.questions[key]
        return call

    def close_questions(self, call: Call) -> list[Question]:
        """Nothing of what `call` asked is open any more; what the child waits for."""
        closed = [each for each in call.questions.values() if each.id]
        for each in closed:
            del self._asked[each.id]
        call.questions.clear()
        return closed
