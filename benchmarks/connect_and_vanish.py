"""Clients that connect and vanish: what is left of them? `python -m benchmarks.connect_and_vanish [--cycles 3000]`.

A cycle is one client that opens a session and is never heard of again. There are five manners of vanishing, in turn:
hang up an HTTP+SSE stream; hang up in the middle of `initialize`; hang up as soon as the request is written; fall silent
after `initialize` on Streamable HTTP; fall silent after a REST call. The last two are ended by a short idle timeout.

After each 250 cycles everything is given time to end, and then counted: processes below the supervisor, open
descriptors of all three programs, memory of the gateway and the supervisor (resident, proportional, and private: RSS,
PSS, USS). The verdict is on processes and descriptors, which must be what they were at first, and on private memory,
whose growth from the middle to the end must be below FLAT for each cycle: the first half fills pools and caches. What is
kept within bounds, the last thousand ended ids and death certificates, and REST ids for five minutes, is a kilobyte a
cycle of live objects, and three more of the pages among which it lies: so with less than 2,000 cycles it grows.
"""

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import psutil

from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE, open_files
from tests.support.rawmcp import HELLO, Streamable, request, sse

FLAT: Final = 3072
"""Bytes of private memory for each cycle that the second half may add.

Not 0, because some facts are kept, within bounds, of the last thousand ended ids, and of a REST id for five minutes. A
session's bridge that is kept by mistake weighs about 10 KiB.
"""

PROGRAMS: Final = ("launcher", "supervisor", "gateway")
_SERVERS: Final[dict[str, Any]] = {
    "light": light(idle_timeout="3s"),
    "mute": light("--mute"),
}


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    rss: int
    pss: int
    uss: int


@dataclass(frozen=True)
class Sample:
    """How it stands after so many cycles."""

    cycles: int
    processes: int
    descriptors: tuple[int, ...]
    """Of PROGRAMS."""
    supervisor: Memory
    gateway: Memory


def verdict(samples: Sequence[Sample], flat: int = FLAT) -> list[str]:
    """What is wrong, in sentences; nothing if all is well. `flat` is in bytes a cycle. Pure."""
    first, last = samples[0], samples[-1]
    middle = samples[len(samples) // 2]
    wrong = []
    if last.processes != 0:
        wrong.append(f"{last.processes} processes are left")
    if last.descriptors != first.descriptors:
        wrong.append(f"descriptors went from {first.descriptors} to {last.descriptors}")
    for name in ("supervisor", "gateway"):
        growth = getattr(last, name).uss - getattr(middle, name).uss
        each = growth / max(1, last.cycles - middle.cycles)
        if each > flat:
            wrong.append(f"the {name}'s memory grows by {each:.0f} bytes a cycle")
    return wrong


# Manners of vanishing; `times` is how often this one was played since all was quiet.


async def hang_up_the_stream(gateway: Gateway, _: int) -> None:
    async with sse(gateway.http):
        pass


async def hang_up_while_initializing(gateway: Gateway, times: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Streamable(gateway.http, "/mute/mcp").post, request(0, "initialize", HELLO))
        await gateway.said("spawned mute ", times)
        tasks.cancel_scope.cancel()


async def hang_up_at_once(gateway: Gateway, _: int) -> None:
    url = httpx2.URL(gateway.url)
    assert url.port is not None
    async with await anyio.connect_tcp(url.host, url.port) as connection:
        await connection.send(b"GET /light/sse HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")


async def fall_silent(gateway: Gateway, _: int) -> None:
    await Streamable(gateway.http).open()


async def fall_silent_over_rest(gateway: Gateway, _: int) -> None:
    assert await gateway.text(await gateway.session_id(), "echo", text="here") == "here"


MANNERS: Final[tuple[Callable[[Gateway, int], Awaitable[None]], ...]] = (
    hang_up_the_stream,
    hang_up_while_initializing,
    hang_up_at_once,
    fall_silent,
    fall_silent_over_rest,
)


async def vanish(
    directory: Path, cycles: int, step: int, report: Callable[[Sample], None] = lambda _: None
) -> list[Sample]:
    """Samples of a gateway, at first and after each `step` of `cycles`; `report` is called with each as it comes.

    `directory` is for the gateway's files.
    """
    samples: list[Sample] = []
    async with running(_SERVERS, tmp_path=directory, debug={"level": "info"}, max_sessions=1000) as gateway:
        await gateway.health()
        before = _descriptors(gateway)
        for done in range(0, cycles + step, step):
            await _settle_descriptors(gateway, before)
            samples.append(_sample(gateway, done))
            report(samples[-1])
            if done < cycles:
                await _play_all(gateway, step)
    return samples


async def _play_all(gateway: Gateway, cycles: int) -> None:
    """All manners side by side, `cycles` in all, until nothing is left of them; on connections of their own."""
    async with gateway.connecting(), anyio.create_task_group() as tasks:
        for number, manner in enumerate(MANNERS):
            tasks.start_soon(_play, gateway, manner, len(range(number, cycles, len(MANNERS))))
    await _settle(gateway)


async def _play(gateway: Gateway, manner: Callable[[Gateway, int], Awaitable[None]], times: int) -> None:
    for time in range(times):
        await manner(gateway, time + 1)


async def _settle(gateway: Gateway) -> None:
    """Wait until no session is left, nor any tree. A request that nobody waits for may still open one: hence the look."""
    await gateway.quiet()
    with anyio.fail_after(PATIENCE):
        while (await gateway.health())["sessions"]:
            await gateway.quiet()


async def _settle_descriptors(gateway: Gateway, before: tuple[int, ...]) -> None:
    """Wait until the programs have closed what they are about to; the kernel tells nobody, so each look is a request."""
    with suppress(TimeoutError), anyio.fail_after(PATIENCE):
        while _descriptors(gateway) != before:
            await gateway.health()


def _descriptors(gateway: Gateway) -> tuple[int, ...]:
    return open_files(gateway.launcher), *(open_files(gateway.program(name)) for name in PROGRAMS[1:])


def _sample(gateway: Gateway, cycles: int) -> Sample:
    def memory(name: str) -> Memory:
        info = psutil.Process(gateway.program(name)).memory_full_info()
        return Memory(info.rss, info.pss, info.uss)

    return Sample(cycles, len(gateway.children()), _descriptors(gateway), memory("supervisor"), memory("gateway"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and print each sample as it comes; the exit status is 1 where something is left, or grows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.connect_and_vanish", description="What is left of clients that connect and vanish?"
    )
    parser.add_argument("--cycles", type=int, default=3000, metavar="N", help="how many clients (default: 3000)")
    parser.add_argument("--step", type=int, default=250, metavar="N", help="count after each N (default: 250)")
    arguments = parser.parse_args(argv)
    # Growth is measured from the middle to the end, so there must be one.
    if arguments.step < 1 or arguments.cycles < 2 * arguments.step:
        parser.error("--cycles must be twice --step, or more")
    return anyio.run(_run, arguments)


async def _run(arguments: argparse.Namespace) -> int:
    print("        processes  descriptors   supervisor, MiB      gateway, MiB")
    print("cycles       left  lau sup gat   RSS   PSS   USS    RSS   PSS   USS")
    with tempfile.TemporaryDirectory() as directory:
        samples = await vanish(Path(directory), arguments.cycles, arguments.step, lambda sample: print(_line(sample)))
    wrong = verdict(samples)
    print("\n".join(wrong) or "nothing is left, and memory is flat")
    return int(bool(wrong))


def _line(sample: Sample) -> str:
    descriptors = "".join(f"{each:4d}" for each in sample.descriptors)
    memory = "  ".join(
        "".join(f"{each / (1 << 20):6.1f}" for each in (memory.rss, memory.pss, memory.uss))
        for memory in (sample.supervisor, sample.gateway)
    )
    return f"{sample.cycles:6d}  {sample.processes:9d} {descriptors} {memory}"


if __name__ == "__main__":
    sys.exit(main())
