"""Rogue servers, all kinds of them at once, and the ways in which their sessions can end.

`play` opens one session of every kind at one gateway, waits until each misbehaviour is in effect, ends the sessions in
one of the ways that `SCENARIOS` lists, and counts what was started and what is left. A well-behaved session beside them
must be answered all the while. What is counted at the moment at which the programs *say* that all is over has not been
waited for.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
import httpx2

from tests.support.gateway import LIGHT, SERVERS, Gateway, running
from tests.support.ledgers import Ledgers, ledgers
from tests.support.processes import watching
from tests.support.rawmcp import HELLO, Sse, Streamable, notification, request, sse

MODES: Final = ("cgroup", "namespace", "tagged")
"""How trees are kept whole: the values of `reaping` that are tried."""

ROGUE: Final = SERVERS / "rogue.py"

READY: Final = (
    "deaf", "forker", "daemon", "escapee", "flood-stdout", "flood-stderr", "hog", "closes-stdout", "wrapper",
)  # fmt: skip
UNREADY: Final = ("mute", "never-ready", "exits-at-once")
"""Kinds that never answer `initialize`."""
KINDS: Final = READY + UNREADY

_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "forker": ("--slots", "150"),
    "hog": ("--bytes", str(64 << 20)),
}


def rogue(kind: str, ledger: Path, *options: str) -> dict[str, Any]:
    """The spec of a rogue server."""
    arguments = ["-I", "-S", str(ROGUE), kind, str(ledger), *_OPTIONS.get(kind, ()), *options]
    if kind != "wrapper":
        return {"command": sys.executable, "args": arguments}
    line = " ".join(f'"{each}"' for each in [sys.executable, *arguments])
    return {"command": "/bin/sh", "args": ["-c", f'echo "{kind} wrapper" >> "{ledger}"; {line}; exit $?']}


class Stage:
    """A gateway with rogue servers, and a session of each."""

    def __init__(self, gateway: Gateway, made: Ledgers, stack: AsyncExitStack, tasks: anyio.abc.TaskGroup) -> None:
        self.gateway = gateway
        self.ledgers = made
        self.kinds = tuple(made.by_name)
        self.streamable: list[Streamable] = []
        self.streams: list[Sse] = []
        self.rest: list[str] = []
        self.tasks = tasks
        self._stack = stack
        self._bystander = Streamable(gateway.http)

    # How sessions are opened.

    async def over_streamable_http(self) -> None:
        """Sessions of Streamable HTTP; a server that will not answer is called over REST, where its id is known."""
        for kind in self.kinds:
            if kind in UNREADY:
                id_ = await self.gateway.session_id()
                self.rest.append(id_)
                self._ask(partial(self.gateway.call, id_, "rogue", kind))
            else:
                self.streamable.append(await Streamable(self.gateway.http, f"/{kind}/mcp").open())

    async def over_sse(self) -> None:
        """Sessions of HTTP+SSE."""
        for kind in self.kinds:
            session = await self._stack.enter_async_context(sse(self.gateway.http, f"/{kind}/sse", hello=False))
            self.streams.append(session)
            if kind in UNREADY:
                self._ask(partial(session.post, request(0, "initialize", HELLO)))
            else:
                await session.ask(request(0, "initialize", HELLO))
                await session.post(notification("notifications/initialized"))

    async def half_open(self) -> None:
        """Requests to initialize, which no server here answers."""
        for kind in self.kinds:
            session = Streamable(self.gateway.http, f"/{kind}/mcp")
            self._ask(partial(session.post, request(0, "initialize", HELLO)))

    def _ask(self, ask: Callable[[], Awaitable[object]]) -> None:
        async def asking() -> None:
            with suppress(httpx2.TransportError):
                await ask()

        self.tasks.start_soon(asking)

    async def bystander_is_answered(self) -> None:
        """The session beside them goes on."""
        if "Mcp-Session-Id" not in self._bystander.headers:
            await self._bystander.open()
        assert await self._bystander.call(1, "echo", text="well") == "well"

    # How they end.

    async def delete(self) -> None:
        """The client says that it is done."""
        for session in self.streamable:
            await session.delete()
        for id_ in self.rest:
            await self.gateway.http.delete("/api/sessionid", params={"sessionId": id_})
        await self.all_gone()

    async def hang_up(self) -> None:
        """The client closes its streams, and gives up its requests."""
        for session in self.streams:
            await session.events.response.aclose()
        self.tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self.all_gone()

    async def wait(self) -> None:
        """The client does nothing any more."""
        await self.all_gone()

    async def kill_leaders(self) -> None:
        """The process that the supervisor started is killed, of each tree."""
        for kind in self.kinds:
            pid = int((await self.gateway.said(rf"spawned {kind} pid (\d+) "))[1])
            for process in self.ledgers.bearers()[kind]:
                if process.pid == pid:
                    process.kill()
        await self.all_gone()

    async def kill_wrappers(self) -> None:
        """The shells are killed, wherever they live."""
        self.ledgers.kill(only="sh")
        await self.all_gone()

    async def all_gone(self) -> None:
        """Wait until the supervisor says that every tree is gone."""
        await self.gateway.gone(len(self.kinds))
        await self.bystander_is_answered()

    async def terminate(self) -> None:
        """The launcher is told to end."""
        self.gateway.process.terminate()
        await self.gateway.process.wait()

    async def kill(self, *programs: str) -> None:
        """Programs are killed, and the others end."""
        pids = {name: self.gateway.program(name) for name in ("supervisor", "gateway")}
        pids["launcher"] = self.gateway.launcher
        with watching(*pids.values()) as processes:
            for name in programs:
                os.kill(pids[name], signal.SIGKILL)
            for process in processes:
                await process.ended()
        await self.gateway.process.wait()


@dataclass(frozen=True)
class Scenario:
    """A way in which sessions end."""

    name: str
    open: Callable[[Stage], Awaitable[None]]
    end: Callable[[Stage], Awaitable[None]]
    kinds: tuple[str, ...] = KINDS
    options: tuple[str, ...] = ()
    """Of the rogue servers."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Of the rogue servers' entries in the configuration."""
    starts_again: bool = False
    """Whether it is over only when the gateway was started once more."""

    def __str__(self) -> str:
        return self.name


def _kill(*programs: str) -> Callable[[Stage], Awaitable[None]]:
    async def end(stage: Stage) -> None:
        await stage.kill(*programs)

    return end


_POST, _STREAM = Stage.over_streamable_http, Stage.over_sse

SCENARIOS: Final = (
    Scenario("DELETE", _POST, Stage.delete),
    Scenario("client hangs up its stream", _STREAM, Stage.hang_up),
    Scenario(
        "client hangs up while initializing",
        Stage.half_open,
        Stage.hang_up,
        options=("--silent",),
    ),
    Scenario(
        "idle, or never ready",
        _POST,
        Stage.wait,
        keys={"idle_timeout": "1500ms", "start_timeout": "2s"},
    ),
    Scenario("leaders killed", _POST, Stage.kill_leaders),
    Scenario("wrapper killed", _POST, Stage.kill_wrappers, kinds=("wrapper",)),
    Scenario("launcher gets SIGTERM", _POST, Stage.terminate),
    Scenario("launcher killed", _POST, _kill("launcher")),
    Scenario("gateway killed", _STREAM, _kill("gateway")),
    Scenario("supervisor killed", _STREAM, _kill("supervisor")),
    Scenario("all three killed, and a new start", _POST, _kill("launcher", "supervisor", "gateway"), starts_again=True),
)

_GRACES: Final = {"stop_grace": "100ms", "terminate_grace": "200ms"}


@dataclass(frozen=True)
class Row:
    """What came of one kind in one scenario."""

    scenario: str
    mode: str
    kind: str
    started: int
    left: int


async def play(scenario: Scenario, mode: str, directory: Path) -> list[Row]:
    """Play `scenario` in the mode `mode`; a row for each kind. `directory` is for files of the gateway's."""
    with ledgers(scenario.kinds) as made:
        servers: dict[str, Any] = {
            name: {**rogue(name, ledger.path, *scenario.options), **_GRACES, **scenario.keys}
            for name, ledger in made.by_name.items()
        }
        start = partial(
            running,
            {**servers, "light": LIGHT},
            tmp_path=directory,
            reaping=mode,
            debug={"level": "info"},
            drain_timeout="500ms",  # nobody answers, and those that flood cost a processor until they are ended
            runtime_dir=str(directory / "run"),
        )
        async with AsyncExitStack() as gateways:
            gateway = await gateways.enter_async_context(start())
            async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
                stage = Stage(gateway, made, stack, tasks)
                await stage.bystander_is_answered()
                await scenario.open(stage)
                await made.in_effect(scenario.kinds)
                await stage.bystander_is_answered()
                await scenario.end(stage)
            if scenario.starts_again:
                await gateways.enter_async_context(start())
            left = await made.left()
        return [Row(scenario.name, mode, name, ledger.started(), left[name]) for name, ledger in made.by_name.items()]


def table(rows: Iterable[Row], *, each_kind: bool = False) -> list[str]:
    """Rows as lines in aligned columns; those of one scenario and mode are added up unless `each_kind`."""
    totals: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        key = (row.scenario, row.mode, row.kind) if each_kind else (row.scenario, row.mode)
        total = totals.setdefault(key, [0, 0])
        total[0] += row.started
        total[1] += row.left
    heading = ("scenario", "mode", "kind")[: 3 if each_kind else 2]
    lines = [(*heading, "started", "left"), *((*key, *map(str, total)) for key, total in totals.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(_aligned(line, widths)) for line in lines]


def _aligned(cells: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """Numbers, the last two, to the right."""
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if place >= len(cells) - 2 else cell.ljust(width)
