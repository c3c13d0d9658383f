"""What judges the project can say no: the fixture that looks for leaks, the chaos, the benchmark."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import connect_and_vanish
from tests import chaos
from tests.support.gateway import ROOT, programs

LEAKS = """
import asyncio, os

def test_of_a_pipe(): os.pipe()
def test_of_a_directory_of_proc(): os.open("/proc/self/task", os.O_RDONLY)
def test_of_a_process(): os.fork() or os._exit(0)
async def test_of_a_task(): keep.append(asyncio.ensure_future(asyncio.sleep(60)))
def test_of_nothing(): os.close(os.open("/proc/self/stat", os.O_RDONLY))

keep = []
"""

ORPHAN = """
import subprocess

def test_of_a_process_that_is_nobodys_child(): subprocess.run(["sh", "-c", "setsid sleep 1000 >&- 2>&- & exit"])
"""


def test_each_kind_of_leak_fails_the_test_that_leaks(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    (tmp_path / "test_orphan.py").write_text(ORPHAN)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-o",
        "anyio_mode=auto",
        "-q",
        "-rA",
        str(tmp_path),
    ]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    failed = {
        line.split("::")[1].split(" ")[0].removesuffix("[asyncio]")
        for line in said.splitlines()
        if line.startswith("ERROR ")
    }
    kinds = ("pipe", "directory_of_proc", "process", "task", "process_that_is_nobodys_child")
    assert failed == {f"test_of_a_{what}" for what in kinds}, said


@pytest.mark.parametrize(
    ("at_the_end", "complaint"),
    [("echo Traceback >&2", "Traceback"), ("setsid sleep 1000 2>/dev/null &", "left behind")],
    ids=["a traceback", "a process"],
)
async def test_what_a_program_does_at_its_very_end_is_seen(at_the_end: str, complaint: str) -> None:
    script = f"trap '{at_the_end}\nexit 0' TERM; echo ready >&2; while :; do sleep 0.1; done"
    with pytest.raises(AssertionError, match=complaint):
        async with programs(["sh", "-c", script]) as program:
            await program.said("ready")


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (chaos.main, ["--scenario", "no such scenario"]),
        (chaos.main, ["--rounds", "0"]),
        (connect_and_vanish.main, ["--cycles", "100", "--step", "100"]),
        (connect_and_vanish.main, ["--step", "0"]),
    ],
)
def test_what_would_judge_nothing_is_refused(
    main: Callable[[Sequence[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err
