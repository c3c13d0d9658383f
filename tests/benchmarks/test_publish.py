"""The tables get into the pages, and nothing else changes there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, table
from benchmarks.publish import BEGIN, END, between, publish
from tests.benchmarks.results import cell, results
from tests.support.gateway import ROOT

RUN = results(cell("ours-http", 1, 0.2), cell("supergateway-http", 1, 0.6))


def test_only_what_is_between_the_markers_changes() -> None:
    page = f"before\n{BEGIN}old\n{END}after\n"
    assert between(page, "new") == f"before\n{BEGIN}\nnew\n{END}after\n"
    assert between(between(page, "new"), "new") == between(page, "new")


def test_a_page_without_a_place_is_not_written() -> None:
    with pytest.raises(ValueError, match="no place"):
        between("a page", "new")


def again(run: dict[str, Any], directory: Path) -> None:
    """Tables and plots of a run once more, by a process of their own: what draws them keeps fonts open."""
    (directory / "results.json").write_text(json.dumps(run))
    command = [sys.executable, "-m", "benchmarks.compare", "--again", "--output", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.slow
def test_pages_and_plots_are_published(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/benchmarks.md"):
        (tmp_path / page).write_text(f"{BEGIN}{END}")
    results_directory = tmp_path / "results"
    results_directory.mkdir()
    again(RUN, results_directory)
    publish(RUN, results_directory, tmp_path)
    assert table.summary(RUN) in (tmp_path / "README.md").read_text()
    assert table.whole(RUN) in (tmp_path / "docs" / "benchmarks.md").read_text()
    for name in figures.PLOTS:
        assert (tmp_path / "docs" / "images" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_plots_of_nothing_are_not_drawn(tmp_path: Path) -> None:
    again(results(), tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["results.json", "table.md"]


def test_the_projects_own_pages_have_their_places() -> None:
    for page in ("README.md", "docs/benchmarks.md"):
        between((ROOT / page).read_text(), "")
