"""What a gateway leaves: real children, and a `sleep` in the place of a gateway."""

import os
import select
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
import pytest

from common.reasons import Reason
from supervisor import custody, tree
from supervisor.child import Child, duplicates
from supervisor.children import Children, running_children
from supervisor.control import Announcer
from supervisor.custody import Custody, Presence
from supervisor.lifecycle import State
from supervisor.protocol import Lapsed
from supervisor.tree import end_process
from tests.support.gateway import LIGHT
from tests.support.ground import grounded
from tests.support.processes import PATIENCE
from tests.support.specs import server_spec, supervisor_settings

LONG = 1000.0
"""Seconds; no test takes as long."""

LIGHT_SPEC = server_spec("light", command=LIGHT["command"], args=tuple(LIGHT["args"]))
SETTINGS = supervisor_settings(LIGHT_SPEC, max_sessions=10, reaping="tagged")


class Room:
    """A supervisor without its socket."""

    def __init__(self, children: Children, custody: Custody) -> None:
        self.children = children
        self.custody = custody
        self.gateways: list[int] = []

    def gateway(self) -> int:
        """A pidfd of another gateway. It is nobody's child, for what is below us counts as astray."""
        started = subprocess.run(["sh", "-c", "sleep 1000 >&- & echo $!"], stdout=subprocess.PIPE, check=True)
        self.gateways.append(os.pidfd_open(int(started.stdout)))
        return os.dup(self.gateways[-1])

    def alive(self, number: int) -> bool:
        """Whether a gateway runs."""
        return not select.select([self.gateways[number]], [], [], 0)[0]

    async def child(self, state: str | None = "{}") -> Child:
        """A child, and whether it is ready."""
        child, stdin, stdout = await self.children.open("light", "test")
        os.close(stdin)
        os.close(stdout)
        if state is not None:
            self.children.keep(child.lease, state)
        return child


@asynccontextmanager
async def room(grace: float) -> AsyncIterator[Room]:
    """One that keeps what a gateway leaves for `grace` seconds."""
    announcer = Announcer()
    with anyio.fail_after(PATIENCE):
        async with (
            grounded(SETTINGS) as (ground, rooms),
            anyio.create_task_group() as tasks,
            running_children(SETTINGS, announcer, ground, rooms) as children,
        ):
            here = Room(children, Custody(children, grace, tasks))
            announcer.on_missed = here.custody.missed
            try:
                yield here
            finally:
                here.custody.close()
    for pidfd in here.gateways:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


@contextmanager
def gateway() -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A process, and a pidfd of it for who takes it."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            yield process, os.pidfd_open(process.pid)
        finally:
            process.kill()
            with suppress(ChildProcessError):
                process.wait()


async def test_what_is_ready_lives_on_and_what_is_not_is_ended() -> None:
    async with room(LONG) as here:
        await here.custody.receive(here.gateway())
        ready, unready = await here.child(), await here.child(None)
        await here.custody.leave(orderly=False, stays=False)
        assert here.custody.presence is Presence.AWAITED
        assert (ready.state, unready.state) == (State.RUNNING, State.STOPPING)
        assert unready.reason is Reason.GATEWAY_LOST
        assert unready.pipes == ()
        assert repr(here.custody) == "<Custody AWAITED, epoch 0, heirlooms []>"


async def test_after_a_goodbye_what_is_not_ready_is_ended_in_order() -> None:
    async with room(LONG) as here:
        await here.custody.receive(here.gateway())
        unready = await here.child(None)
        await here.custody.leave(orderly=True, stays=True)
        assert unready.reason is Reason.SHUTDOWN


@pytest.mark.parametrize(("grace", "known"), [(0.0, True), (LONG, False)])
async def test_where_nothing_can_be_kept_everything_ends_at_once(grace: float, known: bool) -> None:
    async with room(grace) as here:
        await here.custody.receive(here.gateway() if known else None)
        assert not here.custody.keeps
        child = await here.child()
        await here.custody.leave(orderly=False, stays=False)
        assert here.custody.presence is Presence.ABSENT
        assert (child.state, child.reason) == (State.GONE, Reason.GATEWAY_LOST)


async def test_the_next_gateway_is_told_what_ended_while_it_waited_for_the_last_ones_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody was told: neither was it handed over, nor said to have ended."""
    monkeypatch.setattr(custody, "PARTING", LONG)
    async with room(LONG) as here:
        await here.custody.receive(here.gateway())
        child = await here.child("state")
        await here.custody.leave(orderly=True, stays=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.custody.receive, here.gateway())
            await anyio.wait_all_tasks_blocked()
            assert here.alive(0)
            os.kill(child.pid, signal.SIGKILL)
            await child.wait_for_leader()
            signal.pidfd_send_signal(here.gateways[0], signal.SIGKILL)
        assert here.custody.hand_over() == []
        assert [each.lease for each in here.custody.lapsed()] == [child.lease]


async def test_a_goodbye_for_good_ends_everything_in_order() -> None:
    async with room(LONG) as here:
        await here.custody.receive(here.gateway())
        child = await here.child()
        await here.custody.leave(orderly=True, stays=False)
        assert (child.state, child.reason) == (State.GONE, Reason.SHUTDOWN)


async def test_the_next_gateway_gets_what_there_is_and_another_epoch() -> None:
    async with room(LONG) as here:
        await here.custody.receive(None)
        await here.custody.leave(orderly=True, stays=False)
        await here.custody.receive(here.gateway())
        child = await here.child("state")
        for _ in range(2):
            here.custody.entrust("hot_state", os.open(os.devnull, os.O_RDONLY))
        await here.custody.leave(orderly=False, stays=False)
        here.children.renew((child.lease,))
        used = child.last_used
        await here.custody.receive(here.gateway())
        assert here.custody.epoch == 2
        assert not here.alive(0)
        assert child.last_used >= used
        [(handed, pipes)] = here.custody.hand_over()
        names, fds = here.custody.heirlooms()
        assert (handed, names) == (child, ("hot_state",))
        for fd in (*pipes, *fds):
            assert not os.get_inheritable(fd)
            os.close(fd)


async def test_who_comes_while_everything_is_ended_waits_until_it_is() -> None:
    async with room(0.001) as here:
        await here.custody.receive(here.gateway())
        child = await here.child()
        await here.custody.leave(orderly=False, stays=False)
        while here.custody.presence is Presence.AWAITED:
            await anyio.lowlevel.checkpoint()
        await here.custody.receive(None)
        assert child.state is State.GONE
        assert here.custody.presence is Presence.PRESENT
        assert here.custody.hand_over() == []


async def test_a_gateway_that_shares_nothing_with_the_next_is_left_alone() -> None:
    async with room(LONG) as here:
        await here.custody.receive(here.gateway())
        await here.custody.leave(orderly=False, stays=False)
        await here.custody.receive(here.gateway())
        assert here.alive(0)


async def test_a_gateway_that_left_nothing_is_forgotten_without_a_word() -> None:
    async with room(0.001) as here:
        await here.custody.receive(here.gateway())
        await here.custody.leave(orderly=False, stays=False)
        while here.custody.presence is Presence.AWAITED:
            await anyio.lowlevel.checkpoint()
        assert here.custody.presence is Presence.ABSENT


async def test_a_child_that_ends_while_there_is_no_gateway_is_told_of_once() -> None:
    async with room(LONG) as here:
        await here.custody.receive(here.gateway())
        child, released = await here.child("state"), await here.child("other")
        here.children.release(released.lease, Reason.CLIENT_CLOSED)
        await here.custody.leave(orderly=False, stays=False)
        os.kill(child.pid, signal.SIGKILL)
        await here.children.all_gone()
        assert here.custody.lapsed() == [Lapsed(child.lease, "light", "state", Reason.CHILD_EXITED)]
        assert here.custody.lapsed() == []


async def test_whether_there_is_a_gateway_is_known_when_it_has_had_time_to_go() -> None:
    async with room(LONG) as here:
        assert await here.custody.vacant(0)
        await here.custody.receive(None)
        assert not await here.custody.vacant(0)
        async with anyio.create_task_group() as tasks:

            async def go() -> None:
                await here.custody.leave(orderly=True, stays=True)

            tasks.start_soon(go)
            assert await here.custody.vacant(PATIENCE)


async def test_a_child_whose_pipes_cannot_be_handed_over_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room(LONG) as here:
        await here.custody.receive(None)
        child = await here.child()
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", _out_of_descriptors())
            assert here.custody.hand_over() == []
        assert child.reason is Reason.GATEWAY_LOST


def _out_of_descriptors() -> object:
    """A dup(2) that works once."""
    real, left = os.dup, [1]

    def dup(fd: int) -> int:
        if not left:
            raise OSError(24, "Too many open files")
        left.pop()
        return real(fd)

    return dup


def test_duplicates_are_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = duplicates(0, 1)
    assert len(made) == 2
    for fd in made:
        os.close(fd)
    monkeypatch.setattr(os, "dup", _out_of_descriptors())
    assert duplicates(0, 1) == ()


# Fencing. No reaper runs here, for the process is a child of the test's own.


async def test_a_process_that_does_not_leave_is_killed() -> None:
    with gateway() as (process, pidfd):
        assert await end_process(pidfd, 0)
        os.close(pidfd)
        assert process.wait() == -signal.SIGKILL


async def test_a_process_that_leaves_by_itself_is_not_killed() -> None:
    with gateway() as (process, pidfd):
        process.terminate()
        assert await end_process(pidfd, PATIENCE)
        os.close(pidfd)
        assert process.wait() == -signal.SIGTERM


async def test_a_process_that_is_gone_and_reaped_needs_no_signal() -> None:
    with gateway() as (process, pidfd):
        process.kill()
        process.wait()
        assert await end_process(pidfd, 0)
        os.close(pidfd)


async def test_a_process_that_may_not_be_signalled_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with gateway() as (process, pidfd):
        monkeypatch.setattr(signal, "pidfd_send_signal", denied)
        monkeypatch.setattr(tree, "FENCE", 0.01)
        assert not await end_process(pidfd, 0)
        monkeypatch.setattr(tree, "FENCE", PATIENCE)
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                process.kill()

            tasks.start_soon(end)
            assert await end_process(pidfd, 0)
        os.close(pidfd)


async def test_where_the_last_gateway_cannot_be_ended_nothing_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    real = signal.pidfd_send_signal
    async with room(LONG) as here:
        first = here.gateway()

        def denied(pidfd: int, number: int) -> None:
            if pidfd == first:
                raise PermissionError(1, "Operation not permitted")
            real(pidfd, number)

        await here.custody.receive(first)
        child = await here.child()
        await here.custody.leave(orderly=False, stays=False)
        monkeypatch.setattr(signal, "pidfd_send_signal", denied)
        monkeypatch.setattr(tree, "FENCE", 0.01)
        await here.custody.receive(None)
        assert here.custody.hand_over() == []
        assert (child.state, child.reason) == (State.GONE, Reason.GATEWAY_LOST)
