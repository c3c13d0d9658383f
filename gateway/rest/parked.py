"""Calls that a child answers with a question first, and that wait until their caller has answered it.

A call that nothing is asked about is no more than its request. Once something is, it is a task of its own: the request
that made it is answered with the question, and each answer to a question with what comes next, another question or the
result. A question has an id of the gateway's own, which nobody can guess. It
belongs to whoever made the call, and to the call on whose stream the conversation had it: where the child does not say
which it is about, that is the newest of the session; if that ends first, the newest of those that are left.

A call never waits for longer than the child may take to answer: its time goes on while it waits. Then, or when the
session ends, what is open is declined. Whoever waits for the answer and hangs up has cancelled it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Final

import anyio
from msgspec import Raw

from common.reasons import Reason
from gateway.asking import Asking
from gateway.bell import FOR_EVER, Bell
from gateway.caller import Caller
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Request, Response
from gateway.large import Result
from gateway.rest.answering import declined
from gateway.session_sets import SessionSet

MAX_PARKED: Final = 50
"""Calls of one principal for which nobody waits; all that are anonymous are one principal. The oldest gives way."""

UNWINDING: Final = 5.0
"""Seconds that a cancelled call has to end."""

_ID_BYTES: Final = 24


Told = Callable[[GatewayError], Awaitable[GatewayError]]
"""How the caller is told of an error of its call."""


async def _as_it_is(error: GatewayError) -> GatewayError:
    return error


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A child's question, as its caller knows it."""

    id: str
    asked: Request
    call: "Call"

    @property
    def is_open(self) -> bool:
        """Whether its answer is still wanted."""
        return self.asked.id in self.call.caller.questions

    def shown(self) -> dict[str, object]:
        """What its caller is told of it."""
        return {
            "question": {"id": self.id, "method": self.asked.method, "params": Raw(self.asked.params or b"{}")},
            "answer": {"method": "POST", "path": f"/api/v1/questions/{self.id}"},
        }


class Parked:
    """The questions that are open, and the calls that wait for an answer with nobody to hear of it."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}
        self._calls: dict[Call, None] = {}
        self._made: dict[Call, None] = {}
        """Those that are being made, oldest first."""
        self._by_task: dict[asyncio.Future[Result], Call] = {}

    def __repr__(self) -> str:
        return f"<Parked: {len(self._calls)} calls, {len(self._questions)} questions>"

    def attend(self, session_set: SessionSet, server: str, caller: Caller, *, declines: bool = False) -> "Call":
        """A call that is about to be made; where it `declines`, so is all that is asked of it."""
        return Call(self, session_set, server, caller, declines=declines)

    def find(self, id_: str, who: Who, set_id: str | None) -> Question:
        """The open question `id_`, if it is `who`'s, and of the set `set_id` where one is named; else GatewayError."""
        found = self._questions.get(id_)
        if found is None or not found.is_open or not _owns(found.call.session_set, who, set_id):
            message = "there is no such open question; it may have been answered or withdrawn, or its call may be over"
            raise GatewayError(Reason.QUESTION_NOT_FOUND, message)
        return found

    def of(self, who: Who, set_id: str | None) -> list[Question]:
        """The open questions that are `who`'s, oldest first; of the set `set_id` alone, where one is named."""
        return [each for each in self._questions.values() if _owns(each.call.session_set, who, set_id) and each.is_open]

    def call_of(self, task: "asyncio.Future[Result]") -> "Call | None":
        """The call that `task` makes, while it does."""
        return self._by_task.get(task)

    # For Call.

    def begin(self, call: "Call") -> None:
        """`call` is being made."""
        self._made[call] = None

    def attach(self, call: "Call", task: "asyncio.Future[Result]") -> None:
        """By `task`."""
        self._by_task[task] = call

    def finish(self, call: "Call", task: "asyncio.Future[Result] | None") -> None:
        """It is over."""
        self._made.pop(call, None)
        self._calls.pop(call, None)
        if task is not None:
            self._by_task.pop(task, None)

    def newest(self, caller: Caller) -> "Call | None":
        """The newest call that is being made in the session of `caller`."""
        return next((call for call in reversed(self._made) if call.caller is caller), None)

    def add(self, call: "Call", asked: Request, id_: str) -> Question:
        """One more question, which gets an id where it has none."""
        id_ = id_ or secrets.token_urlsafe(_ID_BYTES)
        found = self._questions[id_] = Question(id_, asked, call)
        return found

    def drop(self, question: Question) -> None:
        """It is open no more."""
        self._questions.pop(question.id, None)

    def park(self, call: "Call") -> None:
        """Nobody waits for `call` now."""
        self._calls[call] = None
        own = list(self._of(call.session_set.principal))
        if len(own) > MAX_PARKED:
            own[0].give_up()

    def unpark(self, call: "Call") -> None:
        """Somebody does again, or it is over."""
        self._calls.pop(call, None)

    def _of(self, principal: Principal) -> Iterator["Call"]:
        return (call for call in self._calls if call.session_set.principal == principal)


class Call:
    """One call of a `session_set`'s `server`, before, while and after it waits."""

    def __init__(self, parked: Parked, session_set: SessionSet, server: str, caller: Caller, *, declines: bool) -> None:
        self.session_set = session_set
        self.server = server
        self.caller = caller
        self.on_question: Callable[[Question], None] | None = None
        """Where it is set each question goes there, and nobody is told of one in place of the result: for a stream."""
        self._parked = parked
        self._declines = declines
        self._asked: dict[bytes, Question] = {}
        self._asking: Asking | None = None
        """While whoever made it waits for it without a task."""
        self._told: Told = _as_it_is
        self._task: asyncio.Future[Result] | None = None
        self._is_own = True
        self._waiting = 0
        self._news = Bell()

    def __repr__(self) -> str:
        return f"<Call of {self.server}: {len(self._asked)} questions, {self._waiting} wait>"

    @property
    def questions(self) -> list[Question]:
        """Those of its questions that are open, oldest first."""
        return [each for each in self._asked.values() if each.is_open]

    def hear(self, message: Request, id_: str = "") -> None:
        """The child asks something before it answers; `id_` is set where its caller knows the question by that."""
        if self._declines:
            self.caller.respond(declined(message))
            return
        for old in tuple(self._asked.values()):
            if not old.is_open or old.asked.id == message.id:
                self._forget(old)
        question = self._asked[message.id] = self._parked.add(self, message, id_)
        self._news.ring()
        if self.on_question is not None:
            self.on_question(question)

    def leave(self, on_question: Callable[[Question], None]) -> None:
        """Whoever that told of questions is gone: somebody else who waits is told, in place of the result."""
        if self.on_question == on_question:
            self.on_question = None
            self._news.ring()

    async def answer_or_ask(self, ask: Callable[[], Asking], told: Told = _as_it_is) -> Result:
        """The result of what `ask` asks for, which is to let the call `hear` what the child asks.

        Raises GatewayError, as that does, as it is `told`; and QUESTION_OPEN where the child asks first: then the call
        goes on. Cancellation cancels it.
        """
        self._begin()
        self._told = told
        try:
            self._asking = ask()
            result = await self._answer(self._asking, self._is_left)
            if result is None:
                self.go_on_alone()
        except anyio.get_cancelled_exc_class():
            if self._task is not None and not self._waiting:
                await self._cancel(self._task)
            raise
        finally:
            if self._task is None:
                self._over(None)
        return result if result is not None else await self.outcome()

    def attach(self, task: "asyncio.Future[Result]", *, is_own: bool = True) -> None:
        """The call is being made by `task`; unless it `is_own`, it goes on whoever hangs up."""
        self._is_own = is_own
        self._begin()
        self._follow(task)

    def go_on_alone(self) -> None:
        """It is a task of its own from now on; nothing happens where it is one already."""
        if self._task is None and self._asking is not None:
            self._asking.hand_on()
            # In a context of its own: the caller's holds the whole request.
            rest, name = self._rest(self._asking), f"call of {self.server}"
            self._follow(asyncio.get_running_loop().create_task(rest, name=name, context=Context()))

    def reply(self, question: Question, answer: Response) -> None:
        """Answer `question`. Raises GatewayError where the session has ended."""
        self._forget(question)
        self.caller.respond(answer)

    async def outcome(self) -> Result:
        """What comes next of a call that is made, as `answer_or_ask` has it."""
        assert self._task is not None
        self._waiting += 1
        self._parked.unpark(self)
        try:
            return await self._next(self._task)
        except anyio.get_cancelled_exc_class():
            if self._waiting == 1 and self._is_own:
                await self._cancel(self._task)
            raise
        finally:
            self._waiting -= 1
            if not self._waiting and not self._task.done():
                self._parked.park(self)

    def give_up(self) -> None:
        """Nobody will come back for it."""
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, asking: Asking, is_left: Callable[[], bool]) -> Result | None:
        try:
            return await asking.answer_until(is_left)
        except GatewayError as error:
            self._answered(self._task)  # to tell it may take a while, in which nobody is to answer for it, or ask of it
            told = await self._told(error)
        raise told

    async def _rest(self, asking: Asking) -> Result:
        result = await self._answer(asking, _never)
        assert result is not None
        return result

    def _is_left(self) -> bool:
        """Whether whoever made it waits no more, to tell of a question."""
        return self.on_question is None and bool(self.questions)

    def _begin(self) -> None:
        self._parked.begin(self)
        self.session_set.begin_call()

    def _follow(self, task: "asyncio.Future[Result]") -> None:
        self._task = task
        self._parked.attach(self, task)
        task.add_done_callback(self._done)

    async def _next(self, task: "asyncio.Future[Result]") -> Result:
        while not task.done():
            if self.on_question is None and (found := self.questions):
                raise _question_open(found)
            await self._news.wait(FOR_EVER)
        if task.cancelled():
            raise GatewayError(Reason.QUESTION_NOT_FOUND, "the call was given up, for want of an answer")
        return task.result()

    async def _cancel(self, task: "asyncio.Future[Result]") -> None:
        self.give_up()
        with anyio.CancelScope(shield=True), anyio.move_on_after(UNWINDING):
            await asyncio.wait({task})

    def _done(self, task: "asyncio.Future[Result]") -> None:
        if not task.cancelled():
            task.exception()  # else asyncio would complain of one that nobody has come back for
        elif self._asking is not None:
            self._asking.give_up()  # it may have been cancelled before it began
        self._over(task)

    def _over(self, task: "asyncio.Future[Result] | None") -> None:
        self._asking = None  # which knows this call: else both would wait for the collector
        self._answered(task)
        self.session_set.end_call()
        self._news.ring()

    def _answered(self, task: "asyncio.Future[Result] | None") -> None:
        """The child has no more to say about it. May be called again."""
        self._parked.finish(self, task)
        if self._asked:
            self._hand_over(self._parked.newest(self.caller))

    def _hand_over(self, heir: "Call | None") -> None:
        """Nothing is asked here any more: what is open goes over to `heir`, which it may be about, or is declined."""
        for question in tuple(self._asked.values()):
            is_open = question.is_open
            self._forget(question)
            with suppress(GatewayError):  # the session has ended, and with it the question
                if is_open and heir is not None:
                    heir.go_on_alone()
                    heir.hear(question.asked, question.id)
                elif is_open:
                    self.caller.respond(declined(question.asked))

    def _forget(self, question: Question) -> None:
        self._parked.drop(question)
        if self._asked.get(question.asked.id) is question:
            del self._asked[question.asked.id]


def _owns(session_set: SessionSet, who: Who, set_id: str | None) -> bool:
    return session_set.principal == who.principal and set_id in (None, session_set.id)


def _question_open(found: list[Question]) -> GatewayError:
    message = "the server asks something before it answers; answer it where 'about.answer' says, and the call goes on"
    return GatewayError(Reason.QUESTION_OPEN, message, **found[0].shown(), open=len(found))
