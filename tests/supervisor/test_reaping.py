"""Which of the three modes is chosen, and why another one is not to be had."""

import os
import random
from pathlib import Path

import pytest

from supervisor import cgroups, reaping
from supervisor.reaping import Reaping, ReapingError, choose, find_programs
from supervisor.wrapper import Inside
from tests.support.parents import NOBODY, as_user


def a_run() -> int:
    return random.SystemRandom().randrange(1, 1 << 31)


def with_programs(directory: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """A machine that has only these of the programs that wrap."""
    there = find_programs()
    for name in names:
        (directory / name).symlink_to(there[name])
    monkeypatch.setattr(reaping, "_PATH", str(directory))
    monkeypatch.setattr(reaping, "SHIM", directory / "mcp-shim")


def remove(chosen: Reaping) -> None:
    if chosen.run is not None:
        chosen.run.everything().remove()


def test_the_programs_are_looked_for_where_the_system_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_programs()
    assert {"sh", "setpriv", "unshare"} <= found.keys()
    assert not found["sh"].startswith(str(tmp_path))


def test_a_program_that_is_not_there_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_programs(tmp_path, monkeypatch, "sh", "setpriv")
    assert find_programs() == {"sh": str(tmp_path / "sh"), "setpriv": str(tmp_path / "setpriv")}


def test_tags_can_always_be_had() -> None:
    chosen = choose("tagged", a_run())
    assert (chosen.mode, chosen.inside, chosen.run) == ("tagged", Inside.NOTHING, None)


def test_a_cgroup_is_taken_where_it_is_asked_for() -> None:
    chosen = choose("cgroup", a_run())
    assert chosen.mode == "cgroup"
    assert chosen.inside is Inside.NOTHING
    assert chosen.run is not None
    assert chosen.run.path.is_dir()
    remove(chosen)


def test_root_makes_plain_namespaces() -> None:
    chosen = choose("namespace", a_run())
    assert (chosen.mode, chosen.inside, chosen.run) == ("namespace", Inside.NAMESPACE, None)


def test_another_user_makes_them_in_a_user_namespace() -> None:
    assert as_user(NOBODY, lambda: choose("namespace", 1).inside.name) == "USER_NAMESPACE"


def test_a_cgroup_that_nobody_delegated_is_not_taken_by_itself() -> None:
    chosen = choose("auto", a_run())
    assert chosen.mode == "namespace"


def test_a_delegated_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = choose("cgroup", a_run())
    assert parent.run is not None
    os.setxattr(parent.run.path, "trusted.delegate", b"1")
    monkeypatch.setattr(cgroups, "own_cgroup", lambda: parent.run.path)
    chosen = choose("auto", a_run())
    assert chosen.mode == "cgroup"
    assert chosen.run is not None
    assert chosen.run.path.parent == parent.run.path
    remove(parent)


def test_without_unshare_tags_are_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_programs(tmp_path, monkeypatch, "sh", "setpriv")
    assert choose("auto", a_run()).mode == "tagged"


def test_where_no_namespace_can_be_had_the_error_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_programs(tmp_path, monkeypatch, "sh", "setpriv")
    with pytest.raises(ReapingError, match=r"^reaping: namespace: this process may make no PID namespace, or unshare"):
        choose("namespace", a_run())


@pytest.mark.parametrize("says", ["exit 1", "echo /proc/1 /proc/2 /proc/3", "exec sleep 1000"])
def test_an_unshare_that_does_not_work_is_none(says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_programs(tmp_path, monkeypatch, "sh", "setpriv")
    (tmp_path / "unshare").write_text(f"#!/bin/sh\n{says}\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setattr(reaping, "_PROBE_TIMEOUT", 0.5)
    assert choose("auto", a_run()).mode == "tagged"


def test_an_unshare_that_is_no_program_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_programs(tmp_path, monkeypatch, "sh", "setpriv")
    (tmp_path / "unshare").write_text("#!/no/such/interpreter\n")
    (tmp_path / "unshare").chmod(0o755)
    assert choose("auto", a_run()).mode == "tagged"


def test_where_no_cgroup_can_be_had_the_error_says_why() -> None:
    said = as_user(NOBODY, lambda: choose("cgroup", 1).mode)
    assert said.startswith("reaping: cgroup: no cgroups can be made in ")
    assert said.endswith("(Permission denied); under systemd the unit needs Delegate=yes")
