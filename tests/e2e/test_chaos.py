"""Nothing is left of servers that misbehave on purpose, in whatever way their sessions end."""

from dataclasses import asdict
from pathlib import Path

import pytest

from tests.e2e.conftest import CHAOS
from tests.support.chaos import MODES, SCENARIOS, Scenario, play
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
