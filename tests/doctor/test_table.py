"""How findings are shown: never more than was found, and never as markup."""

import io
import re

import pytest

from doctor.client import printable
from doctor.findings import Finding, Verdict
from doctor.strangers import unknown
from doctor.table import show

FINDINGS = [
    Finding("ids", "fs", Verdict.OK, "all [bold]well[/bold]"),
    Finding("crash", "fs", Verdict.FAILED, "it was not " + "so " * 60, "do something"),
    Finding("a" * 30, "s" * 200, Verdict.UNKNOWN, "x" * 300),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(file: io.StringIO) -> list[str]:
    show(FINDINGS, file)
    return file.getvalue().splitlines()


def test_elsewhere_than_on_a_terminal_it_is_a_line_each() -> None:
    assert shown(io.StringIO())[0] == "ok: ids [fs]: all [bold]well[/bold]"
    assert len(shown(io.StringIO())) == 4
    assert shown(io.StringIO())[-1] == "1 ok, 1 cannot tell, 1 failed"


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_on_a_terminal_it_is_a_table_that_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown(Terminal())]
    assert max(map(len, lines)) <= columns
    assert any("[bold]" in line for line in lines)


def test_what_a_gateway_says_moves_no_cursor_and_tells_no_secret() -> None:
    assert printable("a\x1b[2J\nb") == "a�[2J b"
    assert "sk-1234567890abcdef" not in printable("bad key sk-1234567890abcdef")
    assert len(printable("x" * 10_000)) < 300


@pytest.mark.parametrize("id_", ["gw.abcdefghij", "1", "one-for-all", "--------", "gw.AAAAAAAA"])
def test_an_id_that_never_was_looks_like_one_that_is(id_: str) -> None:
    assert unknown(id_) != id_
    assert len(unknown(id_)) == len(id_)
