"""Placeholders of a user's own: their marks, and what a value may be."""

import pytest

from common.config import session_paths
from common.config.session_paths import mark
from common.personal import MAX_TOGETHER, MAX_VALUE, are_too_long, fault, fill, placeholders, said

TOKEN, USER = "header:X-Token", "user.id"


def test_the_names_are_found_each_once_and_no_others() -> None:
    text = f"{mark(USER)}/{mark('session.dir')}{mark(TOKEN)} ${{user.id}} {mark(USER)}"
    assert placeholders(text, mark("user.claim.mail")) == (USER, TOKEN, "user.claim.mail")
    assert placeholders("user.id", "", "${header:X}") == ()


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    values = {USER: "${header:X-Token} header:X-Token $${user.id}", TOKEN: "user.id"}
    assert fill(f"{mark(USER)}|{mark(TOKEN)}", values) == f"{values[USER]}|user.id"


def test_what_stands_between_two_marks_is_not_taken_for_one() -> None:
    between = f"{mark('session.dir')}user.id{mark('session.tmp')}"
    assert placeholders(between) == ()
    assert fill(between, {USER: "eve"}) == between
    other = fill(f"{mark(USER)}session.dir{mark(USER)}", {USER: "eve"})
    assert session_paths.fill(other, {"session.dir": "/room"}) == "evesession.direve"


@pytest.mark.parametrize(
    "value", ["x", "ghp_0123", "ключ", "a b", "`$(id)`", '{"a": {"b": 1}}', "é" * 4096, "x" * 8192]
)
def test_nothing_is_wrong_with_a_value(value: str) -> None:
    assert fault(value) is None


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("", "is empty"),
        (" \u3000", "is empty"),
        ("a\0b", "holds a control character, such as a line's end"),
        ("a\nb", "holds a control character, such as a line's end"),
        ("a\rb", "holds a control character, such as a line's end"),
        ("a\tb", "holds a control character, such as a line's end"),
        ("a\x7f", "holds a control character, such as a line's end"),
        ("a\x85b", "holds a control character, such as a line's end"),
        ("a\ud800", "holds what is no text"),
        ("x" * (MAX_VALUE + 1), "is longer than 8192 bytes"),
        ("é" * 4097, "is longer than 8192 bytes"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_without_it(value: str, wrong: str) -> None:
    assert fault(value) == wrong


def test_all_values_together_have_a_bound() -> None:
    assert not are_too_long(["x" * MAX_VALUE] * (MAX_TOGETHER // MAX_VALUE))
    assert are_too_long([*["x" * MAX_VALUE] * (MAX_TOGETHER // MAX_VALUE), "x"])
    assert not are_too_long([])


def test_a_header_is_called_by_its_name_and_the_rest_as_it_is_written() -> None:
    assert [said(TOKEN), said(USER)] == ["the header X-Token", "${user.id}"]
