"""What the doctor finds: one row for each thing that was looked at. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What came of a look; the value is the word that the operator reads."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    WARNING = "warning"
    UNKNOWN = "cannot tell"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` says what was seen, `remedy` what to do about it. Neither ever holds a secret."""

    check: str
    server: str
    verdict: Verdict
    seen: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """For scripts; the keys are part of the interface."""
        return {
            "check": self.check,
            "server": self.server,
            "result": self.verdict.value,
            "seen": self.seen,
            "remedy": self.remedy,
        }


def exit_status(findings: Iterable[Finding], *, strict: bool = False) -> int:
    """1 where something failed; with `strict`, 2 where something is doubtful or could not be looked at; else 0."""
    verdicts = {each.verdict for each in findings}
    if Verdict.FAILED in verdicts:
        return 1
    if strict and verdicts & {Verdict.WARNING, Verdict.UNKNOWN}:
        return 2
    return 0
