"""LibreChat reads error texts: some words in them have it give up a connection, or tell the user of a failed login."""

import ast
import re
from collections.abc import Iterator

import pytest

from common.reasons import Reason
from gateway.errors import ended, mebibytes
from tests.support.gateway import ROOT

RAISING = {"GatewayError", "bad_request", "ended", "not_found", "refused"}
WORDS = re.compile(r"\b401\b|\b429\b|oauth|authentication|too many requests|invalid_token|invalid_grant", re.IGNORECASE)

ABOUT_LOGINS = {"identity", "guards.py"}
"""Where errors are about exactly that."""


def sentences() -> Iterator[str]:
    """All texts that stand in the making of an error, with the file."""
    for path in (ROOT / "gateway").rglob("*.py"):
        if ABOUT_LOGINS & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in RAISING:
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path.name}: {part.value}"


def test_no_error_is_taken_for_a_failed_login_or_a_refusal_for_the_rate() -> None:
    found = list(sentences())
    assert len(found) > 50
    assert [each for each in found if WORDS.search(each)] == []


@pytest.mark.parametrize("reason", Reason)
def test_no_end_of_a_session_is_told_in_such_words(reason: Reason) -> None:
    assert not WORDS.search(ended(reason, "light", "; see the log").message)


def test_a_size_is_told_in_mebibytes() -> None:
    assert [mebibytes(size) for size in (401, 401_000, 6 << 20)] == ["0.00 MiB", "0.38 MiB", "6.00 MiB"]
