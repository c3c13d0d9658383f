"""Calls that wait for an answer to a question: who is told what, and when it is over."""

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any, cast

import anyio
import pytest

from common.reasons import Reason
from gateway.asking import Asking
from gateway.caller import Caller
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Request, Response, encode
from gateway.large import Result
from gateway.outbox import Outbox
from gateway.relay import Relay
from gateway.rest.parked import MAX_PARKED, Call, Parked, Question
from gateway.session_sets import SessionSet
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

ANN, BOB = (Who(Principal("bearer", name)) for name in ("ann", "bob"))


class Child:
    """A caller whose child asks when it is told to; what it was answered."""

    def __init__(self) -> None:
        self.questions: set[bytes] = set()
        self.heard: list[Response] = []

    def respond(self, answer: Response) -> None:
        self.questions.discard(answer.id)
        self.heard.append(answer)


class Set:
    """A session set, as calls know it."""

    def __init__(self, who: Who = ANN, id_: str = "gw.set") -> None:
        self.principal, self.id, self.calls = who.principal, id_, 0

    def begin_call(self) -> None:
        self.calls += 1

    def end_call(self) -> None:
        self.calls -= 1


class Bench:
    """One call, and its child."""

    def __init__(self, parked: Parked, who: Who = ANN, *, declines: bool = False, child: Child | None = None) -> None:
        self.child, self.set = child or Child(), Set(who)
        session_set, caller = cast("SessionSet", self.set), cast("Caller", self.child)
        self.call: Call = parked.attend(session_set, "light", caller, declines=declines)
        self.outbox = Outbox()
        self.is_made = self.at_once = self.cancelled = False
        self.first: tuple[bytes, ...] = ()
        self.result = b'"result":{}'

    def ask(self, id_: bytes = b'"q"', method: str = "elicitation/create") -> None:
        self.child.questions.add(id_)
        self.outbox.put(encode(Request(id_, method, b'{"message":"?"}')))

    def answer(self) -> None:
        """Now, or as soon as it is asked, after the questions."""
        if not self.is_made:
            self.at_once = True
        else:
            self.outbox.put(b'{"jsonrpc":"2.0","id":1,%b}' % self.result)
            self.outbox.close()

    def make(self) -> Asking:
        return Asking(cast("Relay", self), "light", Request(b"1", "m", b""), who=None, asks=self.call.hear)

    # What a call has of a relay.

    def new_outbox(self) -> Outbox:
        return self.outbox

    def request(self, *_: object, **__: object) -> None:
        self.is_made = True
        for id_ in self.first:
            self.ask(id_)
        if self.at_once:
            self.answer()

    def hang_up(self, outbox: Outbox) -> None:
        outbox.discard()

    def cancel(self, id_: bytes, reason: str) -> None:
        self.cancelled = True

    async def asked(self, coroutine: Coroutine[Any, Any, Result]) -> Any:
        """What it is told that is a question."""
        with pytest.raises(GatewayError) as raised, anyio.fail_after(PATIENCE):
            await coroutine
        assert raised.value.reason is Reason.QUESTION_OPEN
        return raised.value.about

    async def parked(self) -> str:
        """Made, and asked a question; its id."""
        self.first = (b'"q"',)
        about = await self.asked(self.call.answer_or_ask(self.make))
        return str(about["question"]["id"])

    async def over(self) -> None:
        """Wait until its task is."""
        if not self.outbox.at_end:
            self.answer()
        with anyio.fail_after(PATIENCE):
            while self.set.calls:
                await anyio.lowlevel.checkpoint()


def yes(question: Question) -> Response:
    return Response(question.asked.id, b'{"action":"accept"}', b"")


async def test_a_call_that_nobody_asks_about_is_answered_by_its_result() -> None:
    bench = Bench(Parked())
    bench.answer()
    assert await bench.call.answer_or_ask(bench.make) == b"{}"
    await bench.over()


async def test_a_question_comes_in_place_of_the_result_and_the_result_after_the_answer() -> None:
    parked = Parked()
    bench = Bench(parked)
    id_ = await bench.parked()
    bench.call.reply(question := parked.find(id_, ANN, None), yes(question))
    assert bench.child.heard == [yes(question)]
    bench.answer()
    assert await bench.call.outcome() == b"{}"
    assert repr(parked) == "<Parked: 0 calls, 0 questions>"
    await bench.over()


async def test_a_question_is_found_by_its_owner_alone_and_in_its_set() -> None:
    parked = Parked()
    bench = Bench(parked)
    id_ = await bench.parked()
    assert parked.find(id_, ANN, "gw.set").id == id_
    for who, set_id in ((BOB, None), (BOB, "gw.set"), (ANN, "gw.other")):
        with pytest.raises(GatewayError, match="no such open question"):
            parked.find(id_, who, set_id)
        assert parked.of(who, set_id) == []
    await bench.over()


async def test_a_question_that_the_child_withdrew_or_asks_anew_is_open_no_more() -> None:
    parked = Parked()
    bench = Bench(parked)
    id_ = await bench.parked()
    bench.child.questions.clear()
    assert parked.of(ANN, None) == []
    bench.ask()
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(GatewayError):
        parked.find(id_, ANN, None)
    assert len(parked.of(ANN, None)) == 1
    assert "1 questions" in repr(parked)
    await bench.over()


async def test_what_is_open_at_the_end_of_its_call_is_declined() -> None:
    parked = Parked()
    bench = Bench(parked)
    await bench.parked()
    await bench.over()
    assert [answer.result for answer in bench.child.heard] == [b'{"action":"decline"}']
    assert repr(parked) == "<Parked: 0 calls, 0 questions>"


async def test_a_question_outlives_the_call_that_was_taken_for_its_own_while_there_is_another() -> None:
    parked = Parked()
    first = Bench(parked)
    second = Bench(parked, child=first.child)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.asked, first.call.answer_or_ask(first.make))
        await anyio.wait_all_tasks_blocked()
        id_ = await second.parked()
        await second.over()
    assert parked.find(id_, ANN, None).call is first.call
    assert first.child.heard == []
    await first.over()
    assert len(first.child.heard) == 1


async def test_a_call_that_nothing_is_asked_about_is_no_task_of_its_own() -> None:
    bench = Bench(Parked())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.call.answer_or_ask, bench.make)
        await anyio.wait_all_tasks_blocked()
        assert "call of light" not in {task.get_name() for task in asyncio.all_tasks()}
        bench.answer()
    assert bench.set.calls == 0


async def test_a_result_that_comes_with_a_question_is_the_answer_and_the_question_is_declined() -> None:
    parked = Parked()
    bench = Bench(parked)
    bench.first = (b"1",)
    bench.answer()
    assert await bench.call.answer_or_ask(bench.make) == b"{}"
    assert [answer.result for answer in bench.child.heard] == [b'{"action":"decline"}']
    assert bench.set.calls == 0


async def test_a_call_that_is_over_waits_for_no_collector(without_collector: None) -> None:
    bench = Bench(Parked())
    bench.answer()
    await bench.call.answer_or_ask(bench.make)
    gone = weakref.ref(bench.call)
    del bench.call
    assert gone() is None


async def test_while_an_error_is_told_its_call_has_no_question_and_takes_none_over() -> None:
    parked = Parked()
    bench = Bench(parked)
    bench.first = (b'"p"',)
    bench.at_once, bench.result = True, b'"error":{"code":-32602,"message":"no"}'
    second = Bench(parked, child=bench.child)

    async def told(error: GatewayError) -> GatewayError:
        assert parked.of(ANN, None) == []
        assert [answer.result for answer in bench.child.heard] == [b'{"action":"decline"}']
        await second.parked()
        second.call.give_up()
        await second.over()
        assert len(bench.child.heard) == 2
        return error

    with pytest.raises(GatewayError, match="no"):
        await bench.call.answer_or_ask(bench.make, told)
    assert bench.set.calls == 0


async def test_whoever_makes_a_call_and_hangs_up_cancels_it() -> None:
    bench = Bench(Parked())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.call.answer_or_ask, bench.make)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert bench.cancelled
    assert bench.set.calls == 0


async def test_whoever_hangs_up_just_as_the_call_becomes_a_task_of_its_own_cancels_it() -> None:
    parked = Parked()
    bench = Bench(parked)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.call.answer_or_ask, bench.make)
        await anyio.wait_all_tasks_blocked()
        bench.call.go_on_alone()
        tasks.cancel_scope.cancel()
    assert bench.cancelled
    assert bench.set.calls == 0
    assert repr(parked) == "<Parked: 0 calls, 0 questions>"


async def test_an_answer_to_a_question_that_has_just_come_over_is_followed_by_the_result_for_both_who_wait() -> None:
    parked = Parked()
    first = Bench(parked)
    second = Bench(parked, child=first.child)
    results: list[Result] = []

    async def make() -> None:
        results.append(await first.call.answer_or_ask(first.make))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make)
        await anyio.wait_all_tasks_blocked()
        id_ = await second.parked()
        second.call.give_up()
        while second.set.calls:
            await anyio.lowlevel.cancel_shielded_checkpoint()
        found = parked.find(id_, ANN, None)
        first.call.reply(found, yes(found))
        first.answer()
        results.append(await found.call.outcome())
    assert results == [b"{}", b"{}"]
    assert not first.cancelled


async def test_a_call_that_declines_is_never_asked() -> None:
    bench = Bench(Parked(), declines=True)
    bench.first = (b"1",)
    bench.answer()
    assert await bench.call.answer_or_ask(bench.make) == b"{}"
    assert len(bench.child.heard) == 1
    await bench.over()


async def test_whoever_waits_and_hangs_up_cancels_the_call_and_its_questions_are_declined() -> None:
    parked = Parked()
    bench = Bench(parked)
    bench.first = (b"1", b"2")
    about = await bench.asked(bench.call.answer_or_ask(bench.make))
    assert about["open"] == 2
    for question in parked.of(ANN, None):
        bench.call.reply(question, yes(question))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.call.outcome)
        await anyio.wait_all_tasks_blocked()
        bench.child.questions.add(b"3")
        tasks.cancel_scope.cancel()
    assert bench.cancelled
    await bench.over()


async def test_of_two_who_wait_one_may_hang_up() -> None:
    parked = Parked()
    bench = Bench(parked)
    question = parked.find(await bench.parked(), ANN, None)
    bench.call.reply(question, yes(question))
    async with anyio.create_task_group() as staying:
        staying.start_soon(bench.call.outcome)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(bench.call.outcome)
            await anyio.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
        assert not bench.cancelled
        bench.answer()
    await bench.over()


async def test_a_call_that_streams_is_told_of_each_question_as_it_comes() -> None:
    parked = Parked()
    bench = Bench(parked)
    told: list[Question] = []
    bench.call.on_question = told.append
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.call.answer_or_ask, bench.make)
        await anyio.wait_all_tasks_blocked()
        bench.ask()
        await anyio.wait_all_tasks_blocked()
        assert told == parked.of(ANN, None)
        bench.call.reply(told[0], yes(told[0]))
        bench.answer()
    await bench.over()


async def test_the_oldest_of_too_many_parked_calls_gives_way_and_nobody_elses() -> None:
    parked = Parked()
    other = Bench(parked, BOB)
    await other.parked()
    benches = [Bench(parked) for _ in range(MAX_PARKED + 1)]
    for bench in benches:
        await bench.parked()
    await benches[0].over()
    assert benches[0].cancelled
    assert [bench.cancelled for bench in (*benches[1:], other)] == [False] * (MAX_PARKED + 1)
    for bench in (*benches, other):
        await bench.over()


async def test_a_call_of_somebody_elses_task_goes_on_whoever_hangs_up() -> None:
    parked = Parked()
    bench = Bench(parked)
    task = asyncio.get_running_loop().create_task(bench.make().answer())
    bench.call.attach(task, is_own=False)
    assert parked.call_of(task) is bench.call
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.call.outcome)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert not bench.cancelled
    await bench.over()
    assert parked.call_of(task) is None
