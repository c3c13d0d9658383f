"""Prints the suite's counts at the end of the tests, and in continuous integration that way."""

import pytest

from tests.conformance.counts import Row, table

COUNTS = pytest.StashKey[list[Row]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the counts, if there are any."""
    rows = terminalreporter.config.stash.get(COUNTS, [])
    if rows:
        terminalreporter.section("conformance: checks of the official suite")
        for line in table(rows):
            terminalreporter.line(line)
