"""Kills at random moments under load: spares, blanks, zygotes, children, and at last the programs themselves.

Clients of every door open sessions, of a server with spares, of one with a zygote and of one with neither, write a
note, read their notes, and leave. Meanwhile processes below the supervisor are killed, at moments that a seed gives.
Each session must be answered with its own notes and no others, for as long as its own child lives: who was killed is
known by the directory of each, for every child has one that is its own. At last programs are killed, too, and whatever
lives in a directory of this gateway's is left over.
"""

import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import psutil

from supervisor.linux import descendants, take_census
from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE, watching
from tests.support.rawmcp import Streamable, call, said, sse

DOORS: Final = ("streamable", "sse", "rest")
ENDS: Final[tuple[tuple[str, ...], ...]] = (
    (),
    ("gateway",),
    ("supervisor",),
    ("launcher",),
    ("launcher", "supervisor", "gateway"),
)
"""The programs that are killed at last."""
_GRACES: Final = {"stop_grace": "100ms", "terminate_grace": "200ms"}
_NOTES: Final = 3
"""Calls that a session makes of each of its two kinds."""

_PAUSES: Final = (0.05, 0.25)
"""Seconds between two kills: from, to."""

_YOUNGEST: Final = 0.6
"""How often whoever came last is killed: that is who is being forked, spawned or adopted."""

_ZYGOTE: Final = 0.03
"""How often a zygote is. It comes back after a rest."""

Ask = Callable[..., Awaitable[Any]]


def servers(mode: str) -> dict[str, dict[str, Any]]:
    """One server of each way of starting that there is in the mode `mode`."""
    found = {"cold": light(**_GRACES), "warm": light(warm=2, **_GRACES)}
    if mode != "namespace":
        found["forked"] = light(zygote=True, **_GRACES)
    return found


class Lost(Exception):
    """A session was not answered; the text says how."""


@dataclass
class Tally:
    """What came of a storm."""

    seed: int
    opened: Counter[str] = field(default_factory=Counter)
    """Sessions, by server and door."""
    killed: Counter[str] = field(default_factory=Counter)
    """Processes, by what they were."""
    excused: int = 0
    """Sessions whose own child was killed."""
    not_opened: list[str] = field(default_factory=list)
    """Who could not open a session, and why."""
    wrong: list[str] = field(default_factory=list)
    """Whatever must not be: a wrong answer, or a session lost whose child was left alone."""
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        opened = ", ".join(f"{name} {number}" for name, number in sorted(self.opened.items()))
        killed = ", ".join(f"{name} {number}" for name, number in sorted(self.killed.items()))
        text = f"seed {self.seed}: opened {opened}; killed {killed}; {self.excused} sessions lost with their children"
        return f"{text}; {len(self.not_opened)} not opened; {len(self.wrong)} wrong; {len(self.left)} left"


class Storm:
    """Load, and kills, at one gateway that keeps its sessions' directories below `directory`."""

    def __init__(self, gateway: Gateway, directory: Path, names: Sequence[str], tally: Tally) -> None:
        self.gateway = gateway
        self.tally = tally
        self._directory = directory
        self._names = names
        self._random = random.Random(tally.seed)
        self._dead: set[str] = set()
        """The directories of whoever was killed."""
        self._is_over = False

    # Load.

    async def rage(self, seconds: float) -> None:
        """Have load and kills for so long, and then no more kills: all that is opened then must go well."""
        async with anyio.create_task_group() as tasks:
            for name in self._names:
                for door in DOORS:
                    tasks.start_soon(self._client, name, door, name=f"{door} of {name}")
            with anyio.move_on_after(seconds):
                await self._kill_at_random()
            self._is_over = True

    async def _client(self, server: str, door: str) -> None:
        number = 0
        while not self._is_over:
            number += 1
            await self._session(server, door, f"{server} {door} {number}")

    async def _session(self, server: str, door: str, name: str) -> None:
        where = ""
        try:
            async with session_of(door, self.gateway.http, server) as ask:
                where = (await ask("whoami"))["cwd"]
                self.tally.opened[f"{server} {door}"] += 1
                for number in range(1, _NOTES + 1):
                    if await ask("add", text=f"{name} note {number}") != number:
                        raise AssertionError("somebody else's notes are here")
                    notes = await ask("notes")
                    if notes != [f"{name} note {each}" for each in range(1, number + 1)]:
                        raise AssertionError(f"the notes are {notes}")
        except AssertionError as error:
            self.tally.wrong.append(f"{name} in {where}: {error}")
        except (Lost, httpx2.HTTPError, StopAsyncIteration) as error:
            if not where:
                self.tally.not_opened.append(f"{name}: {error!r}")
                await anyio.sleep(0.2)  # the server may be given a rest, which the answer tells
            elif where in self._dead:
                self.tally.excused += 1
            else:
                self.tally.wrong.append(f"{name} in {where}: lost, and nobody has killed it: {error!r}")

    # Kills.

    async def _kill_at_random(self) -> None:
        supervisor = self.gateway.program("supervisor")
        while True:
            await anyio.sleep(self._random.uniform(*_PAUSES))
            census = take_census()
            below = sorted(descendants(census, supervisor), key=lambda pid: (census[pid].start, pid))
            zygotes = {int(pid) for line in self.gateway.lines for pid in _zygote_in(line)}
            others = [pid for pid in below if pid not in zygotes]
            if self._random.random() < _ZYGOTE:
                others = [pid for pid in below if pid in zygotes]
            if others:
                self._kill(others[-1] if self._random.random() < _YOUNGEST else self._random.choice(others), zygotes)

    def _kill(self, pid: int, zygotes: set[int]) -> None:
        """Stop it, see where it is, and kill it: what stands still moves nowhere meanwhile."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(pid, signal.SIGSTOP)
            where = str(Path(f"/proc/{pid}/cwd").readlink())
            os.kill(pid, signal.SIGKILL)
            self._dead.add(where)
            self.tally.killed["zygotes" if pid in zygotes else "others"] += 1

    # What is left.

    async def calm(self) -> None:
        """Every server can be used again, and all else is gone."""
        for server in self._names:
            with anyio.fail_after(PATIENCE):
                while True:
                    before = len(self.tally.not_opened)
                    await self._session(server, "streamable", f"{server} afterwards")
                    if len(self.tally.not_opened) == before:
                        break

    def living(self, but: Collection[int] = ()) -> list[str]:
        """The processes that have a home below the directory, without the pids `but`."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                home = process.environ().get("HOME", "")
                is_dead = process.pid in but or process.status() == psutil.STATUS_ZOMBIE
                if home.startswith(str(self._directory)) and not is_dead:
                    found.append(f"{process.pid} {process.cmdline()[:4]} in {home}")
        return found


def _zygote_in(line: str) -> list[str]:
    _, told, rest = line.partition("its zygote pid ")
    return [rest.partition(" ")[0]] if told else []


# Sessions of each door: a way to call a tool.


@asynccontextmanager
async def _streamable(http: httpx2.AsyncClient, server: str) -> AsyncIterator[Ask]:
    session = Streamable(http, f"/{server}/mcp")
    try:
        await session.open()
    except (AssertionError, KeyError) as error:  # an answer that came late is 200, with an error and no id
        raise Lost(str(error)[:300]) from None

    async def ask(tool: str, **arguments: Any) -> Any:
        answer = await session.post(call(1, tool, **arguments))
        return _text(answer.status_code, answer.json())

    yield ask
    await session.delete()


@asynccontextmanager
async def _sse(http: httpx2.AsyncClient, server: str) -> AsyncIterator[Ask]:
    async with _lost_where_not_opened(sse(http, f"/{server}/sse")) as session:

        async def ask(tool: str, **arguments: Any) -> Any:
            answer = await session.post(call(1, tool, **arguments))
            if answer.status_code != 202:
                raise Lost(f"{answer.status_code} {answer.text[:300]}")
            return _text(200, await session.events.message())

        yield ask


@asynccontextmanager
async def _lost_where_not_opened(opening: Any) -> AsyncIterator[Any]:
    try:
        session = await opening.__aenter__()
    except (AssertionError, KeyError) as error:
        raise Lost(str(error)[:300]) from None
    try:
        yield session
    finally:
        await opening.__aexit__(None, None, None)


@asynccontextmanager
async def _rest(http: httpx2.AsyncClient, server: str) -> AsyncIterator[Ask]:
    answer = await http.get("/api/sessionid")
    if answer.status_code != 200:
        raise Lost(f"{answer.status_code} {answer.text[:300]}")
    id_ = answer.json()["sessionId"]

    async def ask(tool: str, **arguments: Any) -> Any:
        answer = await http.post(f"/api/{server}/{tool}", params={"sessionId": id_}, json=arguments)
        if answer.status_code != 200:
            raise Lost(f"{answer.status_code} {answer.text[:300]}")
        return said({"result": answer.json()})

    yield ask
    await http.delete("/api/sessionid", params={"sessionId": id_})


def session_of(door: str, http: httpx2.AsyncClient, server: str) -> AbstractAsyncContextManager[Ask]:
    """A session through `door`, and a way to call its tools, which raises Lost where it is not answered."""
    return _DOORS[door](http, server)


_DOORS: Final = {"streamable": _streamable, "sse": _sse, "rest": _rest}


def _text(status: int, message: Any) -> Any:
    if status != 200 or "error" in message:
        raise Lost(f"{status} {message}"[:300])
    return said(message)


async def rage(mode: str, directory: Path, seed: int, seconds: float, *programs: str) -> Tally:
    """A storm of so many seconds in the mode `mode`, and at its end `programs` are killed, under load.

    Without `programs` the gateway must go on, and be stopped in order. `directory` is for files of the gateway's.
    """
    tally = Tally(seed)
    names = servers(mode)
    start = partial(
        running,
        names,
        tmp_path=directory,
        reaping=mode,
        debug={"level": "info"},
        drain_timeout="500ms",
        queue_timeout="10s",
        runtime_dir=str(directory / "run"),
    )
    async with start() as gateway:
        if "forked" in names:
            await gateway.said("its zygote pid .* is ready")
        storm = Storm(gateway, directory, tuple(names), tally)
        await storm.rage(seconds)
        await storm.calm()
        if programs:
            await _killed_under_load(storm, programs)
    if set(programs) >= {"launcher", "supervisor", "gateway"}:
        async with start() as another:
            tally.left = storm.living(but=another.children())
    else:
        tally.left = storm.living()
    return tally


async def _killed_under_load(storm: Storm, programs: tuple[str, ...]) -> None:
    gateway, names = storm.gateway, storm._names
    pids = {name: gateway.program(name) for name in ("supervisor", "gateway")} | {"launcher": gateway.launcher}
    last = Storm(gateway, storm._directory, names, Tally(storm.tally.seed))  # of which anything may be lost
    async with anyio.create_task_group() as tasks:
        for name in names:
            for door in DOORS:
                tasks.start_soon(last._client, name, door)
        await anyio.sleep(last._random.uniform(0.05, 0.5))
        with watching(*pids.values()) as processes:
            for name in programs:
                os.kill(pids[name], signal.SIGKILL)
            for process in processes:
                await process.ended()
        last._is_over = True
    await gateway.process.wait()
    storm.tally.wrong += [line for line in last.tally.wrong if "lost, and nobody" not in line]
