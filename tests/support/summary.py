"""What tests found out, for the end of the run: properties of their reports, which come from every worker."""

from collections.abc import Callable
from typing import Any

import pytest

Record = Callable[[str, object], None]
"""pytest's `record_property`. What is recorded is a number, a text, or a list or dict of those."""


def recorded(reporter: pytest.TerminalReporter, name: str) -> list[Any]:
    """All that tests have recorded as `name`, in the order in which they ended."""
    reports = (report for each in reporter.stats.values() for report in each)
    properties = (
        each for report in reports if getattr(report, "when", "") == "call" for each in report.user_properties
    )
    return [value for key, value in properties if key == name]


def print_section(reporter: pytest.TerminalReporter, title: str, lines: list[str]) -> None:
    """Print `lines` under `title`."""
    reporter.section(title)
    for line in lines:
        reporter.line(line)
