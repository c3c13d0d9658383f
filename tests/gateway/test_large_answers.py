"""Long answers on their way from a conversation to its client."""

from collections import Counter
from typing import cast

import msgspec
import pytest

from common.reasons import Reason
from gateway import sse
from gateway.asking import Asking
from gateway.conversation import Conversation
from gateway.effects import Answered
from gateway.errors import GatewayError
from gateway.events import Event
from gateway.jsonrpc import Request
from gateway.large import LargeAnswer
from gateway.modern.conversation import LISTEN, OPENING, ModernConversation
from gateway.outbox import HIGH_WATER, Outbox
from gateway.relay import Relay
from gateway.ropes import Rope
from gateway.sizes import Bounds, Fit

POST = 3
BODY = Rope([b'{"a":"', *([b"x" * 65536] * 40), b'"}'])


def answer(id_: bytes = b"1", **about: bool) -> LargeAnswer:
    return LargeAnswer(id_, BODY, **about)


def test_a_long_answer_goes_to_the_stream_of_its_request_under_the_clients_id() -> None:
    talk = Conversation(answers_questions=False)
    call, _ = talk.request(Request(b'"mine"', "tools/call", b"{}"), POST)
    assert call is not None
    effects = talk.large(answer(b"%d" % call))
    assert effects is not None
    [answered] = effects
    assert isinstance(answered, Answered)
    assert isinstance(answered.data, LargeAnswer)
    assert (answered.stream, answered.call, answered.data.id, answered.data.body) == (POST, call, b'"mine"', BODY)
    assert talk.in_flight == 0
    assert talk.large(answer(b"%d" % call)) == [], "once"
    assert talk.counters == {"answer_to_nobody": 1}


@pytest.mark.parametrize("id_", [b"0", b"77", b"9" * 18])
def test_a_long_answer_to_nobody_is_dropped(id_: bytes) -> None:
    for talk in (Conversation(answers_questions=False), ModernConversation()):
        assert talk.large(answer(id_)) == []
        assert talk.counters == {"answer_to_nobody": 1}


def test_a_long_answer_to_a_handshake_is_read_as_a_whole() -> None:
    talk = Conversation(answers_questions=False)
    call, _ = talk.request(Request(b"1", "initialize", b"{}"), POST)
    assert talk.large(answer(b"%d" % (call or 0))) is None
    assert talk.in_flight == 1


def test_a_long_answer_of_the_modern_era_goes_the_same_way() -> None:
    talk = ModernConversation()
    call, _ = talk.request(Request(b'"mine"', "tools/call", b"{}"), POST)
    effects = talk.large(answer(b"%d" % (call or 0)))
    assert effects is not None
    [answered] = effects
    assert isinstance(answered, Answered)
    assert isinstance(answered.data, LargeAnswer)
    assert answered.data.id == b'"mine"'


@pytest.mark.parametrize("method", [LISTEN, OPENING])
def test_what_a_modern_conversation_has_to_know_is_read_as_a_whole(method: str) -> None:
    talk = ModernConversation()
    call, _ = talk.request(Request(b"1", method, b"{}"), POST)
    assert talk.large(answer(b"%d" % (call or 0))) is None


async def test_a_long_answer_fills_its_outbox_until_it_is_taken() -> None:
    levels: list[bool] = []
    outbox = Outbox(lambda _, full: levels.append(full))
    outbox.put(answer())
    assert outbox.held == len(answer()) > HIGH_WATER
    taken = await outbox.take(0)
    assert isinstance(taken, LargeAnswer)
    assert (outbox.held, levels) == (0, [True, False])


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_too_long_for_its_client_is_told_so(alone: bool) -> None:
    fit = Fit(Bounds(len(answer()), len(answer())), Counter())
    send = fit.alone if alone else fit.event
    assert isinstance(send(answer()), LargeAnswer)
    told = msgspec.json.decode(bytes(send(answer(b'"longer"'))))
    assert told["id"] == "longer"
    assert told["error"]["data"]["size"] == len(answer(b'"longer"'))


def test_an_event_in_pieces_is_the_event() -> None:
    for id_ in (b"", b"r0-1-1"):
        assert b"".join(sse.pieces(answer(), id_)) == sse.message(bytes(answer()), id_)
    assert list(sse.pieces(b"short")) == [sse.message(b"short")]
    assert len(Event(answer()).data) == len(bytes(answer()))


class Child:
    """A relay that answers at once."""

    def __init__(self, said: LargeAnswer) -> None:
        self.said = said

    def new_outbox(self) -> Outbox:
        return Outbox()

    def request(self, _: Request, outbox: Outbox, **__: object) -> None:
        outbox.put(self.said)
        outbox.close()

    def hang_up(self, outbox: Outbox) -> None:
        outbox.discard()


async def test_the_gateways_own_client_gets_a_long_result_in_pieces() -> None:
    asking = Asking(cast("Relay", Child(answer())), "light", Request(b"1", "m", b""), who=None)
    assert await asking.answer() is BODY


async def test_a_long_error_is_an_error() -> None:
    error = Rope([b'{"code":-32602,"message":"', b"x" * 300_000, b'"}'])
    child = Child(LargeAnswer(b"1", error, is_error=True))
    with pytest.raises(GatewayError) as raised:
        await Asking(cast("Relay", child), "light", Request(b"1", "m", b""), who=None).answer()
    assert raised.value.reason is Reason.BAD_REQUEST
    assert raised.value.message == "x" * 1000
