"""How often: each request that a rule of `rate_limits` is about is counted, in a window that slides along.

The counting is the library's (`limits`), in this process or in a Redis that several gateways may share. Where Redis does
not answer, in WAIT seconds at most, requests pass uncounted or are refused, as the operator likes; it is asked again
every RETRY seconds, so that an outage costs nobody more than that, and the log one line.

A request counts for those first whom it can harm least: its user, then its key, then all. Whoever is refused for their
own sake has taken nothing away from others.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import anyio
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from loguru import logger
from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from common.config.amounts import Amounts, RateLimit, redis_url
from common.reasons import Reason
from gateway.admittance import CALL, Refused, Standing, Use, nearer
from gateway.errors import refused
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.quotas import key_name, key_of

WAIT: Final = 0.25
"""Seconds that counting one request may take, with all its rules."""

RETRY: Final = 1.0
"""Seconds for which a Redis that did not answer is not asked again."""

CONNECTIONS: Final = 16
"""To Redis at once; requests that find none free wait for one, within WAIT."""

_FAULTS: Final = (StorageError, TimeoutError, OSError)
_PREFIX: Final = "mcp-gateway"
_MOST_SAID: Final = 90
"""Of a unit in a sentence, before the next one is used: LibreChat takes a 401 or a 429 in a text for a status."""


@dataclass(frozen=True)
class Rule:
    """One of `rate_limits`, ready for use."""

    settings: RateLimit
    item: RateLimitItem

    @property
    def rank(self) -> int:
        """Lower ones are asked first."""
        return 0 if "user" in self.settings.per else 1 if "key" in self.settings.per else 2

    def is_about(self, principal: Principal, use: Use) -> bool:
        """Whether such a request counts."""
        wanted = self.settings
        if wanted.key is not None and wanted.key != key_name(principal):
            return False
        if wanted.tool is not None or "tool" in wanted.per:
            return use.method == CALL and self._is_for(use.server) and self._names(use.tool)
        return self._is_for(use.server)

    def _names(self, tool: str) -> bool:
        """Whether a call of `tool` counts. One that may be of any does: nobody gets by with a name written twice."""
        return not tool or fnmatchcase(tool, self.settings.tool or "*")

    def _is_for(self, server: str) -> bool:
        if not server:  # an id for no server yet
            return self.settings.server == "*" and "server" not in self.settings.per
        return fnmatchcase(server, self.settings.server)

    def bucket(self, principal: Principal, use: Use) -> str:
        """What it is counted by: the same at every gateway that has this rule, and no name for whoever reads it."""
        key, settings = key_of(principal), self.settings
        values = {
            "user": (principal.issuer, principal.subject, principal.user),
            "key": (key.issuer, key.subject),
            "server": (use.server,),
            "tool": (use.server, use.tool),
        }
        about = (settings.server, settings.tool or "", settings.key or "")
        parts = (*about, *(part for each in settings.per for part in (each, *values[each])))
        return hashlib.sha256("\0".join(f"{len(part)} {part}" for part in parts).encode()).hexdigest()[:32]


class Rates:
    """The rule about all `rate_limits` (`gateway.admittance.Rule`).

    `now` is a clock that never goes back, in seconds; counting one request may take `wait` of them.
    """

    def __init__(self, settings: Amounts, now: Callable[[], float] = time.monotonic, *, wait: float = WAIT) -> None:
        self._now = now
        self._wait = wait
        self._faults = 0
        self._pools: list[BlockingConnectionPool] = []
        """Of every Redis that there was; the last one may be in use."""
        self._count_in(settings.rate_limit_storage)
        self._follow(settings)

    def __repr__(self) -> str:
        state = "does not answer" if self._faulty else "answers"
        return f"<Rates: {len(self._rules)} rules, {self._where} {state}>"

    @property
    def _where(self) -> str:
        return "memory" if self._url is None else "redis"

    @property
    def is_on(self) -> bool:
        """Whether there is any limit."""
        return bool(self._rules)

    def take_over(self, settings: Amounts) -> None:
        """These rules hold from now on. What was counted stays counted, unless it is to be counted elsewhere."""
        if settings.rate_limit_storage != self._url:
            self._count_in(settings.rate_limit_storage)
        self._follow(settings)

    def _follow(self, settings: Amounts) -> None:
        rules = (Rule(each, parse(each.limit)) for each in settings.rate_limits)
        self._rules = sorted(rules, key=lambda rule: rule.rank)
        self._denies = settings.rate_limit_on_error == "deny"

    def _count_in(self, url: SecretStr | None) -> None:
        self._url = url
        self._counter = SlidingWindowCounterRateLimiter(MemoryStorage() if url is None else self._redis(url))
        self._faulty = False
        self._rests_until = float("-inf")

    def report(self) -> dict[str, object]:
        """What `/health` says of it."""
        return {"storage": self._where, "answers": not self._faulty, "faults": self._faults}

    async def __call__(self, who: Who, use: Use) -> Standing | None:
        """Count a request. Raises GatewayError where there were enough of them."""
        rules = [rule for rule in self._rules if rule.is_about(who.principal, use)]
        if not rules:
            return None
        if self._faulty and self._now() < self._rests_until:
            self._check_uncounted()
            return None
        nearest: Standing | None = None
        try:
            with anyio.fail_after(self._wait):
                for rule in rules:
                    nearest = nearer(nearest, await self._count(rule, rule.bucket(who.principal, use)))
        except _FAULTS as error:
            self._fail(error)
            self._check_uncounted()
            return None
        self._recover()
        return nearest

    async def close(self) -> None:
        """Let go of Redis."""
        for pool in self._pools:
            await pool.disconnect()

    async def _count(self, rule: Rule, bucket: str) -> Standing:
        passes = await self._counter.hit(rule.item, bucket)
        window = await self._counter.get_window_stats(rule.item, bucket)
        reset = max(1, math.ceil(window.reset_time - time.time()))
        if passes:
            return Standing(rule.item.amount, window.remaining, reset)
        self._recover()
        raise _too_often(rule, reset)

    def _redis(self, url: SecretStr) -> RedisStorage:
        pool = BlockingConnectionPool.from_url(
            redis_url(url.get_secret_value()),
            max_connections=CONNECTIONS,
            timeout=self._wait,
            socket_timeout=self._wait,
            socket_connect_timeout=self._wait,
            # A connection that Redis has closed meanwhile is opened again, once and at once.
            retry=Retry(NoBackoff(), 1),
        )
        # The pool knows where; the library reads of the URL no more than what kind of server it is.
        options: dict[str, Any] = {"connection_pool": pool}
        self._pools.append(pool)
        return RedisStorage(
            "async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix=_PREFIX, **options
        )

    def _check_uncounted(self) -> None:
        """Raises GatewayError where a request that cannot be counted may not pass."""
        if self._denies:
            message = "the gateway cannot count requests now; try again in a moment"
            raise refused(Reason.RATE_LIMITS_UNKNOWN, message, RETRY)

    def _fail(self, error: Exception) -> None:
        self._faults += 1
        self._rests_until = self._now() + RETRY
        if not self._faulty:
            self._faulty = True
            what = "refused" if self._denies else "let through uncounted"
            logger.warning("rate_limit_storage does not answer ({}); requests are {}", _cause(error), what)

    def _recover(self) -> None:
        if self._faulty:
            self._faulty = False
            logger.info("rate_limit_storage answers again; requests are counted")


def _cause(error: Exception) -> str:
    """What went wrong, without a word of the address or its password."""
    cause = error.storage_error if isinstance(error, StorageError) else error
    return type(cause).__name__


def _too_often(rule: Rule, reset: int) -> Refused:
    whose = "you have" if "user" in rule.settings.per else "your key has" if "key" in rule.settings.per else "all have"
    message = f"{whose} made as many requests of this kind as there may be for now; try again in {in_words(reset)}"
    about: dict[str, object] = {"limit": str(rule.item), "per": list(rule.settings.per), "retryAfter": reset}
    standing = Standing(rule.item.amount, 0, reset)
    return Refused(Reason.RATE_LIMITED, message, standing=standing, **about)


def in_words(seconds: int) -> str:
    """How long that is, roughly, without a number of three digits."""
    for size, unit in ((1, "second"), (60, "minute"), (3600, "hour")):
        number = math.ceil(seconds / size)
        if number <= _MOST_SAID:
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "a few days"
