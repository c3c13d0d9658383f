"""How often, counted in a real Redis: by several gateways together, through its end and its return."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest
from loguru import logger
from redis.asyncio import Redis

from gateway.admittance import Refused
from gateway.rates import RETRY, Rates
from tests.gateway.test_rates import ANN, BOB, ECHO, Clock, counting, passed
from tests.support.processes import PATIENCE
from tests.support.redis import redis

pytestmark = pytest.mark.slow

THREE = {"per": "user", "limit": "3/year"}


def counted(rule: dict[str, Any], url: str, clock: Clock | None = None) -> AbstractAsyncContextManager[Rates]:
    """Rates by this rule, which wait for Redis for as long as a machine takes that does other things as well."""
    return counting(rule, clock=clock, wait=PATIENCE, rate_limit_storage=url)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message).strip()), format="{level} {message}")
    yield said
    logger.remove(sink)


async def test_two_gateways_count_together_and_a_third_that_comes_later_goes_on(tmp_path: Path) -> None:
    async with redis(tmp_path) as url:
        async with counted(THREE, url) as one, counted(THREE, url) as other:
            assert await passed(one, *[(ANN, ECHO)] * 2) == [True, True]
            assert await passed(other, *[(ANN, ECHO)] * 2) == [True, False]
            assert one.report() == {"storage": "redis", "answers": True, "faults": 0}
        async with counted(THREE, url) as later:
            assert await passed(later, (ANN, ECHO), (BOB, ECHO)) == [False, True]


async def test_it_is_told_how_near_the_limit_is_and_when_there_is_more(tmp_path: Path) -> None:
    async with redis(tmp_path) as url, counted(THREE, url) as rates:
        standings = [await rates(ANN, ECHO) for _ in range(3)]
        assert [(each.limit, each.remaining) for each in standings if each] == [(3, 2), (3, 1), (3, 0)]
        with pytest.raises(Refused) as refused:
            await rates(ANN, ECHO)
        assert 0 < refused.value.standing.reset <= 366 * 86_400


async def test_of_a_flood_at_two_gateways_no_more_pass_than_may(tmp_path: Path) -> None:
    rule, through = {"per": "user", "limit": "50/year"}, list[bool]()

    async def ask(rates: Rates) -> None:
        through.extend(await passed(rates, (ANN, ECHO)))

    async with redis(tmp_path) as url, counted(rule, url) as one, counted(rule, url) as other:
        async with anyio.create_task_group() as tasks:
            for rates in (one, other) * 100:
                tasks.start_soon(ask, rates)
        assert one.report()["faults"] == other.report()["faults"] == 0
    assert (len(through), sum(through)) == (200, 50)


async def test_while_redis_is_gone_requests_pass_and_when_it_is_back_they_are_counted(
    tmp_path: Path, lines: list[str]
) -> None:
    clock, url = Clock(), f"redis+unix://{tmp_path / 'redis'}"
    async with counted(THREE, url, clock) as rates:
        async with redis(tmp_path):
            assert await passed(rates, *[(ANN, ECHO)] * 4) == [True, True, True, False]
        for _ in range(3):
            assert await passed(rates, *[(ANN, ECHO)] * 4) == [True] * 4
            clock.now += RETRY
        async with redis(tmp_path):
            assert await passed(rates, *[(ANN, ECHO)] * 4) == [True, True, True, False]
            assert rates.report() == {"storage": "redis", "answers": True, "faults": 3}
    assert lines == [
        "WARNING rate_limit_storage does not answer (ConnectionError); requests are let through uncounted",
        "INFO rate_limit_storage answers again; requests are counted",
    ]


async def test_a_redis_that_refuses_to_count_is_as_good_as_none(tmp_path: Path, lines: list[str]) -> None:
    async with redis(tmp_path) as url, counted(THREE, url) as rates:
        await _tell(url, "CONFIG", "SET", "maxmemory", "1")
        assert await passed(rates, *[(ANN, ECHO)] * 5) == [True] * 5
    assert [line.partition(" (")[0] for line in lines] == ["WARNING rate_limit_storage does not answer"]


async def test_what_is_stored_has_no_names_and_an_end(tmp_path: Path) -> None:
    async with redis(tmp_path) as url:
        async with counted({"per": ["user", "tool"], "limit": "3/minute"}, url) as rates:
            await rates(ANN, ECHO)
        client = Redis.from_url(url.removeprefix("redis+"))
        async with client:
            [key] = await client.keys()
            assert not [name for name in ("ann", "librechat", "light", "echo") if name in str(key)]
            assert 0 < await client.ttl(key) <= 120


async def test_a_client_that_hangs_up_while_its_request_is_counted_spoils_no_connection(tmp_path: Path) -> None:
    async with redis(tmp_path) as url, counted({"per": "user", "limit": "1000/year"}, url) as rates:
        for _ in range(40):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(rates, ANN, ECHO)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        standing = await rates(BOB, ECHO)
        assert standing is not None
        assert (standing.limit, standing.remaining) == (1000, 999)


async def _tell(url: str, *command: str) -> None:
    async with Redis.from_url(url.removeprefix("redis+")) as client:
        await client.execute_command(*command)  # type: ignore[no-untyped-call]
