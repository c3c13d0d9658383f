"""Fetches that take too long, and two supervisors that fetch the same."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from common.config.model import ServerSpec, SupervisorSettings
from common.config.session_paths import mark
from supervisor import fetches
from supervisor.children import Children, running_children
from supervisor.control import Announcer
from supervisor.turns import a_turn
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, watching
from tests.support.specs import server_spec, supervisor_settings


def settings(directory: Path, script: str) -> tuple[SupervisorSettings, ServerSpec]:
    """With one server, which an `npx` that is this script fetches."""
    npx = directory / "npx"
    npx.write_text(f"#!/bin/sh\n{script}\n")
    npx.chmod(0o755)
    spec = server_spec(command=str(npx), args=("-y", "light"))
    return supervisor_settings(spec, caches_dir=str(directory / "caches")), spec


@asynccontextmanager
async def fetching(wanted: SupervisorSettings) -> AsyncIterator[Children]:
    """A table of children whose servers' packages are being fetched."""
    async with grounded(wanted) as (ground, rooms), running_children(wanted, Announcer(), ground, rooms) as children:
        children.fetches.start(wanted)
        yield children


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
            assert await children.fetches.resolve(spec) == spec
            await fetcher.ended()
    os.close(fifo)


async def test_a_session_waits_for_a_fetch_only_as_long_as_a_start_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "PATIENCE", 0.1)
    wanted, spec = settings(tmp_path, "exec sleep 1000")
    async with fetching(wanted) as children:
        with anyio.fail_after(PATIENCE):
            assert await children.fetches.resolve(spec) == spec


async def test_what_another_supervisor_is_fetching_is_not_fetched_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, spec = settings(tmp_path, f"echo ran >> {tmp_path / 'ran'}; exit 1")
    async with fetching(wanted) as children:
        await children.fetches.resolve(spec)
    ran = (tmp_path / "ran").read_text()
    [lock] = (tmp_path / "caches").glob("*.lock")
    fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    monkeypatch.setattr(fetches, "TIMEOUT", 0.3)
    async with fetching(wanted) as children:
        await children.fetches.resolve(spec)
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


async def test_nothing_of_a_users_own_is_there_when_a_package_is_fetched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    wanted, spec = settings(tmp_path, f'{{ echo "== $*"; env; }} >> {out}; exit 1')
    own = {"LANG": mark("user.claim.locale"), "TOKEN": mark("header:X-T")}
    spec = spec.model_copy(update={"env": own, "args": (*spec.args, mark("user.id")), "allow_shared_uid": True})
    values = {"user.claim.locale": "marked", "header:X-T": "marked", "user.id": "marked"}
    async with fetching(wanted.model_copy(update={"servers": {spec.name: spec}})) as children:
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
