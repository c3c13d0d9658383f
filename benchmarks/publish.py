"""The last table and plots, as they stand in README.md and docs/benchmarks.md, between their markers."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, table
from benchmarks.children import ROOT

BEGIN: Final = "<!-- The table is scripts/bench's. -->\n"
END: Final = "<!-- End of the table. -->\n"


def publish(results: Mapping[str, Any], directory: Path, root: Path = ROOT) -> None:
    """Write the summary into README.md, all tables into docs/benchmarks.md, and the plots into docs/images."""
    images = root / "docs" / "images"
    images.mkdir(exist_ok=True)
    for name in figures.PLOTS:
        if (directory / name).exists():
            shutil.copyfile(directory / name, images / name)
    _write(root / "README.md", table.summary(results))
    _write(root / "docs" / "benchmarks.md", table.whole(results))


def _write(page: Path, text: str) -> None:
    page.write_text(between(page.read_text(), text))


def between(page: str, text: str) -> str:
    """The page with `text` between its markers. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the table")
    return f"{before}{begin}\n{text}\n{end}{after}"
