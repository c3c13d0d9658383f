"""What became of each server, as a person reads it: a table, and beneath it what is wrong."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from doctor.client import printable
from gateway.catalog.offers import Offer


class State(StrEnum):
    """What became of a server."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    OFF = "off"


@dataclass(frozen=True)
class Row:
    """One server: its `offer`, or `what` is the matter, with the `lines` that its child wrote last."""

    server: str
    state: State
    offer: Offer | None = None
    what: str = ""
    lines: Sequence[str] = ()


_STYLES: Final = {State.OK: "green", State.FAILED: "bold red", State.SKIPPED: "yellow", State.OFF: "dim"}
_NUMBERS: Final = ("tools", "resources", "prompts", "start")
_NAME: Final = 32
"""Columns that a server's name may take: as long as one may be."""


def console(file: TextIO) -> Console:
    """Where to print: in colour on a terminal alone, and there not with NO_COLOR."""
    return Console(file=file, highlight=False, markup=False, emoji=False, no_color="NO_COLOR" in os.environ or None)


def show(rows: Sequence[Row], file: TextIO) -> None:
    """Print the table, and what is to be said of servers that are not well."""
    out = console(file)
    table = Table(box=None, pad_edge=False)
    table.add_column("server", max_width=_NAME, overflow="fold")
    table.add_column("state")
    for heading in _NUMBERS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.server, Text(row.state, style=_STYLES[row.state]), *_numbers(row.offer))
    out.print(table)
    told = [row for row in rows if row.what]
    if told:
        out.print()
    for row in told:
        out.print(f"{row.server}: {printable(row.what)}", soft_wrap=True)
        for line in row.lines:
            out.print(f"    {printable(line)}", soft_wrap=True, style="dim")


def _numbers(offer: Offer | None) -> tuple[str, ...]:
    if offer is None:
        return ("-",) * len(_NUMBERS)
    return (str(len(offer.tools)), str(len(offer.resources)), str(len(offer.prompts)), f"{offer.took:.2f} s")


@contextmanager
def progress(total: int, file: TextIO) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, and nothing elsewhere; what it yields is told of each server that is done with."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console(file), transient=True, disable=not file.isatty()) as bar:
        task = bar.add_task("starting the servers", total=total)

        def tell(server: str) -> None:
            bar.update(task, advance=1, description=server)

        yield tell
