"""A program that fails is a row that says why, and never a figure."""

import sys
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import cell as cells
from benchmarks.cell import Amounts, measure
from benchmarks.children import CHILDREN
from benchmarks.programs import WAYS, NotInstalled, Start

AMOUNTS = Amounts(alone=1, counts=(1, 6), calls=10, warm_up=0)

# It answers so many calls as it should, over REST, and the others not at all.
TIRED = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    left = int(sys.argv[2])
    def do_POST(self):
        said = self.rfile.read(int(self.headers["Content-Length"]))
        Handler.left -= 1
        self.send_response(200 if Handler.left >= 0 else 500)
        self.end_headers()
        self.wfile.write(said if Handler.left >= 0 else b"tired")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def tired(after: int) -> dict[str, Any]:
    """The cell of a program that answers `after` calls."""

    def command(start: Start) -> list[str]:
        return [sys.executable, "-c", TIRED, str(start.port), str(after)]

    return measure(replace(WAYS["mcpo"], command=command), CHILDREN["trivial"], AMOUNTS)


def test_a_program_that_ends_at_its_start_says_why() -> None:
    way = replace(WAYS["mcpo"], command=lambda _: ["sh", "-c", "echo no such module >&2; exit 1"])
    cell = measure(way, CHILDREN["trivial"], AMOUNTS)
    assert cell == {"way": "mcpo", "child": "trivial", "failure": "it ended at its start: no such module"}


def test_a_program_that_is_not_installed_says_so() -> None:
    def command(_: Start) -> list[str]:
        raise NotInstalled("mcpo is not installed from PyPI")

    cell = measure(replace(WAYS["mcpo"], command=command), CHILDREN["trivial"], AMOUNTS)
    assert cell["failure"] == "mcpo is not installed from PyPI"


def test_a_program_that_serves_no_session_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "START_PATIENCE", 0.5)
    assert tired(0) == {"way": "mcpo", "child": "trivial", "failure": "500 tired"}


def test_a_program_that_fails_on_its_way_is_measured_as_far_as_it_got() -> None:
    cell = tired(1 + 10 + 5)  # the first session, its calls, and five more sessions
    assert cell["stopped"] == {"at": "calls of 6 sessions", "why": "500 tired"}
    first, last = cell["calls"]
    assert first["calls"] == 10
    assert first["faults"] == {}
    assert last["calls"] == 0
    assert set(last["faults"]) == {"500 tired"}


def test_the_pipe_itself_is_measured_as_any_other() -> None:
    cell = measure(WAYS["pipe"], CHILDREN["trivial"], AMOUNTS)
    assert "failure" not in cell
    assert "stopped" not in cell
    assert [calls["calls"] for calls in cell["calls"]] == [10, 6]
    assert len(cell["open"]["four"]["times"]) == 4
