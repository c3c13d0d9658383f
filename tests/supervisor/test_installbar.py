"""What a terminal shows while packages are installed."""

import io
import re
import sys
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from supervisor.fetches import Fetches
from supervisor.installbar import drawn
from tests.support.processes import PATIENCE

NAMES = ["@modelcontextprotocol/server-everything", "@modelcontextprotocol/server-sequential-thinking"]


class Terminal(io.StringIO):
    """Keeps what is written, and says when the names were."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = anyio.Event()

    def write(self, text: str) -> int:
        if "@mo" in text:
            self.drawn.set()
        return super().write(text)


@pytest.mark.parametrize("columns", [52, 80, 200])
async def test_names_that_are_too_long_for_the_terminal_leave_room_for_bar_number_and_time(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    monkeypatch.setenv("COLUMNS", str(columns))
    fetches: Any = SimpleNamespace(missing=lambda: {name: ["one"] for name in NAMES}, running=lambda: NAMES)
    async with drawn(cast("Fetches", fetches), "info"):
        with anyio.fail_after(PATIENCE):
            await terminal.drawn.wait()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", terminal.getvalue())]
    shown = [line for line in lines if line.strip()]
    assert shown
    for line in shown:
        assert re.match(r"installing packages +[━╸╺]{4,} +0/2 +0:00:\d\d", line), shown
        assert len(line) <= columns
