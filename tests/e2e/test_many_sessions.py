"""What the benchmark of many sessions finds, with few of them: no error, nothing left, hardly a wake-up."""

from pathlib import Path

import pytest

from benchmarks.sessions import Plan, Report, main, measure

SMALL = Plan(sessions=20, active=5, calls=3, pace=0.05, rate=100, reaping="tagged", quiet=1.0)

WAKEUPS = 20.0
"""A second, of both programs together, while nobody does anything; half of them are the supervisor's glances."""


@pytest.mark.slow
@pytest.mark.parametrize("streams", [False, True])
async def test_sessions_are_opened_used_and_ended_without_an_error(tmp_path: Path, *, streams: bool) -> None:
    plan = Plan(**{**vars(SMALL), "streams": streams})
    said: list[str] = []
    report = await measure(plan, tmp_path, said.append)
    assert report.wrong == []
    assert report.opened == list(range(2, 21, 2))
    assert len(report.end_cpu) == 10
    assert said[0].startswith("sessions")
    assert any("15 calls of 5 sessions" in line for line in said)
    assert sum(report.wakeups) < WAKEUPS


def test_what_is_wrong_is_said() -> None:
    assert Report(errors=["call: 500"], left=2, descriptors=(0, 3)).wrong == [
        "1 errors, the first: call: 500",
        "2 processes are left",
        "descriptors are left: (0, 3)",
    ]
    assert Report(descriptors=(0, -1)).wrong == []


@pytest.mark.parametrize("arguments", [["--sessions", "0"], ["--rate", "0"], ["--calls", "0"]])
def test_a_plan_that_would_measure_nothing_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err
