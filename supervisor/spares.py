"""How many spares a server is to have, and which is started next. No I/O, no clock: the instants are the caller's.

A **spare** is a child that was started before anybody asked for it. With a number, a server has that many. With `auto`
it has as many as sessions are expected in the time in which a spare is replaced, and some more, for they do not come
at even intervals; one, as long as somebody came within RECENTLY; else none.

The rate of arrivals is the larger of two averages: that of the last seconds is quick to rise, and that of the last
minutes is slow to fall, so that a pause does not end what is wanted again in a moment.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from common.config.warm import Spares

RECENTLY: Final = 3600.0
"""Seconds for which one spare is worth its memory after the last session was opened."""

AVERAGES: Final = (10.0, 300.0)
"""Seconds over which arrivals are averaged."""

MOST: Final = 20
"""Spares that `auto` wants of one server at most."""

START_GUESS: Final = 1.0
MEMORY_GUESS: Final = 64 << 20
"""Seconds and bytes of a server's start, as long as none was seen."""

_NEW: Final = 0.3
"""The weight of the last start in what is known of a server's."""


@dataclass
class Demand:
    """What is known of one server: when sessions were opened, and what a spare costs."""

    last: float | None = None
    """When the last session was opened."""
    start: float = START_GUESS
    """Seconds from the spawn of a spare until it rests."""
    memory: int = MEMORY_GUESS
    """Bytes of one spare."""
    _seen: bool = False
    _averages: list[float] = field(default_factory=lambda: [0.0] * len(AVERAGES))
    """Arrivals a second, as they were at `last`."""

    def arrived(self, now: float) -> None:
        """A session is being opened."""
        self._averages = [each + 1 / over for each, over in zip(self._at(now), AVERAGES, strict=True)]
        self.last = now

    def started(self, took: float, memory: int) -> None:
        """A spare has settled, in `took` seconds, and uses `memory` bytes."""
        self.start = took if not self._seen else (1 - _NEW) * self.start + _NEW * took
        self.memory = max(1, memory) if not self._seen else max(round((1 - _NEW) * self.memory), memory, 1)
        self._seen = True

    def rate(self, now: float) -> float:
        """Arrivals a second."""
        return max(self._at(now))

    def wanted(self, now: float) -> int:
        """How many spares `auto` is."""
        if self.last is None or now - self.last >= RECENTLY:
            return 0
        meanwhile = self.rate(now) * self.start
        return min(MOST, 1 + math.floor(2 * meanwhile + 3 * math.sqrt(meanwhile)))

    def _at(self, now: float) -> list[float]:
        since = 0.0 if self.last is None else max(0.0, now - self.last)
        return [each * math.exp(-since / over) for each, over in zip(self._averages, AVERAGES, strict=True)]


def wanted(warm: Spares, demand: Demand, now: float) -> int:
    """How many spares a server with this `warm` is to have now."""
    return demand.wanted(now) if warm == "auto" else warm


@dataclass(frozen=True)
class Need:
    """One server: how many spares it wants, how many it has, and the bytes of another one."""

    server: str
    wanted: int
    have: int
    memory: int


def next_to_start(needs: Iterable[Need], used: int, budget: int) -> str | None:
    """The server that most lacks a spare for which there is room in the `budget`, of which `used` bytes are taken."""
    lacking = [each for each in needs if each.have < each.wanted and used + each.memory <= budget]
    return min(lacking, key=lambda each: (each.have / each.wanted, each.server)).server if lacking else None


def may_start(cores: int, cold: int, warming: int) -> bool:
    """Whether one more spare may be started beside `cold` sessions that wait for their own child, and `warming` spares.

    Who waits comes first: what waits and what is warmed take no more processors together than there are, and spares take
    half of them at most.
    """
    return warming < min(max(1, cores // 2), cores - cold)
