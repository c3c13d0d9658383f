"""The table of what crosses is whole, and the page shows it."""

import itertools
import subprocess
import sys

from tests.matrix.cells import CHILDREN, CLIENTS, FEATURES, LOSSES, NOT, YES, rows
from tests.matrix.checks import BUT, UNKNOWN, WORKS
from tests.support.gateway import ROOT


def test_every_client_every_child_and_every_feature_is_in_the_table() -> None:
    assert [(row.client, row.child) for row in rows()] == list(itertools.product(CLIENTS, CHILDREN))
    assert all(tuple(row.outcomes) == FEATURES for row in rows())


def test_every_outcome_is_checked() -> None:
    outcomes = {(feature, outcome) for row in rows() for feature, outcome in row.outcomes.items()}
    assert {outcome for _, outcome in outcomes} - {YES, NOT} == LOSSES.keys() == BUT.keys()
    assert {feature for feature, outcome in outcomes if outcome == NOT} == UNKNOWN.keys()
    assert tuple(WORKS) == FEATURES


def test_the_page_shows_the_table() -> None:
    printed = subprocess.run([sys.executable, str(ROOT / "scripts" / "matrix"), "--check"], check=False)
    assert printed.returncode == 0, "scripts/matrix prints it again"
