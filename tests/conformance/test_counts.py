"""The suite's results are counted as the suite counts them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.counts import Complaint, Counts, Findings, count, table
from tests.conformance.suite import scenario_of


def checks(*of: dict[str, Any]) -> bytes:
    return json.dumps(of).encode()


def test_checks_are_counted_by_what_came_of_them() -> None:
    counts, complaints = count(
        {
            "ping": checks({"id": "ping", "status": "SUCCESS"}, {"id": "seen", "status": "INFO"}),
            "tools": checks({"id": "list", "status": "SUCCESS"}, {"id": "new", "status": "SKIPPED"}),
            "polling": checks(
                {"id": "retry", "status": "WARNING", "errorMessage": "no retry"},
                {"id": "closes", "status": "FAILURE", "errorMessage": "still open"},
            ),
        }
    )
    assert counts == Counts(passed=2, failed=1, warned=1)
    assert complaints == [
        Complaint("polling", "closes", "FAILURE", "still open"),
        Complaint("polling", "retry", "WARNING", "no retry"),
    ]


@pytest.mark.parametrize("content", [b"{}", b"[1]", b'[{"id": "no status"}]'])
def test_what_is_no_list_of_checks_is_no_result(content: bytes) -> None:
    with pytest.raises(ValueError, match="ping: not a list of checks"):
        count({"ping": content})


def test_a_results_directory_tells_the_scenario() -> None:
    path = Path("results/server-server-sse-polling-2026-11-21T10-06-09-053Z/checks.json")
    assert scenario_of(path) == "server-sse-polling"


def test_the_table_has_a_row_for_each_leg() -> None:
    found = Findings(Counts(81, 1, 2), [], unexpected=True, output="")
    as_expected = Findings(Counts(84, 0, 0), [], unexpected=False, output="")
    rows = [("one", "gateway", "2025-11-25", found), ("two", "directly", "2025-11-25", as_expected)]
    head, line, gateway, direct = table(rows)
    assert head.split() == ["server", "reached", "revision", "passed", "failed", "warnings"]
    assert set(line) == {"-"}
    assert gateway.split() == ["one", "gateway", "2025-11-25", "81", "1", "2", "unexpected"]
    assert direct.split() == ["two", "directly", "2025-11-25", "84", "0", "0"]
