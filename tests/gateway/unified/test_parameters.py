"""What a query says, and pages."""

import base64
from typing import Any

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.unified.paging import Page, cut, page_of
from gateway.unified.parameters import LONGEST_SEARCH, check_names, is_set, number, one, unknown, words

LETTERS = [(letter, "") for letter in "dacbe"]


def itself(each: Any) -> Any:
    """The key of what is one."""
    return each


def wrong(call: Any, *arguments: Any) -> str:
    """What a refusal says."""
    with pytest.raises(GatewayError) as error:
        call(*arguments)
    assert error.value.reason is Reason.BAD_REQUEST
    return error.value.message


def test_a_parameter_that_there_is_not_is_told_with_the_nearest_that_there_is() -> None:
    check_names({"limit": ["1"]}, {"limit"})
    assert wrong(check_names, {"sever": ["x"]}, {"server", "tag"}) == (
        "there is no parameter 'sever' here; did you mean 'server'?"
    )
    assert wrong(check_names, {"zz": ["x"]}, {"server", "tag"}).endswith("expected one of server, tag")
    assert len(wrong(check_names, {"z" * 5000: ["x"]}, {"server"})) < 200


def test_what_may_stand_once_may_not_stand_twice() -> None:
    assert one({}, "q") is None
    assert one({"q": [""]}, "q") == ""
    assert wrong(one, {"q": ["a", "a"]}, "q") == "'q' was sent 2 times; expected it once"


def test_a_flag_is_true_or_false() -> None:
    assert [is_set({"refresh": [value]}, "refresh") for value in ("true", "false")] == [True, False]
    assert not is_set({}, "refresh")
    for value in ("1", "True", ""):
        assert wrong(is_set, {"refresh": [value]}, "refresh") == "'refresh' is true or false"


def test_a_search_is_its_words_and_not_endless() -> None:
    assert words({"q": [" GitHub  issue github "]}, "q") == {"github", "issue"}
    assert words({}, "q") == frozenset()
    assert wrong(words, {"q": ["a " * LONGEST_SEARCH]}, "q") == "'q' has at most 256 characters"


@pytest.mark.parametrize("value", ["0", "501", "-1", "1.0", "", " 1", "+1", "٣", "1e2", "9" * 100_000, "x"])
def test_a_number_out_of_bounds_is_refused(value: str) -> None:
    assert number({"limit": ["500"]}, "limit", 1, 500, 100) == 500
    assert number({}, "limit", 1, 500, 100) == 100
    assert wrong(number, {"limit": [value]}, "limit", 1, 500, 100) == "'limit' is a whole number from 1 to 500"


def test_the_pages_of_a_list_are_the_list() -> None:
    seen, query = [], {"limit": ["2"]}
    while True:
        shown, cursor = cut(LETTERS, itself, page_of(query, tuple[str, str]))
        seen.append("".join(letter for letter, _ in shown))
        if cursor is None:
            break
        query = {"limit": ["2"], "cursor": [cursor]}
    assert seen == ["ab", "cd", "e"]


def test_what_comes_or_goes_between_two_pages_moves_nothing() -> None:
    _, cursor = cut(LETTERS, itself, Page[tuple[str, str]](2))
    changed = [("b2", ""), *(each for each in LETTERS if each[0] != "b"), ("a0", "")]
    shown, _ = cut(changed, itself, page_of({"cursor": [cursor or ""]}, tuple[str, str]))
    assert [letter for letter, _ in shown] == ["b2", "c", "d", "e"]


def test_a_page_that_holds_all_has_none_behind_it() -> None:
    assert cut(LETTERS, itself, Page[tuple[str, str]](5))[1] is None
    assert cut([], itself, Page[tuple[str, str]]()) == ([], None)


@pytest.mark.parametrize("said", [b"", b"x", b"[]", b"[1,2]", b'["a"]', b'{"a":1}', b'["a",NaN]', b"[" * 5000, b"\xff"])
@pytest.mark.parametrize("key", [tuple[str, str], tuple[float, str]])
def test_a_cursor_that_no_page_gave_out_is_refused(said: bytes, key: Any) -> None:
    for cursor in (said.decode("latin-1"), base64.urlsafe_b64encode(said).decode()):
        assert wrong(page_of, {"cursor": [cursor]}, key) == "'cursor' is the nextCursor of the page before"


def test_a_cursor_of_another_list_is_refused() -> None:
    _, cursor = cut([(1.5, "x"), (2.5, "x")], itself, Page[tuple[float, str]](1))
    assert cursor is not None
    assert page_of({"cursor": [cursor]}, tuple[float, str]).after == (1.5, "x")
    wrong(page_of, {"cursor": [cursor]}, tuple[str, str])


def test_of_a_name_no_more_is_held_against_others_than_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(name: str, *_: object, **__: object) -> list[str]:
        compared.append(name)
        return []

    monkeypatch.setattr("difflib.get_close_matches", compare)
    error = unknown("x" * 100_000, ["limit"], "member")
    assert compared == [error.about["member"]] == ["x" * 64]
