"""A call with a key is made once, as far as what is kept of it goes."""

import asyncio

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.large import Result
from gateway.rest.replays import KEPT_FOR, LONGEST, Bounds, Name, Replays

NAME = Name("tool", "key")


def made(replays: Replays, session: object, name: Name = NAME, owner: str = "me", at: float = 0.0,
         said: bytes | Exception = b"done") -> None:  # fmt: skip
    """A call, from its beginning to its end."""
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    kept = replays.begin(session, owner, name, b"{}", answer)
    if isinstance(said, Exception):
        answer.set_exception(said)
    else:
        answer.set_result(said)
    replays.finish(kept, at)


def has(replays: Replays, session: object, name: Name = NAME, at: float = 0.0) -> bool:
    return replays.find(session, name, b"{}", at) is not None


async def test_an_answer_is_one_sessions_with_one_tool_and_one_key() -> None:
    replays = Replays()
    made(replays, "one")
    assert has(replays, "one")
    assert not has(replays, "two")
    assert not has(replays, "one", Name("tool", "other"))
    assert not has(replays, "one", Name("other", "key"))


async def test_a_call_that_runs_is_found_too() -> None:
    replays = Replays()
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    kept = replays.begin("one", "me", NAME, b'{"a": 1, "b": 2}', answer)
    assert replays.find("one", NAME, b'{"b":2,"a":1}', 0) is kept
    with pytest.raises(GatewayError) as refused:
        replays.find("one", NAME, b'{"a":1}', 0)
    assert (refused.value.status, refused.value.reason) == (409, Reason.IDEMPOTENCY_CONFLICT)
    replays.forget("one")
    answer.set_result(b"done")
    replays.finish(kept, 0)
    assert not has(replays, "one")
    assert repr(replays) == "<Replays: 0 answers, 0 bytes>"


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (GatewayError(Reason.CHILD_ERROR, "its own", code=-32000), True),
        (GatewayError(Reason.BAD_REQUEST, "its own", code=-32602), True),
        (GatewayError(Reason.REQUEST_TIMEOUT, "who knows"), True),
        (GatewayError(Reason.BAD_REQUEST, "ours"), False),
        (GatewayError(Reason.MAX_USER_CALLS, "not now"), False),
        (GatewayError(Reason.SHUTDOWN, "not here"), False),
        (RuntimeError("a fault"), False),
    ],
    ids=str,
)
async def test_what_the_call_came_to_is_kept_and_what_the_try_came_to_is_not(error: Exception, kept: bool) -> None:
    replays = Replays()
    made(replays, "one", said=error)
    assert has(replays, "one") is kept


async def test_an_answer_ends_with_its_time_and_with_its_session() -> None:
    replays = Replays()
    made(replays, "one", at=5)
    made(replays, "two", at=6)
    assert has(replays, "one", at=5 + KEPT_FOR - 1)
    assert not has(replays, "one", at=5 + KEPT_FOR)
    replays.forget("two")
    assert not has(replays, "two")
    assert repr(replays) == "<Replays: 0 answers, 0 bytes>"


async def test_of_an_answer_that_is_too_large_it_is_known_that_there_was_one() -> None:
    replays = Replays()
    made(replays, "one", said=b"x" * (LONGEST + 1))
    with pytest.raises(GatewayError, match="not kept") as refused:
        has(replays, "one")
    assert refused.value.status == 409
    assert repr(replays) == "<Replays: 1 answers, 512 bytes>"


async def test_the_oldest_go_first_each_principals_own_and_then_anybodys() -> None:
    replays = Replays(each=Bounds(2, 10_000), all=Bounds(3, 10_000))
    for key in "abc":
        made(replays, "mine", Name("tool", key))
    assert [has(replays, "mine", Name("tool", key)) for key in "abc"] == [False, True, True]
    for key in "de":
        made(replays, "theirs", Name("tool", key), owner="they")
    assert [has(replays, "mine", Name("tool", key)) for key in "bc"] == [False, True]
    made(replays, "others", said=b"x" * 9000, owner="others")
    assert [has(replays, session, Name("tool", "e")) for session in ("mine", "theirs")] == [False, False]
    made(replays, "others", Name("tool", "f"), said=b"x" * 9000, owner="others")
    assert [has(replays, "others"), has(replays, "others", Name("tool", "f"))] == [False, True]


async def test_a_call_that_was_cancelled_may_be_made_again() -> None:
    replays = Replays()
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    kept = replays.begin("one", "me", NAME, b"{}", answer)
    answer.cancel()
    replays.finish(kept, 0)
    assert not has(replays, "one")
