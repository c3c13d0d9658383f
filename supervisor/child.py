"""One child: what is known of it, from its spawn until its tree is empty."""

import asyncio
import os
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import anyio
from loguru import logger

from common.config.model import Graces, ServerSpec
from common.descriptors import close_all
from common.reasons import Reason
from supervisor.lifecycle import State
from supervisor.placing import Place
from supervisor.protocol import Exit
from supervisor.rooms import Room
from supervisor.stderr import StderrTail
from supervisor.tree import Tree
from supervisor.zygote.blanks import Forked

_LETTERS: Final = "bcdfghjkmnpqrstvwxz"
"""Of ids that stand in error texts, in which clients look for words and for numbers such as 401."""
_ID_LENGTH: Final = 12


@dataclass(eq=False)
class Child:
    """A row of the table of children; `supervisor.children` is its only writer. Instants are of the monotonic clock."""

    lease: int
    label: str
    spec: ServerSpec
    room: Room
    process: "subprocess.Popen[bytes] | Forked"
    place: Place
    tree: Tree
    stderr: StderrTail
    graces: Graces
    started: float = field(default_factory=time.monotonic)
    last_used: float = field(default_factory=time.monotonic)
    held: bool = False
    """Whether it is in use for as long as the gateway lives."""
    user: str = ""
    """Whom it is counted for."""
    gives_way: bool = False
    """It is no session's, and ends when somebody waits for its place."""
    is_spare: bool = False
    """It waits for a session, and nobody has used it: see supervisor.warming. The gateway does not know of it."""
    taken: float | None = None
    """Since when it has a session, where it was a spare before."""
    certificate: str = field(default_factory=lambda: new_id())
    """The id of its death certificate."""
    state_for_gateway: str | None = None
    """What a later gateway needs to go on with it; None until it is ready, empty where none could."""
    pipes: tuple[int, ...] = ()
    """Its stdin and stdout once more, for a later gateway; the supervisor neither reads nor writes them."""
    ready: float | None = None
    """Since when it can serve."""
    ended: float | None = None
    """Since when it is being ended, or has ended by itself."""
    state: State = State.RUNNING
    reason: Reason | None = None
    limit: Reason | None = None
    """The limit that it hit."""
    exit: Exit | None = None
    step: anyio.CancelScope | None = None
    """The step of ending that is being waited for."""
    _leader_exited: anyio.Event | None = None
    """Of whoever waits for that."""
    idle_timer: asyncio.TimerHandle | None = None
    lifetime_timer: asyncio.TimerHandle | None = None

    @property
    def level(self) -> str:
        """How loud the log is about its coming and going: one that is no session's comes and goes by itself."""
        return "DEBUG" if self.gives_way else "INFO"

    @property
    def can_be_kept(self) -> bool:
        """Whether another gateway could go on with it."""
        return self.state is State.RUNNING and bool(self.state_for_gateway) and bool(self.pipes)

    def leader_exited(self, exit_: Exit) -> None:
        """Its leader has ended, and was reaped."""
        self.exit = exit_
        if self._leader_exited is not None:
            self._leader_exited.set()

    async def wait_for_leader(self) -> None:
        """Wait until its leader was reaped."""
        if self.exit is None:
            self._leader_exited = self._leader_exited or anyio.Event()
            await self._leader_exited.wait()

    def close_pipes(self) -> None:
        """Let go of its pipes. While they are open it sees neither the end of its input nor a broken pipe."""
        close_all(self.pipes)
        self.pipes = ()

    def use(self) -> None:
        """It is used now."""
        self.last_used = time.monotonic()

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

    @property
    def lived(self) -> float:
        """Seconds from its spawn until its end began; so far, where that has not come.

        That of a spare begins anew with its session.
        """
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    @property
    def lived_ready(self) -> float | None:
        """The same, since it was ready; None where it never was."""
        return None if self.ready is None else self.lived - (self.ready - self.began)

    @property
    def began(self) -> float:
        """When its session's time with it began."""
        return self.started if self.taken is None else self.taken

    def take_for(self, user: str, label: str) -> None:
        """It is no spare any more, but the child of this session of this user's."""
        self.is_spare = self.gives_way = False
        self.user, self.label, self.graces = user, label, self.spec.graces
        self.taken = self.last_used = time.monotonic()

    def __repr__(self) -> str:
        return f"<Child {self.lease} of {self.spec.name} pid {self.pid} {self.state.name} {self.age:.1f} s>"


def new_id() -> str:
    """Letters for a certificate. One question to the kernel, where a choice of each letter is twelve."""
    number, letters = secrets.randbelow(len(_LETTERS) ** _ID_LENGTH), ""
    for _ in range(_ID_LENGTH):
        number, letter = divmod(number, len(_LETTERS))
        letters += _LETTERS[letter]
    return letters


def how_it_ended(exit_: Exit | None) -> str:
    """An exit in words."""
    if exit_ is None or (exit_.code is None and exit_.signal is None):
        return "still running"
    return f"exit code {exit_.code}" if exit_.signal is None else f"signal {exit_.signal}"


def duplicates(*fds: int) -> tuple[int, ...]:
    """A duplicate of each of `fds`, close-on-exec; none at all where there is no room for all of them."""
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))  # noqa: PERF401 - what was made before a failure must be known
    except OSError as error:
        close_all(made)
        logger.error("no descriptor is left to keep a child for a later gateway: {}", error.strerror)
        return ()
    return tuple(made)


def count_by_server(children: Iterable[Child]) -> Counter[str]:
    """How many of `children` each server has."""
    return Counter(child.spec.name for child in children)
