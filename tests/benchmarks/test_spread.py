"""Medians, spreads and ratios."""

import pytest

from benchmarks.spread import Spread, percentile, ratios, spread


def test_the_spread_is_the_middle_the_least_and_the_most() -> None:
    assert spread([3, 1, 9]) == Spread(3, 1, 9)
    assert spread([]) is None


def test_a_ratio_is_taken_within_a_round_and_only_where_both_have_a_figure() -> None:
    # A machine that was slow in the second round was slow for both.
    assert ratios({1: 2.0, 2: 20.0, 3: 5.0}, {1: 1.0, 2: 10.0}) == [2.0, 2.0]
    assert ratios({1: 2.0}, {1: 0.0}) == []


@pytest.mark.parametrize(("part", "expected"), [(0, 1), (0.5, 51), (0.99, 100), (1, 100)])
def test_a_percentile_is_one_of_the_figures(part: float, expected: int) -> None:
    assert percentile(range(1, 101), part) == expected
    assert percentile([], part) is None
