"""The comparison runs, from its command to its tables and plots. It is not looked at who is faster."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.compare import options
from benchmarks.programs import OURS, WAYS
from tests.support.gateway import ROOT

PROGRAMS = ("pipe", "ours-http", "supergateway-sse")
"""With all of them the run takes minutes; what scripts/test does not install has no place here."""


def compare(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, and what it said."""
    command = [sys.executable, "-m", "benchmarks.compare", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_programs_run_side_by_side_and_their_figures_are_written_down(tmp_path: Path) -> None:
    done = compare("--small", "--children", "trivial", "--only", ",".join(PROGRAMS), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    cells = {cell["way"]: cell for cell in results["cells"]}
    assert set(cells) == set(PROGRAMS)
    for cell in cells.values():
        assert {"failure", "stopped"}.isdisjoint(cell), done.stdout
        assert [calls["sessions"] for calls in cell["calls"]] == [1, 7]
    assert cells["ours-http"]["calls"][-1]["children"] == 7
    left = {row["way"]: row for row in results["left"]}
    for name in PROGRAMS[1:]:
        assert "failure" not in left[name], done.stdout
        if WAYS[name].program == OURS:
            assert left[name]["killed"]["most"] > 0
            assert left[name]["killed"]["processes"] == 0
    table = (tmp_path / "table.md").read_text()
    assert all(WAYS[name].title in table for name in PROGRAMS)
    assert all((tmp_path / name).stat().st_size > 10_000 for name in figures.PLOTS)
    assert str(Path.home()) not in (tmp_path / "results.json").read_text()


def test_a_program_that_nobody_knows_is_refused_by_its_name() -> None:
    done = compare("--only", "pipe,nonsense")
    assert done.returncode == 1
    assert "there is no program nonsense; there are pipe, ours-http" in done.stderr


def test_the_page_tells_of_each_option() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    told = set(re.findall(r"^\| `(--\w+)", page, re.MULTILINE))
    assert told == set(re.findall(r"--\w+", options().format_usage()))


def test_the_page_tells_of_each_program() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text().partition("## What is compared")[2].partition("\n## ")[0]
    for way in WAYS.values():
        assert way.program.split(" (")[0].split(",")[0] in page
