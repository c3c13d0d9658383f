"""The body of a call is the JSON of one object; of anything else it is said what is wrong."""

import pytest

from gateway.errors import GatewayError
from gateway.rest.arguments import read


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}"])
def test_nothing_stands_for_no_arguments(body: bytes) -> None:
    assert read(body) == b"{}"


@pytest.mark.parametrize("body", [b'{"a": [{"b": 1}, {"b": 1}], "b": "NaN"}', b' {"a": 1e400, "b": "\\u00e9"}\n'])
def test_an_object_is_what_it_was(body: bytes) -> None:
    assert read(body) == body


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"null", "bad_request", "the body is null"),
        (b"[1]", "bad_request", "the body is an array"),
        (b'"s3cret"', "bad_request", "the body is a string"),
        (b" -1", "bad_request", "the body is a number"),
        (b"true", "bad_request", "the body is true"),
        (b'{"s3cret": 1', "invalid_json", "truncated"),
        (b'{"a": 1} s3cret', "invalid_json", "trailing characters"),
        (b'{"a": 1,}', "invalid_json", "trailing comma"),
        (b"{'s3cret': 1}", "invalid_json", "keys must be strings"),
        (b'{"a": NaN}', "invalid_json", "no NaN"),
        (b'{"a": [-Infinity]}', "invalid_json", "no NaN and no Infinity"),
        (b'{"a": 1, "b": 2, "a": 1}', "invalid_json", "twice"),
        (b'{"a": [{"s3cret": 1, "s3cret": 2}]}', "invalid_json", "twice"),
        (b'{"a": 1, "\\u0061": 2}', "invalid_json", "twice"),
        (b'{"a": "\xff"}', "invalid_json", "not UTF-8 (byte 7)"),
        ('{"a": 1}'.encode("utf-16"), "invalid_json", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "invalid_json", "byte order mark"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json", "too deeply"),
        (b'{"a": ' + b"1" * 9000 + b"}", "invalid_json", "number"),
        (b"\x00", "invalid_json", "not JSON"),
    ],
)
def test_it_is_said_what_is_wrong_with_a_body(body: bytes, code: str, words: str) -> None:
    with pytest.raises(GatewayError) as refused:
        read(body)
    assert (refused.value.status, refused.value.reason) == (400, code)
    assert words in refused.value.message
    assert "s3cret" not in refused.value.message
