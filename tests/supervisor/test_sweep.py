"""The first thing that a supervisor does: end what its own last runs left, and nothing else."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from supervisor import sweep as module
from supervisor.cgroups import own_cgroup, prepare
from supervisor.ledger import Ledger, Run, this_boot
from supervisor.spawn import _inherited_tag
from supervisor.sweep import sweep
from supervisor.tags import TOKEN, make_tag, token
from supervisor.tree import CensusTaker
from tests.support.processes import PATIENCE


def a_run() -> int:
    """The number of a run that nobody else has."""
    return random.SystemRandom().randrange(1, 1 << 31)


def files(directory: Path) -> list[str]:
    """The names in it."""
    return sorted(path.name for path in directory.iterdir())


def died(directory: Path, run: Run, leader: int | None = None) -> None:
    """A run that ended without warning, and had started `leader`."""
    written = Ledger(directory, run)
    if leader is not None:
        written.born(1, leader)
    os.close(written._fd)


@contextmanager
def survivor(
    tag: int | None = None, environment: Mapping[str, str] | None = None, script: str = "echo up; exec sleep 1000"
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lives on, in a session of its own, and bears these marks."""
    command = ["/bin/sh", "-c", script]
    with _inherited_tag(tag if tag is not None else -1):
        process = subprocess.Popen(command, env=environment or {}, stdout=subprocess.PIPE, start_new_session=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


async def swept(directory: Path) -> tuple[int, list[Path]]:
    """How many were ended, and which rooms wiped."""
    wiped: list[Path] = []
    with anyio.fail_after(PATIENCE):
        return await sweep(directory, CensusTaker(), wiped.append), wiped


async def test_what_bears_the_tag_is_ended(tmp_path: Path) -> None:
    run = Run(a_run(), this_boot())
    died(tmp_path, run)
    with survivor(make_tag(run.installation, 3)) as left:
        assert await swept(tmp_path) == (1, [])
        assert left.wait(PATIENCE) == -signal.SIGKILL
    assert files(tmp_path) == []


async def test_what_bears_only_the_token_is_ended(tmp_path: Path) -> None:
    run = Run(a_run(), this_boot())
    died(tmp_path, run)
    with survivor(environment={TOKEN: token(make_tag(run.installation, 3))}) as left:
        assert await swept(tmp_path) == (1, [])
        assert left.wait(PATIENCE) == -signal.SIGKILL


async def test_a_leader_that_took_off_both_is_ended(tmp_path: Path) -> None:
    with survivor() as left:
        died(tmp_path, Run(a_run(), this_boot()), left.pid)
        assert await swept(tmp_path) == (1, [])
        assert left.wait(PATIENCE) == -signal.SIGKILL


async def test_a_stranger_survives(tmp_path: Path) -> None:
    died(tmp_path, Run(a_run(), this_boot()))
    with survivor() as plain, survivor(make_tag(a_run(), 1)) as of_another_run:
        assert await swept(tmp_path) == (0, [])
        assert plain.poll() is of_another_run.poll() is None


async def test_what_a_run_that_lives_has_started_survives(tmp_path: Path) -> None:
    run = Run(a_run(), this_boot())
    living = Ledger(tmp_path, run)
    with survivor(make_tag(run.installation, 3)) as its_own:
        assert await swept(tmp_path) == (0, [])
        assert its_own.poll() is None
    living.close()


async def test_a_tree_that_is_left_is_ended_to_the_last(tmp_path: Path) -> None:
    run = Run(a_run(), this_boot())
    died(tmp_path, run)
    script = "trap '' TERM; for i in 1 2 3 4 5; do setsid sleep 1000 & done; echo up; wait"
    with survivor(make_tag(run.installation, 3), script=script) as left:
        found, _ = await swept(tmp_path)
        assert found >= 6
        assert left.wait(PATIENCE) == -signal.SIGKILL


async def test_of_another_boot_nothing_can_live(tmp_path: Path) -> None:
    with survivor() as stranger:
        died(tmp_path, Run(a_run(), "another boot", rooms="/the/rooms"), stranger.pid)
        assert await swept(tmp_path) == (0, [Path("/the/rooms")])
        assert stranger.poll() is None
    assert files(tmp_path) == []


async def test_the_rooms_of_every_dead_run_are_wiped(tmp_path: Path) -> None:
    died(tmp_path, Run(1, this_boot(), rooms="/rooms/1"))
    died(tmp_path, Run(2, this_boot(), rooms="/rooms/2"))
    assert await swept(tmp_path) == (0, [Path("/rooms/1"), Path("/rooms/2")])


async def test_the_cgroups_of_a_dead_run_are_emptied_and_removed(tmp_path: Path) -> None:
    installation = a_run()
    cgroups = prepare(own_cgroup(), installation)
    leaf = cgroups.leaf(1)
    died(tmp_path, Run(installation, this_boot(), str(cgroups.path)))
    with survivor(script=f"echo 0 > {leaf.procs}; echo up; exec sleep 1000") as left:
        await swept(tmp_path)
        assert left.wait(PATIENCE) == -signal.SIGKILL
    assert not cgroups.path.exists()


async def test_what_cannot_be_ended_keeps_nobody_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    (tmp_path / "cgroup" / "in use").mkdir(parents=True)
    (tmp_path / "cgroup" / "file").touch()  # no cgroup has that, and so it cannot be removed
    died(tmp_path, Run(1, this_boot(), str(tmp_path / "cgroup"), rooms="/rooms/1"))
    died(tmp_path, Run(2, this_boot(), rooms="/rooms/2"))
    assert await swept(tmp_path) == (0, [Path("/rooms/2")])
    assert (tmp_path / "1.ledger").exists()


async def test_a_directory_without_ledgers_is_nothing_to_sweep(tmp_path: Path) -> None:
    assert await swept(tmp_path) == (0, [])
