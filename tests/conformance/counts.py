"""What the suite found, counted, and what was expected of it (pure)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PASSED: Final = "SUCCESS"
FAILED: Final = "FAILURE"
WARNED: Final = "WARNING"


@dataclass(frozen=True, order=True)
class Complaint:
    """A check that failed, or that warns: the suite's own names for it, and what it says."""

    scenario: str
    check: str
    status: str
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.scenario}:{self.check}: {self.message}"


@dataclass(frozen=True)
class Counts:
    """The checks of a leg, by what came of them. What the suite skipped, or only remarks, does not count."""

    passed: int
    failed: int
    warned: int

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.warned} warnings"


@dataclass(frozen=True)
class Findings:
    """All that came of one run of the suite. `unexpected` is the suite's own verdict, stale expectations included."""

    counts: Counts
    complaints: Sequence[Complaint]
    unexpected: bool
    output: str


def count(checks: Mapping[str, bytes]) -> tuple[Counts, list[Complaint]]:
    """The content of each scenario's `checks.json`, counted. Raises ValueError where one is not a list of checks."""
    counted: Counter[str] = Counter()
    complaints = []
    for scenario, content in checks.items():
        for check in _checks(scenario, content):
            counted[check["status"]] += 1
            if check["status"] in (FAILED, WARNED):
                complaints.append(Complaint(scenario, check["id"], check["status"], check.get("errorMessage", "")))
    return Counts(counted[PASSED], counted[FAILED], counted[WARNED]), sorted(complaints)


def _checks(scenario: str, content: bytes) -> list[dict[str, Any]]:
    checks = json.loads(content)
    if not isinstance(checks, list) or not all(isinstance(each, dict) and "status" in each for each in checks):
        raise ValueError(f"{scenario}: not a list of checks")
    return checks


Row = tuple[str, str, str, Findings]
"""Who was asked, through what, at which revision, and what came of it."""


def table(rows: Iterable[Row]) -> list[str]:
    """The lines of a table of counts."""
    head = f"{'server':<22}{'reached':<10}{'revision':<12}{'passed':>8}{'failed':>8}{'warnings':>10}"
    lines = [head, "-" * len(head)]
    for server, reached, revision, found in rows:
        start = f"{server:<22}{reached:<10}{revision:<12}"
        counts = found.counts
        note = "  unexpected" if found.unexpected else ""
        lines.append(f"{start}{counts.passed:>8}{counts.failed:>8}{counts.warned:>10}{note}")
    return lines
