"""How often: which requests a rule is about, what is counted together, and what where nothing can be counted."""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from limits import parse
from loguru import logger

from common.config.amounts import Amounts, RateLimit
from common.reasons import Reason
from gateway.admittance import Refused, Standing, Use
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.rates import RETRY, WAIT, Rates, Rule, in_words

# The windows are years, so that none ends in the middle of a test.
ANN, BOB = Who(Principal("bearer", "librechat", "ann")), Who(Principal("bearer", "librechat", "bob"))
CI = Who(Principal("apikey", "ci"))
ECHO, ADD = Use("light", "tools/call", "echo"), Use("light", "tools/call", "add")
ELSEWHERE = Use("other", "tools/call", "echo")
LIST, ID = Use("light", "tools/list"), Use("", "initialize")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message).strip()), format="{level} {message}")
    yield said
    logger.remove(sink)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def counting(
    *rules: dict[str, Any], clock: Clock | None = None, wait: float = WAIT, **keys: Any
) -> AsyncIterator[Rates]:
    """Rates by these rules."""
    rates = Rates(Amounts.model_validate({"rate_limits": rules, **keys}), clock or Clock(), wait=wait)
    try:
        yield rates
    finally:
        await rates.close()


async def passed(rates: Rates, *asked: tuple[Who, Use]) -> list[bool]:
    """Which of these requests pass, one after the other."""
    return [await passes(rates, who, use) for who, use in asked]


async def passes(rates: Callable[[Who, Use], Awaitable[object]], who: Who, use: Use) -> bool:
    """Whether this request does."""
    try:
        await rates(who, use)
    except Refused:
        return False
    return True


def rule(**settings: Any) -> Rule:
    """One rule, counted for each user unless told otherwise."""
    limit = RateLimit.model_validate({"per": "user", "limit": "2/year", **settings})
    return Rule(limit, parse(limit.limit))


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({}, [ECHO, ADD, ELSEWHERE, LIST, ID]),
        ({"server": "light"}, [ECHO, ADD, LIST]),
        ({"server": "l*"}, [ECHO, ADD, LIST]),
        ({"server": "L*"}, []),
        ({"tool": "e*"}, [ECHO, ELSEWHERE]),
        ({"server": "light", "tool": "e?ho"}, [ECHO]),
        ({"tool": "*"}, [ECHO, ADD, ELSEWHERE]),
        ({"per": "tool"}, [ECHO, ADD, ELSEWHERE]),
        ({"per": ["user", "tool"], "server": "other"}, [ELSEWHERE]),
        ({"per": "server"}, [ECHO, ADD, ELSEWHERE, LIST]),
        ({"key": "librechat"}, [ECHO, ADD, ELSEWHERE, LIST, ID]),
        ({"key": "ci"}, []),
    ],
)
def test_a_rule_is_about_the_requests_that_it_names(settings: dict[str, Any], about: list[Use]) -> None:
    assert [use for use in (ECHO, ADD, ELSEWHERE, LIST, ID) if rule(**settings).is_about(ANN.principal, use)] == about


def test_a_rule_for_one_key_is_not_about_a_token_that_has_its_name_for_a_subject() -> None:
    assert not rule(key="ci").is_about(Principal("https://issuer.example", "ci"), ECHO)


def test_a_call_that_may_be_of_any_tool_counts_for_every_rule_about_tools() -> None:
    hidden = Use("light", "tools/call", "")
    assert all(rule(tool=tool).is_about(ANN.principal, hidden) for tool in ("echo", "a*", "*"))
    assert not rule(tool="echo", server="other").is_about(ANN.principal, hidden)


@pytest.mark.parametrize(
    ("per", "alike"),
    [
        ("user", [[(ANN, ECHO), (ANN, ADD), (ANN, ELSEWHERE)], [(BOB, ECHO)], [(CI, ECHO)]]),
        ("key", [[(ANN, ECHO), (ANN, ADD), (ANN, ELSEWHERE), (BOB, ECHO)], [(CI, ECHO)]]),
        ("server", [[(ANN, ECHO), (ANN, ADD), (BOB, ECHO), (CI, ECHO)], [(ANN, ELSEWHERE)]]),
        ("tool", [[(ANN, ECHO), (BOB, ECHO), (CI, ECHO)], [(ANN, ADD)], [(ANN, ELSEWHERE)]]),
        (["user", "server"], [[(ANN, ECHO), (ANN, ADD)], [(ANN, ELSEWHERE)], [(BOB, ECHO)], [(CI, ECHO)]]),
    ],
)
def test_what_a_rule_is_per_is_counted_together(per: Any, alike: list[list[tuple[Who, Use]]]) -> None:
    buckets = [{rule(per=per).bucket(who.principal, use) for who, use in group} for group in alike]
    assert [len(each) for each in buckets] == [1] * len(alike)
    assert len(set().union(*buckets)) == len(alike)


def test_no_name_is_in_what_is_stored_and_none_can_be_made_to_look_like_another() -> None:
    own = rule().bucket(Principal("basic", "a", "b\0c"), ECHO)
    assert re.fullmatch("[0-9a-f]{32}", own)
    assert own != rule().bucket(Principal("basic", "a\0b", "c"), ECHO)


async def test_one_user_at_its_limit_does_not_touch_another() -> None:
    async with counting({"per": "user", "limit": "2/year"}) as rates:
        assert await passed(rates, *[(ANN, ECHO)] * 4, (BOB, ECHO)) == [True, True, False, False, True]


async def test_what_is_refused_for_its_user_takes_nothing_from_the_others_of_its_key() -> None:
    rules = {"per": "key", "limit": "3/year"}, {"per": "user", "limit": "1/year"}
    async with counting({"per": "server", "limit": "4/year"}, *rules) as rates:
        assert await passed(rates, *[(ANN, ECHO)] * 20) == [True] + [False] * 19
        assert await passed(rates, (BOB, ECHO), (CI, ECHO)) == [True, True]


async def test_of_a_flood_of_requests_at_once_exactly_as_many_pass_as_may() -> None:
    through: list[bool] = []

    async def ask(rates: Rates) -> None:
        through.append(await passes(rates, ANN, ECHO))

    async with counting({"per": "user", "limit": "50/year"}) as rates, anyio.create_task_group() as tasks:
        for _ in range(200):
            tasks.start_soon(ask, rates)
    assert (len(through), sum(through)) == (200, 50)


async def test_it_is_told_how_near_the_limit_is() -> None:
    async with counting({"per": "user", "limit": "3/year"}, {"per": "key", "limit": "5/year"}) as rates:
        standings = [await rates(ANN, ECHO) for _ in range(3)]
        assert [(each.limit, each.remaining) for each in standings if each] == [(3, 2), (3, 1), (3, 0)]
        with pytest.raises(Refused) as refused:
            await rates(ANN, ECHO)
    standing, error = refused.value.standing, refused.value
    assert (error.reason, error.status) == (Reason.RATE_LIMITED, 429)
    assert (standing.limit, standing.remaining) == (3, 0)
    assert error.headers == {"Retry-After": str(standing.reset)}
    assert error.about == {"limit": "3 per 1 year", "per": ["user"], "retryAfter": standing.reset}


async def test_what_no_rule_is_about_is_not_counted() -> None:
    async with counting({"per": "user", "limit": "1/year", "tool": "add"}) as rates:
        assert [await rates(ANN, ECHO) for _ in range(3)] == [None, None, None]
        assert await rates(ANN, ADD) == Standing(1, 0, (await _reset(rates, ANN)))


async def _reset(rates: Rates, who: Who) -> int:
    with pytest.raises(Refused) as refused:
        await rates(who, ADD)
    return refused.value.standing.reset


@pytest.mark.parametrize("seconds", [1, 59, 90, 91, 401, 429, 3600, 4010, 5401, 86_400, 324_000, 401 * 3600, 10**8])
def test_no_time_in_a_sentence_looks_like_a_status(seconds: int) -> None:
    """LibreChat takes "401" and "429" in an error's text for what they are elsewhere (R4)."""
    assert not re.search(r"\d{3}", in_words(seconds))


def test_times_are_said_as_people_say_them() -> None:
    assert [in_words(each) for each in (1, 90, 91, 5400, 5401, 10**6)] == [
        "1 second",
        "90 seconds",
        "2 minutes",
        "90 minutes",
        "2 hours",
        "a few days",
    ]


# Where Redis does not answer. No Redis is needed for that.


async def test_where_redis_is_not_there_requests_pass_and_the_log_has_one_line(
    tmp_path: Path, lines: list[str]
) -> None:
    clock, url = Clock(), f"redis+unix://{tmp_path}/none"
    async with counting({"per": "user", "limit": "1/year"}, clock=clock, rate_limit_storage=url) as rates:
        assert await passed(rates, *[(ANN, ECHO)] * 5) == [True] * 5
        assert rates.report() == {"storage": "redis", "answers": False, "faults": 1}
        clock.now += RETRY
        assert await passed(rates, *[(ANN, ECHO)] * 5) == [True] * 5
        assert rates.report() == {"storage": "redis", "answers": False, "faults": 2}
    assert lines == ["WARNING rate_limit_storage does not answer (ConnectionError); requests are let through uncounted"]


async def test_where_the_operator_says_so_they_are_refused_instead(tmp_path: Path, lines: list[str]) -> None:
    keys: dict[str, Any] = {"rate_limit_storage": f"redis+unix://{tmp_path}/none", "rate_limit_on_error": "deny"}
    async with counting({"per": "user", "limit": "1/year", "server": "light"}, **keys) as rates:
        for _ in range(2):
            with pytest.raises(GatewayError) as error:
                await rates(ANN, ECHO)
            assert (error.value.reason, error.value.headers) == (Reason.RATE_LIMITS_UNKNOWN, {"Retry-After": "1"})
        assert await rates(ANN, ELSEWHERE) is None
    assert lines == ["WARNING rate_limit_storage does not answer (ConnectionError); requests are refused"]


async def test_a_redis_that_says_nothing_holds_up_one_request_for_a_moment_and_the_others_not_at_all(
    tmp_path: Path, lines: list[str]
) -> None:
    path = os.fspath(tmp_path / "mute")

    async def be_mute(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            async for _ in stream:
                pass

    rule = {"per": "user", "limit": "1/year"}
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, be_mute)
        async with counting(rule, rate_limit_storage=f"redis+unix://{path}") as rates:
            with anyio.fail_after(10):
                assert await passed(rates, *[(ANN, ECHO)] * 100) == [True] * 100
            assert rates.report()["faults"] == 1
        tasks.cancel_scope.cancel()
    assert len(lines) == 1


async def test_other_rules_hold_from_then_on_and_what_was_counted_stays_counted() -> None:
    async with counting({"per": "user", "limit": "2/year"}) as rates:
        assert await passed(rates, (ANN, ECHO), (ANN, ECHO), (ANN, ECHO)) == [True, True, False]
        rates.take_over(Amounts())
        assert (rates.is_on, await rates(ANN, ECHO)) == (False, None)
        other = {"per": "user", "limit": "2/year", "server": "other"}
        again = {"rate_limits": [other, {"per": "user", "limit": "2/year"}]}
        rates.take_over(Amounts.model_validate(again))
        assert await passed(rates, (ANN, ECHO), (BOB, ECHO), (BOB, ELSEWHERE)) == [False, True, True]


async def test_counts_begin_anew_where_they_are_kept_elsewhere(tmp_path: Path, lines: list[str]) -> None:
    rules: dict[str, Any] = {"rate_limits": [{"per": "user", "limit": "1/year"}]}
    async with counting(*rules["rate_limits"]) as rates:
        assert await passed(rates, (ANN, ECHO), (ANN, ECHO)) == [True, False]
        there = {"rate_limit_storage": f"redis+unix://{tmp_path}/none", "rate_limit_on_error": "deny"}
        rates.take_over(Amounts.model_validate(rules | there))
        with pytest.raises(GatewayError) as error:
            await rates(ANN, ECHO)
        assert (error.value.reason, rates.report()["storage"]) == (Reason.RATE_LIMITS_UNKNOWN, "redis")
        rates.take_over(Amounts.model_validate(rules))
        assert await passed(rates, (ANN, ECHO), (ANN, ECHO)) == [True, False]
        assert rates.report() == {"storage": "memory", "answers": True, "faults": 1}


async def test_no_address_and_no_password_is_ever_told(tmp_path: Path, lines: list[str]) -> None:
    url = f"redis+unix://user:s3cret@{tmp_path}/none"
    async with counting({"per": "user", "limit": "1/year"}, rate_limit_storage=url) as rates:
        await rates(ANN, ECHO)
        assert "s3cret" not in repr(rates)
    assert "s3cret" not in "".join(lines)
    assert str(tmp_path) not in "".join(lines)
