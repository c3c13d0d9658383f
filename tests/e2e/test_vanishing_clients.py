"""Clients that connect and vanish leave no process, no descriptor and no memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.connect_and_vanish import FLAT, Memory, Sample, vanish, verdict

FLAT_ENOUGH = 16 * 1024
"""Bytes for each cycle, where so few cycles leave pools and caches half full. One session has more than that."""


@pytest.mark.slow
async def test_nothing_is_left_of_clients_that_vanish(tmp_path: Path) -> None:
    samples = await vanish(tmp_path, 150, 50)
    assert [sample.cycles for sample in samples] == [0, 50, 100, 150]
    assert verdict(samples, FLAT_ENOUGH) == []


AT_FIRST = Sample(0, 0, (3, 7, 9), Memory(40, 30, 20), Memory(60, 50, 40))
HALF_WAY = replace(AT_FIRST, cycles=100, gateway=Memory(90, 80, 70))
AT_LAST = replace(HALF_WAY, cycles=200)


def test_what_is_there_at_the_end_as_it_was_at_first_is_well() -> None:
    assert verdict([AT_FIRST, HALF_WAY, AT_LAST]) == []


def test_what_is_left_is_said() -> None:
    grown = Memory(90, 80, 70 + 100 * FLAT + 100)
    worse = replace(AT_LAST, processes=1, descriptors=(3, 8, 9), gateway=grown)
    assert verdict([AT_FIRST, HALF_WAY, worse]) == [
        "1 processes are left",
        "descriptors went from (3, 7, 9) to (3, 8, 9)",
        f"the gateway's memory grows by {FLAT + 1} bytes a cycle",
    ]
