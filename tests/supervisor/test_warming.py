"""Spares, below the test's own process."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from common.config.model import Isolation, ServerSpec
from common.config.session_paths import mark
from common.config.warm import Spares
from common.reasons import Reason
from supervisor import backoff, warming
from supervisor.child import Child
from supervisor.children import Children, running_children
from supervisor.environment import SpawnError
from supervisor.fetches import Fetches
from supervisor.priority import STEP
from supervisor.protocol import FromSupervisor, Gone
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, watching
from tests.support.specs import server_spec, supervisor_settings
from tests.support.telling import Log, telling

SETTLED = "a spare of {} has settled"


def server(name: str = "cat", warm: Spares = 0, **differences: object) -> ServerSpec:
    """One that starts `cat`, with so many spares."""
    return server_spec(name, warm=warm, **differences)


class Here:
    """A supervisor's children, and what was said of them."""

    def __init__(self, children: Children, log: Log) -> None:
        self.children = children
        self.log = log
        self.announced: list[FromSupervisor] = []
        self.pipes: list[int] = []

    async def open(self, server: str, user: str = "", *, gives_way: bool = False) -> int:
        """Open a session; the pid of its child."""
        child, *pipes = await self.children.open(server, f"of {user}", user, gives_way=gives_way)
        self.pipes += pipes
        return child.pid

    async def settled(self, server: str = "cat", times: int = 1) -> None:
        """Wait until so many spares of `server` have settled."""
        await self.log.said(SETTLED.format(server), times)

    def spares(self) -> dict[str, int]:
        """How many each server has."""
        return dict(self.children.warming.count())

    def spare(self, number: int = 0) -> int:
        """The pid of a spare."""
        return list(self.children.warming._spares.values())[number].child.pid


@asynccontextmanager
async def here(*servers: ServerSpec, **settings: object) -> AsyncIterator[Here]:
    """Children of `servers`, with a gateway that is there."""
    announced: list[FromSupervisor] = []
    configured = supervisor_settings(*servers, **settings)
    async with grounded(configured) as (ground, rooms):
        with telling() as log:
            async with running_children(configured, announced.append, ground, rooms) as children:
                found = Here(children, log)
                found.announced = announced
                children.warming.resume()
                try:
                    yield found
                finally:
                    for fd in found.pipes:
                        os.close(fd)


async def test_a_spare_serves_one_session_and_ends_with_it() -> None:
    async with here(server(warm=1), server("cold")) as at:
        assert at.children.report(1).servers["cat"].warm == 0
        await at.settled()
        spare = at.spare()
        assert (at.children.report(1).running, at.children.report(1).servers["cat"].warm) == (0, 1)
        assert await at.open("cat", "ann") == spare
        assert at.log.count(r"took a spare of cat \(started \d+ s ago\) for session of ann") == 1
        await at.settled(times=2)
        assert {name: each.warm for name, each in at.children.report(1).servers.items()} == {"cat": 1, "cold": None}
        other = await at.open("cat", "bob")
        assert other != spare
        with watching(spare) as [process]:
            at.children.release(1, Reason.CLIENT_CLOSED)
            await process.ended()
        assert at.children.report(1).running == 1


async def test_the_gateway_hears_of_a_spare_only_once_it_is_a_sessions() -> None:
    async with here(server(warm=2)) as at:
        await at.settled(times=2)
        lease = at.children.find(1)
        assert lease is not None
        with watching(at.spare(1)) as [process]:
            os.kill(at.spare(1), signal.SIGKILL)
            await process.ended()
        await at.settled(times=3)
        assert at.announced == []
        await at.open("cat")
        at.children.release(1, Reason.CLIENT_CLOSED)
        assert [type(each).__name__ for each in at.announced] == ["Ending"]


async def test_a_spare_that_has_just_died_is_not_handed_out() -> None:
    async with here(server(warm=1)) as at:
        await at.settled()
        dead = at.spare()
        os.kill(dead, signal.SIGKILL)
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - and the reaper has not heard of it
        assert await at.open("cat") != dead


async def test_a_spare_that_dies_as_it_is_handed_out_is_that_sessions_affair_and_nothing_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_for = Child.take_for

    def killed(child: Child, user: str, label: str) -> None:
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        take_for(child, user, label)

    async with here(server(warm=1)) as at:
        await at.settled()
        spare = at.spare()
        with monkeypatch.context() as patched:
            patched.setattr(Child, "take_for", killed)
            assert await at.open("cat") == spare
        with anyio.fail_after(PATIENCE):
            while at.children.find(1) is not None:
                await at.children._buried.wait()
        [gone] = [each for each in at.announced if isinstance(each, Gone)]
        assert (gone.lease, gone.certificate.reason) == (1, Reason.CHILD_EXITED)
        await at.settled(times=2)
        assert await at.open("cat") != spare


async def test_one_that_has_closed_its_output_is_not_handed_out() -> None:
    async with here(server(warm=1, command="/bin/sh", args=("-c", "exec >&-; exec sleep 1000"))) as at:
        await at.settled()
        deaf = at.spare()
        with watching(deaf) as [process]:
            assert await at.open("cat") != deaf
            await process.ended()


async def test_one_that_has_not_settled_is_taken_too_and_has_its_priority_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "FIRST_LOOK", 1e9)
    async with here(server(warm=1)) as at:
        await at.log.said("spawned cat")
        [spare] = at.children.warming._spares.values()
        spare.pause = 1e9
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, spare.child.pid) == own + STEP * spare.lowered
        assert await at.open("cat") == spare.child.pid
        assert os.getpriority(os.PRIO_PROCESS, spare.child.pid) == own
        assert at.log.count(SETTLED.format("cat")) == 0


async def test_a_child_that_is_nobodys_takes_no_spare() -> None:
    async with here(server(warm=1)) as at:
        await at.settled()
        assert await at.open("cat", gives_way=True) != at.spare()
        assert at.spares() == {"cat": 1}


async def test_a_user_who_has_enough_gets_no_spare() -> None:
    async with here(server(warm=1, max_user_sessions=1), queue_max=0) as at:
        await at.settled()
        await at.open("cat", "ann")
        await at.settled(times=2)
        with pytest.raises(SpawnError) as refused:
            await at.open("cat", "ann")
        assert refused.value.reason is Reason.MAX_USER_SESSIONS
        assert at.spares() == {"cat": 1}
        spare = at.spare()
        assert await at.open("cat", "bob") == spare


async def test_a_full_server_hands_out_the_spare_that_has_its_last_place() -> None:
    async with here(server(warm=1, max_sessions=1), queue_max=0) as at:
        await at.settled()
        await at.open("cat", "ann")
        assert at.spares() == {}
        with pytest.raises(SpawnError) as refused:
            await at.open("cat", "bob")
        assert refused.value.reason is Reason.MAX_SESSIONS


async def test_spares_give_way_to_who_would_wait_and_no_more_of_them_than_must() -> None:
    async with here(server(warm=2), server("dog"), max_sessions=4, queue_timeout=PATIENCE) as at:
        await at.settled(times=2)
        for _ in range(3):
            await at.open("dog")
        assert at.spares() == {"cat": 1}


async def test_spares_give_up_their_user_ids_to_who_would_have_none() -> None:
    isolation = Isolation.model_validate({"uid_range": "3000000010-3000000011"})
    cat, dog = (server(name, warm, isolation=isolation) for name, warm in (("cat", 2), ("dog", 0)))
    async with here(cat, dog) as at:
        await at.settled(times=2)
        spares = [at.spare(0), at.spare(1)]
        with watching(*spares) as processes:
            opened = [await at.open("dog"), await at.open("dog")]
            for process in processes:
                await process.ended()
        assert not set(opened) & set(spares)
        assert at.spares() == {}
        with pytest.raises(SpawnError) as caught:
            await at.open("dog")
        assert caught.value.reason is Reason.MAX_SESSIONS


async def test_the_last_places_are_kept_for_who_comes() -> None:
    async with here(server(warm=9), max_sessions=3) as at:
        await at.settled(times=2)
        await anyio.wait_all_tasks_blocked()
        assert at.spares() == {"cat": 2}


async def test_a_server_that_is_started_with_a_users_own_has_none() -> None:
    own = server("own", warm=3, env={"USER_OF": mark("user.id")}, command="/bin/true")
    async with here(own, server(warm=1)) as at:
        await at.settled()
        assert at.spares() == {"cat": 1}


async def test_a_server_whose_sessions_are_forks_has_none() -> None:
    async with here(server("forked", warm=3, zygote=True), server(warm=1)) as at:
        await at.settled()
        await anyio.wait_all_tasks_blocked()
        assert at.spares() == {"cat": 1}


async def test_none_is_started_while_sessions_start_on_all_processors() -> None:
    async with here(server(warm=1, max_sessions=9), server("dog")) as at:
        at.children.warming._cores = 2
        await at.settled()
        first = await at.open("dog"), await at.open("dog")
        assert await at.open("cat") not in first
        await anyio.wait_all_tasks_blocked()
        assert at.spares() == {}
        at.children.keep(2, "ready")
        await at.settled(times=2)
        assert at.spares() == {"cat": 1}


async def test_none_is_started_while_a_session_shakes_hands_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "HANDED_FOR", 1000.0)
    async with here(server(warm=1)) as at:
        await at.settled()
        await at.open("cat")
        await anyio.wait_all_tasks_blocked()
        assert at.log.count("spawned cat") == 1
        at.children.keep(1, "ready")
        await at.settled(times=2)


async def test_a_spare_that_dies_is_replaced_and_where_they_keep_dying_they_are_given_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long_after_the_second = property(lambda row: row.last + (1000.0 if row.rounds > 1 else 0.0))
    monkeypatch.setattr(backoff._Row, "due", long_after_the_second)
    async with here(server("dies", warm=1, command="/bin/false")) as at:
        await at.log.said("pid .* of session spare is gone", 2)
        await anyio.wait_all_tasks_blocked()
        assert at.log.count("spawned dies") == 2
        assert at.log.count("WARNING dies pid .* of session spare is gone: child_exited") == 1
        assert "dies" in at.children.warming._again
        await at.open("dies")  # which is not refused: that says nothing of sessions, of which nobody has seen one fail


async def test_what_cannot_be_spawned_is_not_tried_at_once_again() -> None:
    async with here(server("none", warm=1, command="/nowhere"), server(warm=1)) as at:
        await at.settled()
        assert at.log.count("ERROR server none: command_not_found") == 1
        assert at.spares() == {"cat": 1}
        assert at.children.gate.waiting == 0


async def test_no_more_are_started_than_there_is_memory_for() -> None:
    async with here(server(warm=3), warm_memory_max=1 << 20) as at:
        await at.log.said("WARNING server cat: 3 spares would take 192 MiB, and all may have 1; see 'warm_memory_max'")
        await anyio.wait_all_tasks_blocked()
        assert at.spares() == {}


async def test_what_is_above_the_memory_for_all_is_ended() -> None:
    async with here(server(warm=2)) as at:
        await at.settled(times=2)
        budget = at.children.warming._budget()
        at.children.warming._demand("cat").memory = budget
        for spare in at.children.warming._spares.values():
            spare.memory = budget * 2 // 3
        at.children.warming.poke()
        await at.log.said("of session spare is gone: unused")
        assert at.spares() == {"cat": 1}


async def test_a_reload_ends_the_spares_that_are_started_otherwise_and_no_others() -> None:
    async with here(server(warm=1), server("dog", warm=2), server("gone", warm=1)) as at:
        await at.settled()
        await at.settled("dog", 2)
        await at.settled("gone")
        cat, dogs = at.spare(), at.spares()["dog"]
        assert dogs == 2
        servers = at.children._settings.servers
        servers["dog"] = server("dog", warm=2, args=("-u",))
        servers["cat"] = server(warm=2)
        del servers["gone"]
        at.children.warming.use_settings()
        assert at.spares() == {"cat": 1}
        await at.settled("dog", 4)
        await at.settled("cat", 2)
        assert at.spares() == {"cat": 2, "dog": 2}
        assert cat in {each.child.pid for each in at.children.warming._spares.values()}


async def test_a_spare_of_an_older_package_is_not_handed_out_but_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    args: list[str] = []

    def resolve(_: Fetches, spec: ServerSpec) -> ServerSpec:
        return spec.model_copy(update={"args": tuple(args)})

    monkeypatch.setattr(Fetches, "resolve", resolve)
    async with here(server(warm=1)) as at:
        await at.settled()
        with watching(at.spare()) as [older]:
            args.append("-u")
            await at.open("cat")
            await older.ended()
        await at.settled(times=2)
        newer = at.spare()
        assert await at.open("cat") == newer


async def test_without_a_gateway_none_is_started_and_those_that_are_there_stay() -> None:
    async with here(server(warm=2)) as at:
        await at.settled(times=2)
        at.children.warming.pause()
        with watching(at.spare()) as [process]:
            os.kill(at.spare(), signal.SIGKILL)
            await process.ended()
        await at.log.said("of session spare is gone")
        await anyio.wait_all_tasks_blocked()
        assert at.spares() == {"cat": 1}
        assert at.children.leave_alone(orderly=True) == 0
        assert at.spares() == {"cat": 1}
        at.children.warming.resume()
        await at.settled(times=3)


async def test_an_old_spare_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "OLDEST", 0.5)
    async with here(server(warm=1)) as at:
        await at.log.said("of session spare is gone: max_lifetime", 1)
        await at.log.said("spawned cat", 2)
        monkeypatch.setattr(warming, "OLDEST", 1000.0)


async def test_auto_has_one_once_somebody_came() -> None:
    async with here(server(warm="auto")) as at:
        await anyio.wait_all_tasks_blocked()
        assert at.spares() == {}
        cold = await at.open("cat")
        at.children.keep(1, "ready")
        await at.settled()
        assert await at.open("cat") != cold
        assert at.log.count("took a spare of cat") == 1


async def test_who_waited_for_a_place_of_a_users_is_given_a_spare() -> None:
    async with here(server(warm=1, max_user_sessions=1), queue_timeout=PATIENCE) as at:
        await at.settled()
        first = await at.open("cat", "ann")
        await at.settled(times=2)
        spare, got = at.spare(), []

        async def second() -> None:
            got.append(await at.open("cat", "ann"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            at.children.release(1, Reason.CLIENT_CLOSED)
        assert got == [spare]
        assert first != spare
        assert at.children.gate._admission.taken.by_user["ann"] == 1
