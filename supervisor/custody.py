"""What a gateway leaves, from its end to the next one's hello.

Where the supervisor runs as a service of its own, a gateway that goes may come back: restarted, upgraded, or after a
crash. For `reattach_grace` its children live on, with their pipes open; the idle clocks stand still meanwhile, for nobody
could renew a lease. What no other gateway can go on with is ended at once: a child that has not answered `initialize`,
and one whose session was its stream. The next gateway gets duplicates of the pipes, and the **heirlooms**: the listening
socket, in whose backlog clients wait instead of being refused, and the notes of what was under way.

Two readers on one pipe would tear each other's messages apart, so the old gateway is **fenced** before anything is
handed over: if its process still lives although its connection has ended, it is killed, and its end waited for.

    ABSENT ──receive──▶ PRESENT ──leave──▶ AWAITED ──receive──▶ PRESENT
                                              └──the grace is over──▶ ABSENT

On the way to ABSENT everything is ended, and a gateway that says hello meanwhile waits until it is gone. Where both
programs were started together (`grace` is 0) AWAITED is skipped: a gateway's end is everything's.
"""

import asyncio
import os
import time
from collections import deque
from enum import Enum, auto
from typing import Final

import anyio
import anyio.abc
from loguru import logger

from common.descriptors import close_all
from common.reasons import Reason
from supervisor.child import Child, duplicates
from supervisor.children import Children
from supervisor.protocol import Ending, FromSupervisor, Heirloom, Lapsed
from supervisor.tree import end_process

PARTING: Final = 2.0
"""Seconds that a gateway which said goodbye may take to leave before it is killed."""


MAX_LAPSED: Final = 1000
"""Ends of children of which the next gateway is told."""


class Presence(Enum):
    """Whether there is a gateway."""

    ABSENT = auto()
    """There is none; what the last one left is gone, or is being ended."""
    PRESENT = auto()
    """Its connection is open."""
    AWAITED = auto()
    """There is none, but what the last one left lives on."""


class Custody:
    """Keeps what gateways leave, for `grace` seconds each time; 0 keeps nothing."""

    def __init__(self, children: Children, grace: float, tasks: anyio.abc.TaskGroup) -> None:
        self.presence = Presence.ABSENT
        self.epoch = -1
        """How many gateways there were before the present one."""
        self._children = children
        self._grace = grace
        self._tasks = tasks
        self._heirlooms: dict[Heirloom, int] = {}
        self._last: int | None = None
        """A pidfd of the present gateway, or of the last one."""
        self._lapsed: deque[Lapsed] = deque(maxlen=MAX_LAPSED)
        self._remembers = False
        """Whether what ends is remembered for the next gateway: from the last one's end until that one is told."""
        self._orderly = True
        self._left_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._vacated = anyio.Event()
        self._cleared = anyio.Event()
        self._cleared.set()
        children.keep_pipes(wanted=grace > 0)

    def __repr__(self) -> str:
        return f"<Custody {self.presence.name}, epoch {self.epoch}, heirlooms {sorted(self._heirlooms)}>"

    @property
    def keeps(self) -> bool:
        """Whether the present gateway's children outlive it: not where we could not see to its end first."""
        return self._grace > 0 and self._last is not None

    async def receive(self, pidfd: int | None) -> None:
        """A gateway said hello; `pidfd`, its process, is ours from now on. Waits until what was before it is settled.

        Where the gateway before it cannot be got rid of, nothing is left to hand over.
        """
        awaited = self.presence is Presence.AWAITED
        self.presence = Presence.PRESENT
        previous, self._last = self._last, pidfd
        self._disarm()
        try:
            await self._cleared.wait()
            if awaited and not await self._fence(previous):
                logger.error("the last gateway cannot be ended, so its children are")
                await self._clear()
        finally:
            if previous is not None:
                os.close(previous)
        self._children.resume_idling(time.monotonic() - self._left_at)
        self._children.warming.resume()
        self.epoch += 1

    def hand_over(self) -> list[tuple[Child, tuple[int, ...]]]:
        """The children that the new gateway takes up, each with duplicates of its pipes, which the caller owns."""
        handed = []
        for child in self._children.kept():
            pipes = duplicates(*child.pipes)
            if pipes:
                handed.append((child, pipes))
            else:
                self._children.release(child.lease, Reason.GATEWAY_LOST)
        return handed

    def lapsed(self) -> list[Lapsed]:
        """The children that ended while there was no gateway; told once."""
        self._remembers = False
        told = list(self._lapsed)
        self._lapsed.clear()
        return told

    def heirlooms(self) -> tuple[tuple[Heirloom, ...], tuple[int, ...]]:
        """What the last gateway left beside its children, with duplicates, which the caller owns."""
        fds = duplicates(*self._heirlooms.values())
        return (tuple(self._heirlooms) if fds else ()), fds

    def missed(self, message: FromSupervisor) -> None:
        """There was nobody to hear `message`. That a child ended which the next gateway would look for, it is told.

        That gateway may be here already, and wait until the one before it is gone.
        """
        if self._remembers and isinstance(message, Ending):
            child = self._children.find(message.lease)
            if child is not None and child.state_for_gateway is not None:
                self._lapsed.append(Lapsed(child.lease, child.spec.name, child.state_for_gateway, message.reason))

    async def vacant(self, within: float) -> bool:
        """Whether there is no gateway, or the one that there is goes `within` seconds: its end may not be known yet."""
        with anyio.move_on_after(within):
            while self.presence is Presence.PRESENT:
                await self._vacated.wait()
        return self.presence is not Presence.PRESENT

    def entrust(self, what: Heirloom, fd: int) -> None:
        """Keep `fd`, ours from now on, for the next gateway."""
        older = self._heirlooms.pop(what, None)
        if older is not None:
            os.close(older)
        self._heirlooms[what] = fd

    async def leave(self, *, orderly: bool, stays: bool) -> None:
        """The gateway has gone, with a goodbye (`orderly`) or without; `stays` announces another.

        Where nothing is kept, waits until all its children are gone.
        """
        self._orderly = orderly
        self._children.warming.pause()
        self._vacated.set()
        self._vacated = anyio.Event()
        if self.keeps and (stays or not orderly):
            self._await_another()
            return
        if not orderly:
            logger.error("the gateway is gone without a word; ending all its children")
        self._forsake()
        await self._clear_away()

    def close(self) -> None:
        """The supervisor ends: let go of everything."""
        self._disarm()
        self._drop_heirlooms()
        if self._last is not None:
            os.close(self._last)
            self._last = None

    # Within.

    def _await_another(self) -> None:
        kept = self._children.leave_alone(orderly=self._orderly)
        level, manner = ("INFO", "is gone") if self._orderly else ("ERROR", "is gone without a word")
        logger.log(level, "the gateway {}; {} children wait {:g} s for another", manner, kept, self._grace)
        self.presence = Presence.AWAITED
        self._remembers = True
        self._left_at = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(self._grace, self._give_up)

    def _give_up(self) -> None:
        if kept := len(self._children.kept()):
            logger.warning("no gateway came back within {:g} s; ending {} children", self._grace, kept)
        self._forsake()
        self._tasks.start_soon(self._clear_away, name="end what the gateway left")

    def _forsake(self) -> None:
        """From now on, and until `_clear_away` is done, a gateway that says hello has to wait."""
        self.presence = Presence.ABSENT
        self._remembers = False
        self._cleared = anyio.Event()

    async def _clear_away(self) -> None:
        await self._clear()
        self._cleared.set()

    async def _clear(self) -> None:
        self._drop_heirlooms()
        self._lapsed.clear()
        if self._orderly:
            self._children.end_all(Reason.SHUTDOWN)
        else:
            self._children.abandon_all()
        await self._children.all_gone()
        await self._children.sweep()

    async def _fence(self, pidfd: int | None) -> bool:
        """Make sure that the process of `pidfd` is no more, if it could do harm; whether that is so."""
        if pidfd is None or not (self._children.kept() or self._heirlooms):
            return True  # it has nothing that another would share with it
        return await end_process(pidfd, PARTING if self._orderly else 0.0)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_heirlooms(self) -> None:
        close_all(self._heirlooms.values())
        self._heirlooms.clear()
