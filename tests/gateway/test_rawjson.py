"""JSON objects, one level deep."""

import pytest
from msgspec import Raw

from gateway.rawjson import is_object, members, put, put_together, spliced, text

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{", b"null", b"\xff", Raw(b""), b'{"a":' + DEEP])
def test_what_is_no_object_or_goes_too_deep_has_no_members(data: bytes | Raw) -> None:
    assert members(data) == {}


def test_members_stay_as_they_were_written_and_the_later_of_two_counts() -> None:
    assert put_together(members(b'{ "a": 1.50, "b": {"c" :1e3}, "a": 2.50 }')) == b'{"a":2.50,"b":{"c" :1e3}}'


def test_an_object_is_known_by_its_first_character() -> None:
    assert is_object(b" {}")
    assert not is_object(b"[]")
    assert not is_object(Raw(b""))


def test_a_text_is_a_text_or_none() -> None:
    assert text(put("a")) == "a"
    assert text(b"7") is None
    assert text(b"") is None


def test_members_are_spliced_in_front() -> None:
    assert spliced(b' { "a":1}', b'"b":2') == b'{"b":2,"a":1}'
    assert spliced(b"{ }", b'"b":2') == b'{"b":2}'
