"""The table of children, below the test's own process."""

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from common.config.model import Isolation, ServerSpec
from common.config.session_paths import mark
from common.prctl import prctl
from common.reasons import Reason
from supervisor import meter
from supervisor.cgroups import Leaf
from supervisor.children import running_children
from supervisor.control import Announcer
from supervisor.environment import SpawnError
from supervisor.placing import Place
from supervisor.protocol import Exit, FromSupervisor, Gone
from supervisor.spawn import run_helper
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, complaints, watching
from tests.support.specs import server_spec, supervisor_settings

PR_SET_CHILD_SUBREAPER = 36
GET_AWAY = "prlimit --rttime=unlimited: setsid --fork env -i sh -c 'echo $$ > {}; exec sleep 1000'; exec cat"


def server(command: str, *args: str, name: str = "") -> ServerSpec:
    """One with this command."""
    return server_spec(name or command, command=command, args=args)


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Orphans below the test become its children, as those below the supervisor do."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


@pytest.mark.usefixtures("subreaper")
@pytest.mark.parametrize("while_it_lives", [True, False])
async def test_where_tags_are_not_sealed_who_takes_off_every_mark_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, while_it_lives: bool
) -> None:
    # A look in between would end it before it has said who it is.
    monkeypatch.setattr(meter, "MANY_TASKS", 1 << 30)
    monkeypatch.setattr(meter, "INTERVAL", 1.0 if while_it_lives else 1e9)
    os.mkfifo(tmp_path / "pid")
    told = os.open(tmp_path / "pid", os.O_RDWR | os.O_NONBLOCK)
    spec = server("sh", "-c", GET_AWAY.format(tmp_path / "pid"))
    settings = supervisor_settings(spec, max_sessions=1)
    async with grounded(settings, sealed=False) as (ground, rooms):
        async with running_children(settings, Announcer(), ground, rooms) as children:
            await anyio.wait_all_tasks_blocked()  # the first look is over
            child, stdin, stdout = await children.open("sh", "test")
            with anyio.fail_after(PATIENCE):
                await anyio.wait_readable(told)
            with watching(int(os.read(told, 100))) as [stray]:
                if not while_it_lives:
                    children.release(child.lease, Reason.CLIENT_CLOSED)
                await stray.ended()
            os.close(stdin)
            os.close(stdout)
        assert children.outlived == 0
    os.close(told)


@pytest.mark.usefixtures("subreaper")
async def test_who_hid_from_the_look_that_found_its_tree_empty_is_killed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing below may hide: this one is started by hand, with the tag of a session that is gone."""
    monkeypatch.setattr(meter, "INTERVAL", 0.05)
    settings = supervisor_settings(server("cat"))
    gone = anyio.Event()

    def hear(message: FromSupervisor) -> None:
        if isinstance(message, Gone):
            gone.set()

    async with grounded(settings) as (ground, rooms), running_children(settings, hear, ground, rooms) as children:
        first, *pipes = await children.open("cat", "gone")
        _, *others = await children.open("cat", "stays")
        for fd in pipes:
            os.close(fd)
        with anyio.fail_after(PATIENCE), complaints() as complained:
            await gone.wait()
            late = run_helper(["sleep", "1000"], os.environ, first.tree.tag, tmp_path, (2, 2), ground.reaping.programs)
            with watching(late.pid) as [hidden]:
                await complained.wait()
                await hidden.ended()
            late.returncode = 0
        assert children.outlived == 1
        for fd in others:
            os.close(fd)


async def test_a_room_that_cannot_be_made_costs_nobody_else_a_place(tmp_path: Path) -> None:
    spec = server("cat")
    settings = supervisor_settings(spec, max_sessions=1, queue_max=0)
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
    ):
        base, away = rooms.base, rooms.base.with_name("away")
        base.rename(away)
        with pytest.raises(SpawnError) as caught:
            await children.open("cat", "test")
        assert caught.value.reason is Reason.ROOM_FAILED
        away.rename(base)
        _, *pipes = await children.open("cat", "test")
        for fd in pipes:
            os.close(fd)


@pytest.mark.slow
async def test_who_waits_for_a_server_that_goes_out_of_the_configuration_is_told(tmp_path: Path) -> None:
    settings = supervisor_settings(server("cat"), server("cat", name="dog"), max_sessions=1, queue_timeout=2)
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
        anyio.create_task_group() as tasks,
    ):
        child, *pipes = await children.open("cat", "first")

        async def wait() -> None:
            with pytest.raises(SpawnError) as caught:
                await children.open("dog", "second")
            assert caught.value.reason is Reason.SERVER_NOT_FOUND

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        del settings.servers["dog"]
        children.release(child.lease, Reason.CLIENT_CLOSED)
        for fd in pipes:
            os.close(fd)


async def test_a_server_whose_package_is_not_there_yet_is_refused_at_once_and_takes_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = supervisor_settings(server("cat"), max_sessions=1)
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
    ):

        def refuse(spec: ServerSpec) -> ServerSpec:
            raise SpawnError(Reason.INSTALLING, f"the package of {spec.name} is to come", "", 5)

        monkeypatch.setattr(children.fetches, "resolve", refuse)
        for _ in range(2):
            with pytest.raises(SpawnError) as caught:
                await children.open("cat", "test")
            assert caught.value.reason is Reason.INSTALLING
        monkeypatch.undo()
        _, *pipes = await children.open("cat", "test")
        for fd in pipes:
            os.close(fd)


async def test_a_server_that_changes_while_somebody_waits_for_a_place_is_started_as_it_is_then() -> None:
    settings = supervisor_settings(server("cat"), max_sessions=1)
    changed = server("cat").model_copy(update={"args": ("-u",)})
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
        anyio.create_task_group() as tasks,
    ):
        first, *pipes = await children.open("cat", "first")

        async def wait() -> None:
            second, *own = await children.open("cat", "second")
            assert second.spec == changed
            pipes.extend(own)

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        settings.servers["cat"] = changed
        children.release(first.lease, Reason.CLIENT_CLOSED)
        for fd in pipes:
            os.close(fd)
        pipes.clear()
    for fd in pipes:
        os.close(fd)


async def test_what_a_child_says_of_the_variables_that_it_inherits_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUE_TOKEN", "quite-private")
    script = server("sh", "-c", "echo got $ISSUE_TOKEN >&2; echo")
    spec = script.model_copy(update={"isolation": Isolation(inherit_env=("ISSUE_TOKEN",))})
    settings = supervisor_settings(spec, max_sessions=1)
    gone = anyio.Event()
    told: list[Gone] = []

    def announce(message: FromSupervisor) -> None:
        if isinstance(message, Gone):
            told.append(message)
            gone.set()

    async with grounded(settings) as (ground, rooms), running_children(settings, announce, ground, rooms) as children:
        _, *pipes = await children.open("sh", "test")
        with anyio.fail_after(PATIENCE):
            await gone.wait()
        for fd in pipes:
            os.close(fd)
    assert told[0].certificate.stderr == ("got [redacted]",)


@pytest.mark.parametrize(("reason", "limit"), [(None, Reason.TASKS_MAX), (Reason.IDLE_TIMEOUT, None)])
async def test_a_fork_that_was_refused_explains_no_end_that_we_brought_about(
    reason: Reason | None, limit: Reason | None, tmp_path: Path
) -> None:
    (tmp_path / "pids.events").write_text("max 3\n")
    settings = supervisor_settings(server("cat"), max_sessions=1)
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
    ):
        child, *pipes = await children.open("cat", "test")
        child.reason = reason
        child.place = Place(child.place.wrapping, Leaf(tmp_path))
        assert children._limit_hit(child, Exit(code=1)) is limit
        (tmp_path / "pids.events").unlink()
        (tmp_path / "memory.events").mkdir()  # whatever cannot be read says nothing
        assert children._limit_hit(child, Exit(code=1)) is None
        child.place = Place(child.place.wrapping, None)
        child.reason = None
        for fd in pipes:
            os.close(fd)


async def test_a_server_whose_users_own_others_could_read_is_not_started_and_health_says_why() -> None:
    env = {"T": mark("header:X-T")}
    spec = server("cat").model_copy(update={"env": env})
    settings = supervisor_settings(spec, server("true"), reaping="tagged")
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
    ):
        with pytest.raises(SpawnError) as refused:
            await children.open("cat", "test", values={"header:X-T": "secret"})
        assert refused.value.reason is Reason.SHARED_UID
        failing = {name: each.failing for name, each in children.report(1).servers.items()}
        assert failing["cat"].startswith("other processes of its user could read")
        assert failing["true"] == ""


async def test_without_what_is_its_users_own_a_child_is_not_started_and_costs_nobody_a_place() -> None:
    spec = server("cat").model_copy(update={"env": {"T": mark("header:X-T")}, "allow_shared_uid": True})
    settings = supervisor_settings(spec, max_sessions=1, queue_max=0)
    async with (
        grounded(settings) as (ground, rooms),
        running_children(settings, Announcer(), ground, rooms) as children,
    ):
        for values in ({}, {"header:X-T": "a\0b"}, {"header:x-t": "secret"}):
            for _ in range(3):
                with pytest.raises(SpawnError) as refused:
                    await children.open("cat", "test", values=values)
                assert refused.value.reason in (Reason.CREDENTIAL_MISSING, Reason.CREDENTIAL_MALFORMED)
        child, stdin, stdout = await children.open("cat", "test", values={"header:X-T": "secret"})
        assert child.spec.env == {"T": "secret"}
        os.close(stdin)
        os.close(stdout)
