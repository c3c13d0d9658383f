"""Findings as a person reads them: a table on a terminal, plain lines elsewhere. What is printed is never markup."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final, TextIO

from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from rich.text import Text

from doctor.findings import Finding, Verdict

_STYLES: Final = {
    Verdict.OK: "green",
    Verdict.NOTE: "cyan",
    Verdict.WARNING: "yellow",
    Verdict.UNKNOWN: "yellow",
    Verdict.FAILED: "bold red",
}

_WIDE: Final = 120
_NARROW: Final = (13, 12, 7)
"""Columns of a terminal, and what the first three of the table may have of fewer."""


def show(findings: Sequence[Finding], file: TextIO) -> None:
    """Print them, as wide as the terminal is; elsewhere a line each, for grep(1)."""
    is_terminal = file.isatty()
    console = Console(file=file, highlight=False, markup=False, emoji=False, no_color="NO_COLOR" in os.environ or None)
    if is_terminal:
        console.print(_table(findings, console.width))
    else:
        for each in findings:
            print(_line(each), file=file)
    print(summary(findings), file=file)


def _table(findings: Sequence[Finding], width: int) -> Table:
    table = Table(box=HORIZONTALS, pad_edge=False, expand=False)
    widths = _NARROW if width < _WIDE else (None, None, None)
    for heading, most in zip(("check", "server", "result"), widths, strict=True):
        table.add_column(heading, max_width=most, overflow="fold")
    table.add_column("what was seen, and what to do", overflow="fold")
    for each in findings:
        seen = Text(each.seen)
        if each.remedy:
            seen.append(f"\n→ {each.remedy}", style="italic")
        table.add_row(Text(each.check), Text(each.server), Text(each.verdict, style=_STYLES[each.verdict]), seen)
    return table


def _line(finding: Finding) -> str:
    where = f"{finding.check} [{finding.server}]" if finding.server else finding.check
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.verdict.value}: {where}: {finding.seen}{remedy}"


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many of each."""
    counts = Counter(each.verdict for each in findings)
    return ", ".join(f"{counts[each]} {each.value}" for each in Verdict if counts[each]) or "nothing was looked at"
