"""Children that wait for a retry; the test is the relay's holder, and the session.

What becomes of them over HTTP: `tests/e2e/test_stateless.py`.
"""

from typing import Any, cast

import msgspec
import pytest

from common.reasons import Reason
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.jsonrpc import Request
from gateway.modern.envelope import Envelope, Rejected
from gateway.modern.rounds import MAX_OF_ONE, Rounds
from gateway.personal import NOTHING, Personal
from gateway.rawjson import members
from gateway.session import Session

Whose = tuple[Principal, str]
WHOSE: Whose = (ANONYMOUS, "s")


class Held:
    """A session and its bridge: held or not, ended or not."""

    server = "s"
    personal = NOTHING

    def __init__(self) -> None:
        self.principal = ANONYMOUS
        self.relay = self
        self.holds = 0
        self.ended: Reason | None = None

    def hold(self) -> None:
        self.holds += 1

    def unhold(self) -> None:
        self.holds -= 1

    def end(self, reason: Reason) -> None:
        self.ended = reason


def envelope(method: str = "tools/call", **params: object) -> Envelope:
    """A request."""
    data = msgspec.json.encode({"name": "t", "arguments": {"b": 1, "a": 2}, **params})
    return Envelope(Request(b"1", method, data), members(data), {}, [])


def asked(**result: object) -> bytes:
    """The child's answer, which is a question."""
    whole = {"resultType": "input_required", **result}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": whole})


def kept(rounds: Rounds, held: Held, **result: object) -> str:
    """The handle for a round that is open."""
    answer = msgspec.json.decode(bytes(rounds.keep(cast("Session", held), envelope(), asked(**result))))
    return str(answer["result"]["requestState"])


def refusal(rounds: Rounds, retry: Envelope, whose: Whose = WHOSE, own: Personal = NOTHING) -> Any:
    """Why a retry is refused."""
    with pytest.raises(Rejected) as raised:
        rounds.claim(*whose, retry, own)
    assert raised.value.status == 400
    return msgspec.json.decode(raised.value.body())["error"]["data"]["reason"]


async def test_a_retry_finds_its_child_which_gets_its_own_state_back_and_is_held_meanwhile() -> None:
    rounds, held = Rounds(), Held()
    handle = kept(rounds, held, requestState="own")
    assert held.holds == 1
    assert rounds.keeps(cast("Session", held))
    claimed = rounds.claim(*WHOSE, envelope(requestState=handle, inputResponses={}))
    assert claimed is not None
    session, message = claimed
    assert session is held  # type: ignore[comparison-overlap]
    assert msgspec.json.decode(message.params)["requestState"] == "own"
    assert held.holds == 0
    assert not rounds.keeps(cast("Session", held))


async def test_a_child_that_gave_no_state_gets_none() -> None:
    rounds, held = Rounds(), Held()
    claimed = rounds.claim(*WHOSE, envelope(requestState=kept(rounds, held)))
    assert claimed is not None
    assert "requestState" not in msgspec.json.decode(claimed[1].params)


async def test_a_handle_is_good_once_and_for_the_same_request_of_the_same_principal() -> None:
    rounds, held = Rounds(), Held()
    handle = kept(rounds, held)
    for other in (
        envelope(requestState=handle, name="u"),
        envelope(requestState=handle, uri="x"),
        envelope(requestState=handle, arguments={}),
        envelope("prompts/get", requestState=handle),
    ):
        assert refusal(rounds, other) == "of_another_request"
    same = envelope(requestState=handle, arguments={"a": 2, "b": 1})
    assert refusal(rounds, same, (ANONYMOUS, "t")) == "of_another_request"
    assert refusal(rounds, same, own=Personal({"header:X-Token": "another's"})) == "of_another_request"
    assert rounds.claim(*WHOSE, same) is not None
    assert refusal(rounds, same) == "unknown_or_expired"


async def test_somebody_elses_state_is_like_one_that_never_was_and_stays_good() -> None:
    rounds, held = Rounds(), Held()
    held.principal = Principal("bearer", "librechat", "ann")
    same = envelope(requestState=kept(rounds, held))
    for other in (ANONYMOUS, Principal("bearer", "librechat"), Principal("bearer", "librechat", "bob")):
        assert not rounds.knows(same.value("requestState"), other)
        assert refusal(rounds, same, (other, "s")) == "unknown_or_expired"
    assert rounds.claim(held.principal, "s", same) is not None


@pytest.mark.parametrize("state", ["", "tampered", 7, True, {}, []])
async def test_a_state_that_is_none_of_ours_is_refused(state: object) -> None:
    assert refusal(Rounds(), envelope(requestState=state)) == "unknown_or_expired"


async def test_a_first_request_has_no_state() -> None:
    assert Rounds().claim(*WHOSE, envelope()) is None


async def test_a_child_that_has_ended_meanwhile_cannot_be_found() -> None:
    rounds, held = Rounds(), Held()
    handle = kept(rounds, held)
    held.end(Reason.CHILD_EXITED)
    assert refusal(rounds, envelope(requestState=handle)) == "session_ended"


@pytest.mark.parametrize(
    "answer",
    [
        b'{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","text":"input_required"}}',
        b'{"jsonrpc":"2.0","id":1,"result":"input_required"}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":"input_required"}}',
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"input_required"}}',
        b'"input_required"',
    ],
)
async def test_an_answer_that_asks_nothing_stays_as_it_is(answer: bytes) -> None:
    rounds, held = Rounds(), Held()
    assert rounds.keep(cast("Session", held), envelope(), answer) == answer
    assert repr(rounds) == "<Rounds: 0 open>"


async def test_of_too_many_rounds_of_one_principal_the_oldest_gives_way() -> None:
    rounds, held = Rounds(), [Held() for _ in range(MAX_OF_ONE + 1)]
    other = Held()
    other.principal = Principal("basic", "alice")
    kept(rounds, other)
    opened = [kept(rounds, each) for each in held]
    assert held[0].ended is Reason.UNUSED
    assert held[0].holds == 0
    assert not rounds.knows(opened[0], ANONYMOUS)
    assert all(rounds.knows(each, ANONYMOUS) for each in opened[1:])
    assert other.ended is None


@pytest.mark.parametrize("state", [None, "", 7, [], {}])
async def test_what_was_never_given_out_is_not_known(state: object) -> None:
    assert not Rounds().knows(state, ANONYMOUS)
