"""The list of threats cannot rot: each row names its tests, and these are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| (?!threat |-)", line)]
OF_THE_LIST = """session fixation; guessing; header spoofing; token replay for another audience; DNS rebinding;
request smuggling through odd framing; resource exhaustion by one user; secrets in logs"""


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests in a file, which is read and not run."""
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(each.name for each in tree.body if isinstance(each, kinds) and each.name.startswith("test_"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_each_threat_names_tests_that_there_are(row: str) -> None:
    threat, defence, tests = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert threat
    assert defence
    named = re.fullmatch(r"`[^`]+`(, `[^`]+`)*", tests)
    assert named is not None, tests
    for node in re.findall(r"`([^`]+)`", tests):
        path, _, name = node.partition("::")
        assert name in names_in(path), node


def test_the_threats_that_have_to_be_there_are() -> None:
    threats = " ".join(row.split(" | ")[0] for row in ROWS).lower()
    assert not [each for each in OF_THE_LIST.split(";") if " ".join(each.split()).lower() not in threats]
