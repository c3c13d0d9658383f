"""Prints the suite's counts at the end of the tests, and in continuous integration that way."""

import pytest

from tests.conformance.counts import Counts, Findings, table
from tests.support.summary import print_section, recorded

COUNTS = "conformance"
"""What came of a leg, for the summary: its row in the table, its counts, and whether anything was unexpected."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the counts, if there are any."""
    found = recorded(terminalreporter, COUNTS)
    if found:
        rows = [(*row, Findings(Counts(*counts), (), unexpected, "")) for row, counts, unexpected in found]
        print_section(terminalreporter, "conformance: checks of the official suite", table(rows))
