"""What this process logs, for a test that waits for a line of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from loguru import logger

from tests.support.processes import PATIENCE


class Log:
    """The lines so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = anyio.Event()

    def add(self, line: str) -> None:
        """One more."""
        self.lines.append(line.strip())
        self._news.set()
        self._news = anyio.Event()

    def count(self, pattern: str) -> int:
        """How many match the expression `pattern`."""
        return sum(re.search(pattern, line) is not None for line in self.lines)

    async def said(self, pattern: str, times: int = 1) -> None:
        """Wait until `times` lines match."""
        with anyio.move_on_after(PATIENCE):
            while self.count(pattern) < times:
                await self._news.wait()
            return
        raise AssertionError(f"{pattern!r} was not said {times} times: {self.lines}")


@contextmanager
def telling(level: str = "DEBUG") -> Iterator[Log]:
    """What is logged meanwhile."""
    log = Log()
    sink = logger.add(lambda message: log.add(str(message)), level=level, format="{level} {message}")
    try:
        yield log
    finally:
        logger.remove(sink)
