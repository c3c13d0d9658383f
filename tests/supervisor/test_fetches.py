"""What is fetched when, what an earlier run has left, and who is told to come again."""

import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from common.config.model import ServerSpec, SupervisorSettings
from common.config.session_paths import mark
from common.reasons import Reason
from supervisor import fetches
from supervisor.children import Children, running_children
from supervisor.control import Announcer
from supervisor.environment import SpawnError
from supervisor.fetching import is_there
from supervisor.installation import Installation
from supervisor.turns import a_turn
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, watching
from tests.support.specs import server_spec, supervisor_settings

FETCHES = """
echo ran >> "$(dirname "$0")/ran"
modules=$npm_config_cache/_npx/0123/node_modules
mkdir -p "$modules/.bin" "$modules/light"
if [ -p "$(dirname "$0")/pid" ]; then echo $$ > "$(dirname "$0")/pid"; sleep 1000; fi
echo '{"packages": {}}' > "$modules/.package-lock.json"
echo '{"bin": "x.js"}' > "$modules/light/package.json"
cp /bin/true "$modules/.bin/light"
PATH=$modules/.bin:$PATH
printf %s "$PATH"
exit 0
"""
"""What npx does, as far as it matters; where there is a fifo `pid`, it stops half-way."""


def settings(directory: Path, script: str, package: str = "light") -> tuple[SupervisorSettings, ServerSpec]:
    """With one server, which an `npx` that is this script fetches."""
    npx = directory / "npx"
    npx.write_text(f"#!/bin/sh\n{script}\n")
    npx.chmod(0o755)
    spec = server_spec(command=str(npx), args=("-y", package))
    return supervisor_settings(spec, caches_dir=str(directory / "caches")), spec


@asynccontextmanager
async def fetching(wanted: SupervisorSettings) -> AsyncIterator[Children]:
    """A table of children whose servers' packages are being fetched."""
    async with grounded(wanted) as (ground, rooms), running_children(wanted, Announcer(), ground, rooms) as children:
        children.fetches.start(wanted)
        yield children


async def settled(children: Children, spec: ServerSpec) -> None:
    """Wait until the package of `spec` is there, or cannot be had."""
    with anyio.fail_after(PATIENCE):
        await children.fetches.wait_for_any({spec.name})


async def renewed(children: Children) -> None:
    """Wait until nothing is fetched any more."""
    with anyio.fail_after(PATIENCE):
        await children.fetches.all_done()


async def told(fifo: int) -> int:
    """The number that somebody writes."""
    with anyio.fail_after(PATIENCE):
        await anyio.wait_readable(fifo)
    return int(os.read(fifo, 100))


async def test_a_fetch_that_takes_too_long_is_ended_and_its_server_started_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "TIMEOUT", 2.0)
    os.mkfifo(tmp_path / "pid")
    fifo = os.open(tmp_path / "pid", os.O_RDWR | os.O_NONBLOCK)
    wanted, spec = settings(tmp_path, f"echo $$ > {tmp_path / 'pid'}; exec sleep 1000")
    async with fetching(wanted) as children:
        with watching(await told(fifo)) as [fetcher], anyio.fail_after(PATIENCE):
            await settled(children, spec)
            assert children.fetches.resolve(spec) == spec
            await fetcher.ended()
    os.close(fifo)


async def test_a_session_is_refused_while_its_package_is_fetched_and_nobody_waits(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, "exec sleep 1000")
    async with fetching(wanted) as children:
        with pytest.raises(SpawnError) as caught:
            children.fetches.resolve(spec)
        assert (caught.value.reason, caught.value.retry_after) == (Reason.INSTALLING, fetches.COME_AGAIN)
        assert children.fetches.missing() == {"light": [spec.name]}


async def test_what_an_earlier_run_has_fetched_is_there_at_once_and_nothing_is_run_for_it(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES)
    async with fetching(wanted) as children:
        await settled(children, spec)
        first = children.fetches.resolve(spec)
    assert Path(first.command).is_relative_to(tmp_path / "caches")
    ran = (tmp_path / "ran").read_text()
    async with fetching(wanted) as children:
        assert children.fetches.missing() == {}
        assert children.fetches.resolve(spec) == first
        assert children.fetches.running() == []
    assert (tmp_path / "ran").read_text() == ran


async def test_a_newer_version_is_fetched_behind_the_older_one_and_is_for_those_who_come_later(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES, "light@latest")
    async with fetching(wanted) as children:
        await settled(children, spec)
        older = children.fetches.resolve(spec).command
    async with fetching(wanted) as children:
        assert children.fetches.missing() == {}
        assert children.fetches.resolve(spec).command == older
        await renewed(children)
        newer = children.fetches.resolve(spec).command
        assert newer != older
        assert os.access(older, os.X_OK)  # a session may be running from it
    async with fetching(wanted) as children:
        await renewed(children)
        assert not os.access(older, os.F_OK)  # no session of that run can be left
        assert os.access(newer, os.X_OK)


async def test_what_cannot_be_fetched_again_is_started_as_it_was_before(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES, "light@latest")
    async with fetching(wanted) as children:
        await settled(children, spec)
        older = children.fetches.resolve(spec)
    settings(tmp_path, "exit 1", "light@latest")
    async with fetching(wanted) as children:
        await renewed(children)
        assert children.fetches.resolve(spec) == older


async def test_two_commands_of_one_package_are_fetched_once(tmp_path: Path) -> None:
    script = FETCHES.replace('"$modules/.bin/light"', '"$modules/.bin/light"; cp /bin/true "$modules/.bin/more"')
    wanted, spec = settings(tmp_path, script)
    more = spec.model_copy(update={"name": "more", "args": ("-y", "-p", "light", "more")})
    wanted = wanted.model_copy(update={"servers": {spec.name: spec, more.name: more}})
    async with fetching(wanted) as children:
        await renewed(children)
        commands = {Path(children.fetches.resolve(each).command) for each in (spec, more)}
        assert {each.name for each in commands} == {"light", "more"}
        assert len({each.parent for each in commands}) == 1
    assert (tmp_path / "ran").read_text() == "ran\n"


async def test_a_reload_while_packages_are_installed_is_no_reason_to_wait_for_ever(tmp_path: Path) -> None:
    wanted, _ = settings(tmp_path, "exec sleep 1000")
    async with fetching(wanted) as children:
        installation = Installation(children.fetches, 1000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(installation.run, "info")
            await anyio.wait_all_tasks_blocked()
            none = supervisor_settings(server_spec("other"))
            children.fetches.prepare(none)
            children.fetches.use(none)
            await anyio.wait_all_tasks_blocked()
            assert not installation.over.is_set()
            with anyio.fail_after(PATIENCE):
                await children.fetches.stop()
                await installation.over.wait()


async def test_what_a_killed_fetch_leaves_is_not_taken_and_is_cleared_away(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES)
    os.mkfifo(tmp_path / "pid")
    fifo = os.open(tmp_path / "pid", os.O_RDWR | os.O_NONBLOCK)
    async with fetching(wanted):
        await told(fifo)
    os.close(fifo)
    (tmp_path / "pid").unlink()
    [half_made] = (tmp_path / "caches" / "packages").glob("npx-*/at-*")
    settings(tmp_path, FETCHES)
    async with fetching(wanted) as children:
        assert children.fetches.missing() == {"light": [spec.name]}
        await settled(children, spec)
        assert os.access(children.fetches.resolve(spec).command, os.X_OK)
    assert not half_made.exists()


async def test_what_was_fetched_before_needs_no_tool_any_more(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES)
    assert not is_there(spec, wanted, os.environ)
    async with fetching(wanted) as children:
        await settled(children, spec)
    (tmp_path / "npx").unlink()
    assert is_there(spec, wanted, os.environ)
    assert not is_there(server_spec(command="light"), wanted, os.environ)


async def test_a_place_from_which_another_supervisor_starts_children_is_not_cleared(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES, "light@latest")
    async with fetching(wanted) as older:
        await settled(older, spec)
        started_from = older.fetches.resolve(spec).command
        async with fetching(wanted) as newer:
            await renewed(newer)
            assert newer.fetches.resolve(spec).command != started_from
        async with fetching(wanted) as newest:
            await renewed(newest)
        assert os.access(started_from, os.X_OK)
    async with fetching(wanted) as later:
        await renewed(later)
    assert not os.access(started_from, os.X_OK)


async def test_nobody_else_can_write_to_what_was_fetched(tmp_path: Path) -> None:
    wanted, spec = settings(tmp_path, FETCHES)
    before = os.umask(0o077)
    try:
        async with fetching(wanted) as children:
            await settled(children, spec)
    finally:
        os.umask(before)
    caches = tmp_path / "caches"
    for path in (caches, *caches.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert not mode & (stat.S_IWGRP | stat.S_IWOTH), path
            assert mode & stat.S_IROTH or path.name.endswith(".lock"), path


async def test_what_another_supervisor_is_fetching_is_not_fetched_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, spec = settings(tmp_path, f"echo ran >> {tmp_path / 'ran'}; exit 1")
    async with fetching(wanted) as children:
        await settled(children, spec)
    ran = (tmp_path / "ran").read_text()
    [lock] = (tmp_path / "caches").glob("packages/*.lock")
    fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    monkeypatch.setattr(fetches, "TIMEOUT", 0.3)
    async with fetching(wanted) as children:
        await settled(children, spec)
    assert (tmp_path / "ran").read_text() == ran
    os.close(fd)


async def test_a_turn_comes_when_the_one_before_is_over(tmp_path: Path) -> None:
    order: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def second() -> None:
            async with a_turn(tmp_path / "lock"):
                order.append("second")

        with anyio.fail_after(PATIENCE):
            async with a_turn(tmp_path / "lock"):
                tasks.start_soon(second)
                await anyio.wait_all_tasks_blocked()
                order.append("first")
    assert order == ["first", "second"]


async def test_npm_is_told_not_to_wait_long_for_a_registry_that_is_not_there_unless_somebody_says_otherwise(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    wanted, spec = settings(tmp_path, f"env >> {out}; exit 1")
    other = spec.model_copy(update={"name": "other", "env": {"NPM_CONFIG_FETCH_RETRY_MINTIMEOUT": "7"}})
    async with fetching(wanted) as children:
        await settled(children, spec)
    assert "npm_config_fetch_retry_mintimeout=1000\n" in out.read_text()
    assert "npm_config_fetch_retry_maxtimeout=4000\n" in out.read_text()
    out.unlink()
    async with fetching(wanted.model_copy(update={"servers": {other.name: other}})) as children:
        await settled(children, other)
    assert "NPM_CONFIG_FETCH_RETRY_MINTIMEOUT=7\n" in out.read_text()
    assert "npm_config_fetch_retry_mintimeout" not in out.read_text()


async def test_nothing_of_a_users_own_is_there_when_a_package_is_fetched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    wanted, spec = settings(tmp_path, f'{{ echo "== $*"; env; }} >> {out}; exit 1')
    own = {"LANG": mark("user.claim.locale"), "TOKEN": mark("header:X-T")}
    spec = spec.model_copy(update={"env": own, "args": (*spec.args, mark("user.id")), "allow_shared_uid": True})
    values = {"user.claim.locale": "marked", "header:X-T": "marked", "user.id": "marked"}
    async with fetching(wanted.model_copy(update={"servers": {spec.name: spec}})) as children:
        await settled(children, spec)
        with anyio.fail_after(PATIENCE):
            child, stdin, stdout = await children.open(spec.name, "test", values=values)
            await child.wait_for_leader()
        os.close(stdin)
        os.close(stdout)
    *fetched, started = out.read_text().split("== ")[1:]
    assert fetched
    assert not any("marked" in each for each in fetched)
    assert started.startswith("-y light marked\n")
    assert "TOKEN=marked" in started
