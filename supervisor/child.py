"""One child: what is known of it, from its spawn until its tree is empty."""

import asyncio
import secrets
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio

from common.config.model import Graces, ServerSpec
from common.reasons import Reason
from supervisor.lifecycle import State
from supervisor.protocol import Exit
from supervisor.rooms import Room
from supervisor.stderr import StderrTail
from supervisor.tree import Tree


@dataclass(eq=False)
class Child:
    """A row of the table of children; `supervisor.children` is its only writer. Instants are of the monotonic clock."""

    lease: int
    label: str
    spec: ServerSpec
    room: Room
    process: "subprocess.Popen[bytes]"
    tree: Tree
    stderr: StderrTail
    graces: Graces
    started: float = field(default_factory=time.monotonic)
    last_used: float = field(default_factory=time.monotonic)
    user: str = ""
    """Whom it is counted for."""
    certificate: str = field(default_factory=lambda: secrets.token_hex(6))
    """The id of its death certificate."""
    state_for_gateway: str | None = None
    """What a later gateway needs to go on with it; None until it is ready."""
    state: State = State.RUNNING
    reason: Reason | None = None
    exit: Exit | None = None
    leader_exited: anyio.Event = field(default_factory=anyio.Event)
    step: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """The step of ending that is being waited for."""
    idle_timer: asyncio.TimerHandle | None = None
    lifetime_timer: asyncio.TimerHandle | None = None

    def disarm(self) -> None:
        """Let go of both timers: each would keep this object until it fires."""
        for timer in (self.idle_timer, self.lifetime_timer):
            if timer is not None:
                timer.cancel()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def age(self) -> float:
        """Seconds since its spawn."""
        return time.monotonic() - self.started

    def __repr__(self) -> str:
        return f"<Child {self.lease} of {self.spec.name} pid {self.pid} {self.state.name} {self.age:.1f} s>"


def how_it_ended(exit_: Exit | None) -> str:
    """An exit in words."""
    if exit_ is None or (exit_.code is None and exit_.signal is None):
        return "still running"
    return f"exit code {exit_.code}" if exit_.signal is None else f"signal {exit_.signal}"


def count_by_server(children: Iterable[Child]) -> dict[str, int]:
    """How many of `children` each server has."""
    counts: dict[str, int] = {}
    for child in children:
        counts[child.spec.name] = counts.get(child.spec.name, 0) + 1
    return counts
