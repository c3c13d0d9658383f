"""What a run stands on is made at once, and taken back."""

import dataclasses
import os
import random
from pathlib import Path

import pytest

from common.config.model import Isolation, Limits, Sandbox, ServerSpec, SupervisorSettings
from common.reasons import Reason
from supervisor import cgroups, ground, reaping
from supervisor.cgroups import Leaf, own_cgroup
from supervisor.environment import SpawnError
from supervisor.ground import GroundError, prepare
from supervisor.ledger import Ledger, Run, dead_runs, this_boot
from supervisor.placing import Placer
from supervisor.reaping import Reaping, Wanted, choose
from supervisor.rooms import Room
from supervisor.users import Identity
from supervisor.wiping import NotWiped
from supervisor.wrapper import Inside
from tests.support.specs import server_spec, supervisor_settings


def spec(sandbox: Sandbox | None = None, limits: Limits | None = None) -> ServerSpec:
    return server_spec(limits=limits or Limits(), isolation=Isolation(sandbox=sandbox))


def settings(directory: Path, wanted: Wanted = "tagged", server: ServerSpec | None = None) -> SupervisorSettings:
    return supervisor_settings(server or spec(), reaping=wanted, runtime_dir=str(directory / "run"))


def runs_here() -> set[str]:
    """The cgroups of runs in our own."""
    return {path.name for path in own_cgroup().glob("run-*")}


@pytest.mark.parametrize("wanted", ["cgroup", "namespace", "tagged"])
async def test_what_is_made_for_a_run_is_taken_back(wanted: Wanted, tmp_path: Path) -> None:
    before = runs_here()
    made = prepare(settings(tmp_path, wanted))
    assert made.reaping.mode == wanted
    assert made.ledger.run.boot == this_boot()
    assert (made.ledger.run.cgroup is not None) is (wanted == "cgroup")
    await made.sweep(lambda _: None)  # which leaves a run that lives alone
    assert len(list(made.runtime.iterdir())) == 1
    made.close()
    assert list(made.runtime.iterdir()) == []
    assert runs_here() == before


def test_each_run_has_a_number_of_its_own(tmp_path: Path) -> None:
    one, two = prepare(settings(tmp_path)), prepare(settings(tmp_path))
    assert one.ledger.run.installation != two.ledger.run.installation
    one.close()
    two.close()


async def test_a_ground_sweeps_what_earlier_runs_left(tmp_path: Path) -> None:
    made = prepare(settings(tmp_path))
    os.close(Ledger(made.runtime, Run(1, this_boot(), rooms="/rooms/1"))._fd)
    wiped: list[Path] = []
    await made.sweep(wiped.append)
    assert wiped == [Path("/rooms/1")]
    made.close()


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    with pytest.raises(GroundError, match=r"is open to others; close it"):
        prepare(settings(tmp_path))


def test_a_mode_that_cannot_be_had_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "_PATH", "/nowhere")
    monkeypatch.setattr(reaping, "SHIM", tmp_path / "mcp-shim")
    with pytest.raises(GroundError, match="^reaping: namespace: "):
        prepare(settings(tmp_path, "namespace"))


def test_a_ledger_that_cannot_be_kept_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs_here()
    monkeypatch.setattr(ground, "runtime_directory", lambda _: tmp_path / "missing")
    with pytest.raises(GroundError, match="^no ledger can be kept in .*: No such file or directory$"):
        prepare(settings(tmp_path, "cgroup"))
    assert runs_here() == before


def test_a_cgroup_in_which_something_lives_keeps_no_run_from_closing_and_is_the_next_starts(
    tmp_path: Path,
) -> None:
    made = prepare(settings(tmp_path))
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup" / "file").touch()
    run = cgroups.Run(tmp_path / "cgroup", frozenset())
    dataclasses.replace(made, reaping=dataclasses.replace(made.reaping, run=run)).close()
    assert [dead.run for dead in dead_runs(made.runtime)] == [made.ledger.run]


# Places.

ROOM = Room(Path("/room"))
TAGGED = Reaping("tagged", {"sh": "/bin/sh", "bwrap": "/usr/bin/bwrap"})


def test_a_place_is_what_the_mode_gives() -> None:
    place = Placer(TAGGED, 1024).place(spec(), 1, ROOM)
    assert place.leaf is None
    assert place.wrapping.inside is Inside.NOTHING
    assert place.wrapping.soft_open_files == 1024
    place.clear()
    namespace = dataclasses.replace(TAGGED, mode="namespace", inside=Inside.NAMESPACE)
    assert Placer(namespace, 1024).place(spec(), 1, ROOM).wrapping.inside is Inside.NAMESPACE


def test_a_sandbox_comes_before_the_mode(tmp_path: Path) -> None:
    namespace = dataclasses.replace(TAGGED, mode="namespace", inside=Inside.NAMESPACE)
    wrapping = Placer(namespace, 1024, (tmp_path,)).place(spec(Sandbox()), 1, ROOM).wrapping
    assert wrapping.inside is Inside.BUBBLEWRAP
    assert str(tmp_path) in wrapping.sandbox
    assert "/room" in wrapping.sandbox


def test_a_sandbox_is_not_told_of_what_its_user_cannot_get_to(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    places = ((closed / "run", Path("/usr/run")), closed / "cache")
    own = Placer(TAGGED, 1024, *places).place(spec(Sandbox()), 1, ROOM).wrapping.sandbox
    assert {str(closed / "run"), "/usr/run", str(closed / "cache")} < set(own)
    others = Placer(TAGGED, 1024, *places).place(spec(Sandbox()), 1, dataclasses.replace(ROOM, identity=Identity(7, 7)))
    assert not [each for each in others.wrapping.sandbox if each.startswith(str(closed))]
    assert "/usr/run" in others.wrapping.sandbox


@pytest.mark.parametrize(("wanted", "expected"), [(None, None), (64, 64)])
def test_open_files_are_limited_as_far_as_the_supervisor_is(wanted: int | None, expected: int | None) -> None:
    wrapping = Placer(TAGGED, 1024).place(spec(limits=Limits(open_files_max=wanted)), 1, ROOM).wrapping
    assert wrapping.open_files == expected


def test_a_place_in_a_cgroup_has_a_leaf_until_it_is_cleared() -> None:
    chosen = choose("cgroup", random.randrange(1, 1 << 31))
    assert chosen.run is not None
    place = Placer(chosen, 1024).place(spec(), 7, ROOM)
    assert isinstance(place.leaf, Leaf)
    assert place.wrapping.cgroup == str(chosen.run.path / "7" / "cgroup.procs")
    with pytest.raises(SpawnError) as caught:
        Placer(chosen, 1024).place(spec(), 7, ROOM)
    assert caught.value.reason is Reason.SPAWN_FAILED
    assert caught.value.message == "server 'fs' could not be started"
    assert "no cgroup for it" in caught.value.detail
    place.clear()
    assert not place.leaf.path.exists()
    chosen.run.everything().remove()


def test_a_leaf_that_cannot_be_limited_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = choose("cgroup", random.randrange(1, 1 << 31))
    assert chosen.run is not None

    def fail(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Leaf, "limit", fail)
    with pytest.raises(SpawnError):
        Placer(chosen, 1024).place(spec(), 7, ROOM)
    assert [each.name for each in chosen.run.path.iterdir() if each.is_dir()] == []
    chosen.run.everything().remove()


async def test_rooms_that_could_not_be_wiped_are_the_next_starts(tmp_path: Path) -> None:
    base = tmp_path / "run-1"
    base.mkdir()
    made = prepare(settings(tmp_path), base)
    made.close(all_wiped=False)
    asked: list[Path] = []

    def fail(rooms: Path) -> None:
        asked.append(rooms)
        raise NotWiped("not yet")

    following = prepare(settings(tmp_path))
    await following.sweep(fail)
    await following.sweep(asked.append)
    await following.sweep(asked.append)
    assert asked == [base, base]
    following.close()
