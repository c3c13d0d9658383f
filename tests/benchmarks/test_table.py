"""The tables say what was measured, and what was not."""

from typing import Any

from benchmarks import figures, table
from tests.benchmarks.results import cell, results

SHARED = "mcp-proxy-npm-http"
THEIRS = "supergateway-http"
RUN = results(
    cell("ours-http", 1, 0.2),
    cell(THEIRS, 1, 0.6),
    cell("ours-http", 2, 2.0),
    cell(THEIRS, 2, 8.0),
    cell(SHARED, 1, 0.4, own=False),
)


def row(text: str, name: str) -> list[str]:
    """The boxes of a row."""
    [line] = [line for line in text.splitlines() if line.startswith((f"| {name} |", f"| **{name}** |"))]
    return [box.strip() for box in line.strip("|").split("|")][1:]


def test_a_figure_has_its_spread_and_the_ratio_of_each_round() -> None:
    text = table.at_counts(RUN, "ms", figures.processor, [1, 10])
    assert row(text, "mcp-gateway, Streamable HTTP") == ["1.1 (0.20–2.0)"] * 2
    assert row(text, "supergateway (npm), Streamable HTTP") == ["4.3 (0.60–8.0) **3.5×**"] * 2


def test_an_opening_is_the_middle_of_its_cell_and_not_compared_where_no_child_is_started() -> None:
    text = table.openings(RUN)
    assert row(text, "supergateway (npm), Streamable HTTP")[:2] == ["yes", "20.0 (20.0–20.0) **1.0×**"]
    assert row(text, "mcp-proxy (npm), Streamable HTTP")[:2] == ["no", "20.0"]


def test_memory_is_what_each_session_has_added() -> None:
    text = table.at_counts(RUN, "KiB", figures.weight, [10])
    assert row(text, "mcp-proxy (npm), Streamable HTTP") == ["30.0 **1.0×**"]


def test_what_lasts_without_a_session_is_weighed_by_itself() -> None:
    assert figures.by_round(RUN, THEIRS, "trivial", figures.weight(10, "lasting")) == {1: 20.0, 2: 20.0}
    assert figures.by_round(RUN, THEIRS, "trivial", figures.weight(1)) == {}


def test_where_there_is_no_bridge_it_has_no_weight_and_no_time() -> None:
    pipe = cell("pipe", 1, 0.0)
    for calls in pipe["calls"]:
        calls["own"] = {"pss": 0, "uss": 0}
    for pick in (figures.processor(10), figures.weight(10)):
        assert figures.figure(results(pipe), "pipe", "trivial", pick) is None


def test_what_failed_is_a_row_and_a_note_and_no_figure() -> None:
    failed = {"round": 1, "way": "mcpo", "child": "trivial", "failure": "it ended at its start: no such module"}
    text = table.whole(results(cell("ours-http", 1, 0.2), failed))
    assert row(table.at_counts(results(failed), "ms", figures.processor, [1]), "mcpo (PyPI), REST") == ["–"]
    assert "- mcpo (PyPI), REST, a trivial server: it ended at its start: no such module\n" in text


def test_calls_with_an_error_among_them_have_no_figure() -> None:
    broken: dict[str, Any] = cell("ours-http", 1, 0.2)
    broken["calls"][1]["faults"] = {"500": 1}
    broken["stopped"] = {"at": "calls of 10 sessions", "why": "500"}
    assert figures.figure(results(broken), "ours-http", "trivial", figures.processor(1)) is not None
    assert figures.figure(results(broken), "ours-http", "trivial", figures.processor(10)) is None
    assert "stopped at calls of 10 sessions, because: 500" in table.notes(results(broken))


def test_answers_that_went_to_the_wrong_session_are_told() -> None:
    careless = cell("supergateway-sse", 1, 0.2)
    careless["calls"][1]["foreign"] = 9
    assert "sessions were sent the answers to other sessions' calls" in table.notes(results(careless))
    assert table.notes(RUN) == ""


def test_what_is_left_behind_is_counted() -> None:
    gone = {"opened": 20, "most": 80, "processes": 0, "descriptors": 0}
    killed = {"opened": 20, "most": 80, "processes": 20}
    run = results(
        cell(THEIRS, 1, 0.2),
        left=(
            {"way": THEIRS, "sessions": 20, "vanished": gone, "killed": killed},
            {"way": "mcpo", "sessions": 20, "failure": "mcpo is not installed from PyPI"},
        ),
    )
    text = table.left(run)
    assert row(text, "supergateway (npm), Streamable HTTP") == ["80", "0", "0", "80", "20"]
    assert row(text, "mcpo (PyPI), REST")[0] == "mcpo is not installed from PyPI"


def test_a_number_has_as_many_digits_as_mean_something() -> None:
    assert [table.number(each) for each in (0.0123, 0.123, 1.23, 12.34, 1234.5)] == [
        "0.012",
        "0.12",
        "1.2",
        "12.3",
        "1,234",
    ]


def test_the_summary_has_a_line_for_each_program() -> None:
    text = table.summary(RUN)
    assert row(text, "supergateway (npm), Streamable HTTP")[2] == "4.3 (3.5×)"
    assert len(text.splitlines()) == 2 + 3
