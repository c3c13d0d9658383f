"""A line on the terminal that says what is being installed. Imported only where there is one: see `installation`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TextIO

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from common import logs
from supervisor.fetches import Fetches

_GLANCE: Final = 0.1
"""Seconds between two drawings: the eye sees no difference."""


class _Console(Console):
    """One that does not hide the cursor: nobody would show it again after SIGKILL."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002 - as the library has it
        return False


class _Above:
    """Where log lines go while the bar is drawn: above it."""

    def __init__(self, console: Console, terminal: TextIO) -> None:
        self._console = console
        self._terminal = terminal

    def write(self, text: str) -> None:
        """Print `text`, colours and all."""
        self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def flush(self) -> None:
        """Nothing is kept back."""
        self._terminal.flush()

    def isatty(self) -> bool:
        """So that the lines are in colour where they would be otherwise."""
        return self._terminal.isatty()


@asynccontextmanager
async def drawn(fetches: Fetches, level: str) -> AsyncIterator[None]:
    """Draw what `fetches` does until the context ends; then nothing of it is left on the terminal.

    It is drawn from the event loop: a thread would be one too many in a process that forks.
    """
    terminal = sys.stderr
    console = _Console(file=terminal, highlight=False, markup=False, emoji=False)
    bar = Progress(
        TextColumn("installing packages", markup=False),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        # The names get what the others leave, so that it is they that a narrow terminal cuts off.
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        expand=True,
    )
    total = len(fetches.missing())
    with bar:
        task = bar.add_task("", total=total)
        logs.setup("supervisor", level, _Above(console, terminal))
        try:
            async with anyio.create_task_group() as tasks:

                async def draw() -> None:
                    while True:
                        missing = fetches.missing()
                        doing = ", ".join(sorted(missing.keys() & set(fetches.running())))
                        bar.update(task, completed=max(0, total - len(missing)), description=doing)
                        bar.refresh()
                        await anyio.sleep(_GLANCE)

                tasks.start_soon(draw, name="draw what is being installed")
                yield
                tasks.cancel_scope.cancel()
        finally:
            logs.setup("supervisor", level)
