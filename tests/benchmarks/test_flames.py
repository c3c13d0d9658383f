"""A recording of both programs under load, and the reason where there can be none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import flames
from benchmarks.flames import PROGRAMS, Plan, profile, py_spy, why_not
from benchmarks.programs import NotInstalled
from benchmarks.running import Failed
from benchmarks.stacks import PARTS
from tests.support.gateway import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("door", flames.DOORS)
def test_both_programs_are_recorded_while_sessions_call(door: str, tmp_path: Path) -> None:
    profiles = profile(door, Plan(sessions=3, seconds=2, directory=tmp_path))
    gateway = profiles["gateway"]
    assert sum(gateway.parts.values()) == pytest.approx(1)
    assert gateway.parts["HTTP"] > 0
    assert gateway.per_call > profiles["supervisor"].per_call
    for name in PROGRAMS:
        assert (tmp_path / f"{door}-{name}.svg").read_text().startswith("<?xml")


def test_where_nobody_may_look_into_a_process_it_is_said_what_that_takes(tmp_path: Path) -> None:
    # Without its capabilities not even root may look into a process that has them.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    record = [str(py_spy()), "record", "--pid", str(os.getpid()), "--output", str(tmp_path / "none.svg")]
    done = subprocess.run(
        [*powerless, *record], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode != 0
    assert why_not(done.stdout).endswith("it takes root, or CAP_SYS_PTRACE")


def test_where_no_priority_may_be_given_it_is_said_what_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(Failed, match="it takes CAP_SYS_NICE"), flames._ahead([os.getpid()]):
        pytest.fail("goes on without")


def test_without_py_spy_it_is_said_that_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(NotInstalled, match="py-spy is not installed"):
        py_spy()


def test_another_failure_of_py_spy_is_told_in_its_own_words() -> None:
    assert why_not("starting\nError: no such process\n\nStack backtrace:\n 0: main") == "Error: no such process"
    assert why_not("starting\nkilled\n\n") == "killed"
    assert why_not("") == "py-spy said nothing"


def test_a_door_that_nobody_knows_is_refused_by_its_name() -> None:
    with pytest.raises(SystemExit, match="there is no door window; there are http, rest, sse"):
        flames.main(["--doors", "http,window"])


def test_the_parts_are_those_that_the_page_tells_of() -> None:
    page = (ROOT / "docs" / "speed.md").read_text()
    assert all(f"| {part} |" in page for part in PARTS if part != "supervisor")
