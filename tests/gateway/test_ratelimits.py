"""Rate limits that come and go with the configuration."""

from common.config.amounts import Amounts
from gateway.ratelimits import RateLimits
from tests.gateway.test_rates import ANN, ECHO, passes

NONE = Amounts()
ONE = Amounts.model_validate({"rate_limits": [{"per": "user", "limit": "1/year"}]})


async def test_without_limits_every_request_passes_and_health_has_nothing_to_say() -> None:
    limits = RateLimits(NONE)
    assert [await passes(limits, ANN, ECHO) for _ in range(3)] == [True, True, True]
    assert (limits.is_on, limits.report()) == (False, {})
    await limits.close()


async def test_limits_that_come_later_hold_from_then_on() -> None:
    limits = RateLimits(NONE)
    assert await passes(limits, ANN, ECHO)
    limits.take_over(ONE)
    assert [await passes(limits, ANN, ECHO) for _ in range(2)] == [True, False]
    assert (limits.is_on, limits.report()["storage"]) == (True, "memory")
    await limits.close()


async def test_limits_that_go_and_come_back_remember_what_was_counted() -> None:
    limits = RateLimits(ONE)
    assert await passes(limits, ANN, ECHO)
    limits.take_over(NONE)
    assert not limits.is_on
    assert await passes(limits, ANN, ECHO)
    limits.take_over(ONE)
    assert not await passes(limits, ANN, ECHO)
    await limits.close()
