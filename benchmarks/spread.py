"""Medians, spreads and ratios. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The middle of some figures, the least and the greatest."""

    median: float
    least: float
    most: float

    def __truediv__(self, factor: float) -> "Spread":
        return Spread(self.median / factor, self.least / factor, self.most / factor)


def spread(figures: Iterable[float]) -> Spread | None:
    """The spread of `figures`, None if there are none."""
    found = list(figures)
    return Spread(statistics.median(found), min(found), max(found)) if found else None


def ratios(theirs: Mapping[int, float], ours: Mapping[int, float]) -> Sequence[float]:
    """How many times ours theirs is, round by round: what disturbed a round has disturbed both.

    A round in which one of them has no figure, or ours is nothing, is left out.
    """
    return [theirs[each] / ours[each] for each in sorted(theirs) if ours.get(each)]


def percentile(figures: Sequence[float], part: float) -> float | None:
    """The figure that `part` (0 to 1) of all are below of, None if there are none."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None
