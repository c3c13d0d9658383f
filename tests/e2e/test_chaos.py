"""Nothing is left of servers that misbehave on purpose, in whatever way their sessions end."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.e2e.conftest import CHAOS
from tests.support.chaos import MODES, SCENARIOS, Scenario, play
from tests.support.storm import ENDS, rage
from tests.support.summary import Record

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("leaves_empty_cgroups")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_nothing_is_left_of_rogues(
    scenario: Scenario, mode: str, tmp_path: Path, record_property: Record
) -> None:
    rows = await play(scenario, mode, tmp_path)
    for row in rows:
        record_property(CHAOS, asdict(row))
    assert all(row.started > 0 for row in rows)
    assert [row for row in rows if row.left] == []


@pytest.mark.usefixtures("leaves_empty_cgroups")
@pytest.mark.parametrize(
    ("mode", "programs"),
    [(mode, programs) for mode in MODES for programs in (ENDS if mode == "tagged" else (ENDS[0], ENDS[-1]))],
    ids=lambda each: each if isinstance(each, str) else " and ".join(each) or "none",
)
async def test_kills_at_random_moments_cost_no_session_but_their_own_and_nothing_is_left(
    mode: str, programs: tuple[str, ...], tmp_path: Path
) -> None:
    seed = int.from_bytes(os.urandom(2), "big")  # which a failure shows
    tally = await rage(mode, tmp_path, seed, 1.5, *programs)
    assert tally.killed.total() > 0
    assert sum(tally.opened.values()) > 0
    assert (tally.wrong, tally.left) == ([], []), tally
