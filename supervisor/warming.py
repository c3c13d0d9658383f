"""Keeps spares: children that were started before anybody asked for them, and that nobody has used.

How many, and which is next, `supervisor.spares` says; here it is done. A spare is a child like any other, with a lease, a
room, a place and a tag of its own, whose pipes stay with the supervisor, which neither writes to them nor reads from
them: one that has heard a message may speak no other revision from then on. Whoever opens a session of its server is
given it, and from that moment it is that session's child, and ends with it.

A spare makes nobody wait: it gives its place to whoever would have to, it is started only where no session needs the
processors for its own start, and at a lower priority. One that dies untaken is a reason to give the server's spares a
rest, as in `supervisor.backoff`; that says nothing of its sessions, which may well open.

Whether a spare has settled is looked at only until it has: there is no message that could ask for it.
"""

import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.abc
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from common.reasons import Reason
from supervisor.backoff import SPAWN_FAILURES, Failures, Verdict
from supervisor.child import Child
from supervisor.environment import SpawnError
from supervisor.gate import Gate
from supervisor.lifecycle import State
from supervisor.personal import asks_for
from supervisor.priority import Priority
from supervisor.queueing import Request
from supervisor.spare import FIRST_LOOK, Spare
from supervisor.spares import Demand, Need, may_start, next_to_start, wanted
from supervisor.walk import walk

LABEL: Final = "spare"
"""What the log calls the session of a child that has none yet."""

COLD_FOR: Final = 5.0
"""Seconds for which a session's own child is taken to be starting, where it is not said to be ready before."""

HANDED_FOR: Final = 0.5
"""Seconds for which nothing is started after a spare was handed out, where its session is not ready before."""

AGAIN: Final = 2.0
"""Seconds after which a start that was refused, or went wrong, is tried again at the earliest."""

REVIEW: Final = 30.0
"""Seconds between two looks at how many spares `auto` wants, while there are any."""

OLDEST: Final = 3600.0
"""Seconds after which a spare is replaced: what it has read when it started may be another by then."""

_SHARE_OF_MACHINE: Final = 10
"""All spares may use one such part of the machine's memory, unless the configuration says otherwise."""


_BY_ITSELF: Final = frozenset(
    {
        Reason.CHILD_EXITED,
        Reason.CHILD_CLOSED_STDOUT,
        Reason.MEMORY_MAX,
        Reason.TASKS_MAX,
        Reason.FILE_SIZE_MAX,
        Reason.DIR_SIZE_MAX,
    }
)


class Warming:
    """Starts spares, hands them out, and ends them.

    `begin(server, label)` starts a child that is nobody's, or raises SpawnError; `end(child, reason)` ends one;
    `is_current(child)` says whether its server, as it is configured, would still be started from the same package.
    Nothing is started but between `resume` and `pause`: who starts one looks at `is_on` right before.
    """

    def __init__(
        self,
        settings: SupervisorSettings,
        gate: Gate,
        tasks: anyio.abc.TaskGroup,
        begin: Callable[[str, str], Awaitable[tuple[Child, ServerSpec] | None]],
        end: Callable[[Child, Reason], None],
        priority: Priority,
        is_current: Callable[[Child], bool] = lambda _: True,
        cores: int | None = None,
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._tasks = tasks
        self._begin = begin
        self._end = end
        self._priority = priority
        self._is_current = is_current
        self._cores = cores or len(os.sched_getaffinity(0))
        self._spares: dict[int, Spare] = {}
        self._demands: dict[str, Demand] = {}
        self._failures = Failures()
        self._starting: Counter[str] = Counter()
        """Spares that are not spawned yet."""
        self._again: dict[str, float] = {}
        """When the next spare of a server may be tried, where one could not be started."""
        self._cold: dict[int, float] = {}
        """Since when sessions wait for children of their own to be ready, by lease."""
        self.is_on = False
        """Whether spares are wanted now."""
        self._handed: dict[int, float] = {}
        """Since when sessions shake hands with what was a spare, by lease: none is replaced meanwhile."""
        self._scope: anyio.CancelScope | None = None
        self._changed = anyio.Event()
        self._told_of_budget: set[str] = set()

    def __repr__(self) -> str:
        return f"<Warming: {dict(self.count())}{'' if self.is_on else ', paused'}>"

    # What others tell it.

    def resume(self) -> None:
        """There is a gateway: keep spares for it, until `pause`."""
        self.is_on = True
        if self._scope is None and self._is_wanted_at_all():
            self._scope = anyio.CancelScope()
            self._tasks.start_soon(self._run, self._scope, name="keep spares")

    def pause(self) -> None:
        """Start no more; those that there are stay, and can be taken."""
        self.is_on = False
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None

    def use_settings(self) -> None:
        """Other settings hold from now on: spares that are started otherwise are of no more use."""
        for spare in tuple(self._spares.values()):
            if not self._is_up_to_date(spare):
                self._end(spare.child, Reason.UNUSED)
        servers = self._settings.servers
        self._demands = {name: each for name, each in self._demands.items() if name in servers}
        self._failures = Failures()  # what failed may have been mended
        self._again.clear()
        self._told_of_budget.clear()
        if self.is_on:
            self.resume()
        self.poke()

    def poke(self) -> None:
        """Something is another than it was: have a look at once."""
        self._changed.set()

    def arrived(self, server: str) -> None:
        """Somebody opens a session of `server`."""
        spec = self._settings.servers.get(server)
        if spec is not None and spec.warm == "auto" and _may_have_any(spec):
            self._demand(server).arrived(time.monotonic())
            self.poke()

    def cold(self, child: Child) -> None:
        """A session's own child was spawned, and has yet to start."""
        if self._scope is not None:
            self._cold[child.lease] = child.started

    def not_cold(self, lease: int) -> None:
        """It is ready, or has ended."""
        was_cold, was_handed = self._cold.pop(lease, None), self._handed.pop(lease, None)
        if was_cold is not None or was_handed is not None:
            self.poke()

    def count(self) -> Counter[str]:
        """How many spares each server has."""
        return Counter(each.child.spec.name for each in self._running())

    def report(self) -> dict[str, int]:
        """The same, 0 for those that are to have some and have none."""
        return {name: 0 for name, spec in self._settings.servers.items() if spec.warm != 0} | self.count()

    # Handing out.

    def take(self, request: Request, instead_of: int | None = None) -> Child | None:
        """A spare for `request`, in whose name it has its place from now on, or None where there is none for it.

        The place of the ticket `instead_of`, if any, is free then. Raises SpawnError where the server is given a rest.
        """
        spare = self._best(request.server)
        if spare is None or not self._gate.hand_over(spare.child.lease, request, instead_of):
            return None
        child = spare.child
        del self._spares[child.lease]
        self._raise(spare)
        now = time.monotonic()
        self._failures.ready(request.server, child.lease, child.started, now)
        logger.info(
            "took a spare of {} (started {:.0f} s ago) for session {}", request.server, child.age, request.label
        )
        child.take_for(request.user, request.label)
        self._handed[child.lease] = now
        self.poke()
        return child

    def give_up_user(self, first: int, last: int) -> bool:
        """Have a spare end that has a user id from `first` to `last`; whether one ends, now or already."""
        having = [each for each in self._spares.values() if each.has_user_of(first, last)]
        if having and all(each.child.state is State.RUNNING for each in having):
            self._end(max(having, key=lambda each: each.child.started).child, Reason.MAX_SESSIONS)
        return bool(having)

    def gone(self, child: Child) -> None:
        """The tree of a child is empty."""
        spare = self._spares.pop(child.lease, None)
        if spare is not None:
            by_itself = child.reason in _BY_ITSELF
            self._verdict(child.spec.name, child.lease, child.started, str(child.reason), bad=by_itself)
        self.poke()

    def _best(self, server: str) -> Spare | None:
        """The one that is readiest: that has settled, else that started first. One that has died is none."""
        spec = self._settings.servers.get(server)
        known = [each for each in self._running() if each.configured.name == server and spec is not None]
        for spare in sorted(known, key=lambda each: (not each.settled, each.child.started)):
            if not self._is_up_to_date(spare):
                self._end(spare.child, Reason.UNUSED)
            elif spare.is_well():
                return spare
            else:
                self._end(spare.child, Reason.CHILD_CLOSED_STDOUT)
        return None

    def _is_up_to_date(self, spare: Spare) -> bool:
        spec = self._settings.servers.get(spare.configured.name)
        return spec is not None and spec.is_started_like(spare.configured) and self._is_current(spare.child)

    def _running(self) -> list[Spare]:
        return [each for each in self._spares.values() if each.child.state is State.RUNNING]

    # The loop.

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as starts:
                while True:
                    self._changed = anyio.Event()
                    pause = self._step(time.monotonic(), starts)
                    with anyio.move_on_after(pause):
                        await self._changed.wait()

    def _step(self, now: float, starts: anyio.abc.TaskGroup) -> float | None:
        """Do what is due; seconds until something may be due again though nothing happens, None for never."""
        for spare in self._running():
            if not spare.settled and now - spare.looked >= spare.pause:
                self._look(spare, now)
        needs = self._needs(now)
        self._end_surplus(needs, now)
        self._start(needs, now, starts)
        due = [spare.looked + spare.pause for spare in self._running() if not spare.settled]
        lacking = {need.server for need in needs if need.have < need.wanted}
        due += [at for server, at in self._again.items() if server in lacking and at > now]
        if lacking:
            due += [since + COLD_FOR for since in self._cold.values()]
            due += [since + HANDED_FOR for since in self._handed.values()]
        due += [spare.child.started + self._oldest(spare) for spare in self._running()]
        if any(each.wanted for each in needs if self._settings.servers[each.server].warm == "auto"):
            due.append(now + REVIEW)
        return max(FIRST_LOOK, min(due) - now) if due else None

    def _needs(self, now: float) -> list[Need]:
        # One that is being ended is replaced once it is gone: why it ended is known then.
        have = Counter(each.configured.name for each in self._spares.values()) + self._starting
        needs = []
        for name, spec in self._settings.servers.items():
            if spec.warm == 0 and not have[name]:
                continue
            demand = self._demand(name)
            wants = wanted(spec.warm, demand, now) if _may_have_any(spec) else 0
            needs.append(Need(name, wants, have[name], demand.memory))
        return needs

    def _end_surplus(self, needs: list[Need], now: float) -> None:
        """End what is one too many, too old, or more than the budget has room for: what has settled last goes first."""
        wants = {need.server: need.wanted for need in needs}
        surplus = {server: number - wants.get(server, 0) for server, number in self.count().items()}
        used, budget = sum(each.memory for each in self._running()), self._budget()
        for spare in sorted(self._running(), key=lambda each: (each.settled, -each.child.started)):
            server = spare.configured.name
            if now - spare.child.started >= self._oldest(spare):
                self._end(spare.child, Reason.MAX_LIFETIME)
            elif surplus[server] > 0 or used > budget:
                self._end(spare.child, Reason.UNUSED)
            else:
                continue
            surplus[server] -= 1
            used -= spare.memory

    def _start(self, needs: list[Need], now: float, starts: anyio.abc.TaskGroup) -> None:
        self._cold = {lease: since for lease, since in self._cold.items() if now - since < COLD_FOR}
        self._handed = {lease: since for lease, since in self._handed.items() if now - since < HANDED_FOR}
        ready = [need for need in needs if self._may_be_tried(need.server, now)]
        used, budget = self._used() + self._promised(), self._budget()
        self._tell_of_budget(ready, budget)
        warming = self._starting.total() + sum(each.starts for each in self._running())
        if self._gate.waiting or self._handed or not may_start(self._cores, len(self._cold), warming):
            return
        server = next_to_start(ready, used, budget)
        if server is not None:
            self._starting[server] += 1
            starts.start_soon(self._start_one, server, name=f"start a spare of {server}")
            self.poke()  # there may be room for another

    async def _start_one(self, server: str) -> None:
        begun = time.monotonic()
        try:
            started = await self._begin(server, LABEL)
        except SpawnError as error:
            self._again[server] = time.monotonic() + AGAIN
            self._verdict(server, -1, begun, error.reason, bad=error.reason in SPAWN_FAILURES)
            return
        finally:
            self._starting[server] -= 1
            self.poke()
        if started is None:
            self._again[server] = time.monotonic() + AGAIN
            return
        child, configured = started
        lowered = self._priority.lower(child.pid, child.tree.leaf)
        self._spares[child.lease] = Spare(child, configured, lowered, self._demand(server).memory)

    def _look(self, spare: Spare, now: float) -> None:
        spare.look(now)
        if not spare.settled:
            return
        server = spare.configured.name
        self._demand(server).started(spare.took, spare.memory)
        self._failures.ready(server, spare.child.lease, spare.child.started, now)
        self._raise(spare)
        logger.debug("a spare of {} has settled after {:.2f} s, with {} MiB", server, spare.took, spare.memory >> 20)

    def _raise(self, spare: Spare) -> None:
        if spare.lowered:
            self._priority.restore(walk(spare.child.pid), spare.child.tree.leaf)
            spare.lowered = False

    def _may_be_tried(self, server: str, now: float) -> bool:
        if self._again.get(server, now) > now:
            return False
        if (rest := self._failures.rest(server, now)) is not None:
            self._again[server] = now + rest.retry_after
            return False
        self._again.pop(server, None)
        return True

    def _verdict(self, server: str, lease: int, started: float, why: str, *, bad: bool) -> None:
        now = time.monotonic()
        was = self._failures.failing(server, now)
        verdict = Verdict.BAD if bad else Verdict.NOTHING
        self._failures.ended(server, lease, verdict, started=started, now=now, why=why)
        if not was and (is_ := self._failures.failing(server, now)):
            logger.warning("spares of {} are given a rest between tries: {}", server, is_)

    def _used(self) -> int:
        return sum(each.memory for each in self._spares.values())

    def _promised(self) -> int:
        return sum(number * self._demand(server).memory for server, number in self._starting.items())

    def _budget(self) -> int:
        given = self._settings.warm_memory_max
        return given if given is not None else _memory_of_machine() // _SHARE_OF_MACHINE

    def _tell_of_budget(self, needs: list[Need], budget: int) -> None:
        for need in needs:
            spec = self._settings.servers[need.server]
            if spec.warm != "auto" and need.wanted * need.memory > budget and need.server not in self._told_of_budget:
                self._told_of_budget.add(need.server)
                line = "server {}: {} spares would take {} MiB, and all may have {}; see 'warm_memory_max'"
                logger.warning(line, need.server, need.wanted, need.wanted * need.memory >> 20, budget >> 20)

    def _oldest(self, spare: Spare) -> float:
        return min(OLDEST, spare.configured.max_lifetime)

    def _demand(self, server: str) -> Demand:
        return self._demands.setdefault(server, Demand())

    def _is_wanted_at_all(self) -> bool:
        return any(spec.warm != 0 for spec in self._settings.servers.values()) or bool(self._spares)


def _memory_of_machine() -> int:
    """Bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _may_have_any(spec: ServerSpec) -> bool:
    """Whether a child may stand ready: not one that is started with each user's own, nor one that would be no fork.

    A session of a zygote is there as soon as one from a spare, and a spare would share no memory with the others.
    """
    return not spec.zygote and not asks_for(spec)
