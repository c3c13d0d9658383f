"""The client, a process of its own: it does what the lines of its stdin say, and answers each with a line on stdout.

`python -m benchmarks.load`. A line is a JSON object with `do`:

- `target`: the door, the port, the paths, the child and the tool from now on.
- `open`: so many (`count`) more sessions, `at_once` at a time, with a `pause` before each, and for `patience` seconds
  at most.
- `call`: so many (`count`) calls, over all open sessions in turn, `at_once` at a time.
- `close`: end every session, as a client should. `vanish`: hang up without a word.

Answers give times in seconds. What fails is counted, with the first reason, and no time is given for it.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.children import CHILDREN
from benchmarks.door import Door, Target, Wrong
from benchmarks.doors import DOORS
from benchmarks.http1 import Closed, Malformed

PATIENCE = 60.0
"""Seconds for the answer to one request, or for one opening."""

_FAULTS = (Wrong, Closed, Malformed, OSError, ValueError, KeyError, TimeoutError)


class Load:
    """The sessions that are open, and what is done with them."""

    def __init__(self) -> None:
        self._door: Callable[[], Door] = lambda: DOORS["pipe"](self._target)
        self._target: Target
        self._sessions: list[Door] = []

    async def perform(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what `order` says, and what came of it."""
        match order["do"]:
            case "target":
                return self._aim(order)
            case "open":
                return await self._open(
                    order["count"], order["at_once"], order.get("pause", 0.0), order.get("patience", PATIENCE)
                )
            case "call":
                return await self._call(order["count"], order["at_once"])
            case "close":
                return await self._end(lambda door: door.close())
            case _:
                return await self._end(_vanish)

    def _aim(self, order: dict[str, Any]) -> dict[str, Any]:
        self._target = Target(order["port"], tuple(order["paths"]), CHILDREN[order["child"]], order["tool"])
        make = DOORS[order["door"]]
        self._door = lambda: make(self._target)
        return {}

    async def _open(self, count: int, at_once: int, pause: float, patience: float) -> dict[str, Any]:
        times: list[float] = []
        faults: Counter[str] = Counter()
        until = time.perf_counter() + patience
        waiting = iter(range(count))

        async def some() -> None:
            for _ in waiting:
                # Whoever has failed once will fail again, and 1,000 times a minute are a day.
                if faults or time.perf_counter() > until:
                    return
                await asyncio.sleep(pause)
                door = self._door()
                begun = time.perf_counter()
                if await _tried(door.open(), faults):
                    times.append(time.perf_counter() - begun)
                    self._sessions.append(door)
                else:
                    door.vanish()

        await asyncio.gather(*(some() for _ in range(at_once)))
        return {"times": times, "faults": dict(faults), "open": len(self._sessions)}

    async def _call(self, count: int, at_once: int) -> dict[str, Any]:
        workers = min(at_once, len(self._sessions))
        times: list[float] = []
        faults: Counter[str] = Counter()
        share = max(1, count // max(1, workers))
        until = time.perf_counter() + PATIENCE

        async def work(which: int) -> None:
            mine = self._sessions[which::workers]
            for n in range(share):
                begun = time.perf_counter()
                if await _tried(mine[n % len(mine)].call(), faults):
                    times.append(time.perf_counter() - begun)
                elif sum(faults.values()) > share // 10:
                    return
                if time.perf_counter() > until:
                    faults["took more than 60 s"] += 1
                    return

        begun = time.perf_counter()
        await asyncio.gather(*map(work, range(workers)))
        took = time.perf_counter() - begun
        times.sort()
        return {
            "calls": len(times),
            "seconds": took,
            "p50": times[len(times) // 2] if times else None,
            "p99": times[len(times) * 99 // 100] if times else None,
            "faults": dict(faults),
            "foreign": sum(door.foreign for door in self._sessions),
            "reconnects": sum(door.reconnects for door in self._sessions),
        }

    async def _end(self, how: Callable[[Door], Awaitable[None]]) -> dict[str, Any]:
        faults: Counter[str] = Counter()
        sessions, self._sessions = self._sessions, []
        for some in range(0, len(sessions), 20):
            await asyncio.gather(*(_tried(how(door), faults) for door in sessions[some : some + 20]))
        return {"faults": dict(faults)}


async def _vanish(door: Door) -> None:
    door.vanish()


async def _tried(what: Awaitable[None], faults: Counter[str]) -> bool:
    """Whether it went well; if not, `faults` counts why."""
    try:
        async with asyncio.timeout(PATIENCE):
            await what
    except _FAULTS as error:
        faults[str(error) or type(error).__name__] += 1
        return False
    return True


async def _main() -> None:
    loop = asyncio.get_running_loop()
    load = Load()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await load.perform(json.loads(line))), flush=True)
    await load.perform({"do": "vanish"})


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main())
