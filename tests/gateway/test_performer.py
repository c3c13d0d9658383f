"""What a conversation wants done is done: a legacy client's, with its streams; the test hears what the child is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import msgspec

from common.reasons import Reason
from gateway.conversation import Conversation
from gateway.drain import CallsInFlight
from gateway.errors import TIMED_OUT, GatewayError
from gateway.hotstate import NoNotes
from gateway.jsonrpc import Response, decode, request
from gateway.outbox import Outbox
from gateway.performer import Patience, Performer
from gateway.pressure import Pressure
from gateway.streams import Streams
from tests.support.processes import PATIENCE

AT_ONCE = 0.001
DEATH = GatewayError(Reason.CHILD_EXITED, "it ended")


def nothing(*_: object) -> None:
    """For whom nothing is slow."""


def line(**members: object) -> bytes:
    """A JSON-RPC message with these members, in this order."""
    return msgspec.json.encode({"jsonrpc": "2.0", **members})


class Bridge:
    """A conversation that is performed, between its client and its child."""

    def __init__(self, start: float, request: float, *, initialized: bool) -> None:
        self.told_child: list[dict[str, Any]] = []
        self.ended: list[Reason] = []
        self.end = anyio.Event()
        self.holds = 0
        self.calls = CallsInFlight()
        self.talk = Conversation(answers_questions=True, initialized=initialized)
        pressure = Pressure(pause=nothing, resume=nothing, cut_off=nothing)
        self.streams = Streams(0, self.talk.counters, pressure, resumable=False)
        self.performer = Performer(
            self.talk,
            self.streams,
            Patience("light", start, request),
            say=lambda line: self.told_child.append(msgspec.json.decode(line)),
            end=self._end,
            hold=self._hold,
            unhold=self._unhold,
            calls=self.calls,
            notes=NoNotes(),
        )

    def _end(self, reason: Reason) -> None:
        self.ended.append(reason)
        self.end.set()

    def _hold(self) -> None:
        self.holds += 1

    def _unhold(self) -> None:
        self.holds -= 1

    def ask(self, method: str, outbox: Outbox) -> None:
        """The client asks, and wants the answer there."""
        call, effects = self.talk.request(request(1, method), self.streams.number(outbox))
        if call is not None:
            self.performer.begin(call)
        self.performer.perform(effects)

    def child_says(self, **members: object) -> None:
        """The child says a message."""
        said = line(**members)
        self.performer.perform(self.talk.from_child(decode(said), said))

    async def until_ended(self) -> None:
        """Wait until the session is to end."""
        with anyio.fail_after(PATIENCE):
            await self.end.wait()


@contextmanager
def bridge(*, start: float = PATIENCE, request: float = PATIENCE, initialized: bool = True) -> Iterator[Bridge]:
    """One, with these patiences; afterwards its child is dead, and nothing of it is left."""
    here = Bridge(start, request, initialized=initialized)
    try:
        yield here
    finally:
        here.performer.perform(here.talk.fail(DEATH))
        here.performer.close()
        here.streams.end()
    assert (here.holds, here.calls.count) == (0, 0)
    assert repr(here.performer) == "<Performer <InFlight: 0>, <OpenQuestions: 0>>"


async def taken(outbox: Outbox) -> dict[str, Any]:
    """The next message there."""
    data = await outbox.take(PATIENCE)
    assert data is not None, "none came"
    message: dict[str, Any] = msgspec.json.decode(bytes(data))
    return message


async def test_a_request_reaches_the_child_and_its_answer_ends_the_stream() -> None:
    with bridge() as here:
        outbox = here.streams.new()
        here.ask("tools/list", outbox)
        assert [message["method"] for message in here.told_child] == ["tools/list"]
        assert (here.holds, here.calls.count) == (1, 1)
        here.child_says(id=here.told_child[0]["id"], result={})
        assert (here.holds, here.calls.count) == (0, 0)
        assert (await taken(outbox))["result"] == {}
        assert await outbox.end(0)


async def test_who_waits_too_long_gets_an_error_and_the_child_is_told() -> None:
    with bridge(request=AT_ONCE) as here:
        outbox = here.streams.new()
        here.ask("tools/list", outbox)
        error = (await taken(outbox))["error"]
        assert (error["code"], error["message"]) == (TIMED_OUT, "the server did not answer within 0.001 seconds")
        assert error["data"]["about"] == {"server": "light"}
        assert [message["method"] for message in here.told_child] == ["tools/list", "notifications/cancelled"]
        assert here.ended == []


async def test_a_child_that_does_not_answer_its_first_request_ends_the_session() -> None:
    with bridge(start=AT_ONCE, initialized=False) as here:
        here.ask("initialize", here.streams.new())
        await here.until_ended()
        assert here.ended == [Reason.START_TIMEOUT]


async def test_a_child_that_refuses_its_first_request_ends_the_session() -> None:
    with bridge(initialized=False) as here:
        outbox = here.streams.new()
        here.ask("initialize", outbox)
        here.child_says(id=here.told_child[0]["id"], error={"code": -32603, "message": "no"})
        assert here.ended == [Reason.START_FAILED]
        assert (await taken(outbox))["error"]["message"] == "no"


async def test_a_question_of_the_childs_holds_the_session_until_it_is_answered() -> None:
    with bridge() as here:
        standing = here.streams.new(stands=True)
        here.performer.perform(here.talk.stand(here.streams.stand(standing)))
        here.child_says(id=5, method="roots/list")
        assert here.holds == 1
        asked = await taken(standing)
        here.performer.perform(here.talk.respond(Response(msgspec.json.encode(asked["id"]), b"{}", b"")))
        assert here.holds == 0
        assert [message["id"] for message in here.told_child] == [5]


async def test_a_question_that_nobody_answers_is_declined() -> None:
    with bridge(request=AT_ONCE) as here:
        standing = here.streams.new(stands=True)
        here.performer.perform(here.talk.stand(here.streams.stand(standing)))
        here.child_says(id=5, method="roots/list")
        assert here.holds == 1
        assert [(await taken(standing))["method"] for _ in range(2)] == ["roots/list", "notifications/cancelled"]
        assert [(message["id"], "error" in message) for message in here.told_child] == [(5, True)]
        assert here.holds == 0
