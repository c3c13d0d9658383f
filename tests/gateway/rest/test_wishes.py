"""What a caller wants beside the result is read, or refused by name."""

import pytest

from gateway.errors import GatewayError
from gateway.rest.wishes import key_of, timeout_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("0.5", 0.5), ("500ms", 0.5), (" 2s", 2), ("1m", 60), ("1.5h", 5400)]
)
def test_a_time_is_seconds_or_a_duration(text: str, seconds: float) -> None:
    assert timeout_of([text]) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1e3", "nan", "inf", "10 minutes", "0x10", "٣", "9" * 400, "9" * 400 + "h"]
)
def test_what_is_no_time_above_zero_is_refused(text: str) -> None:
    with pytest.raises(GatewayError, match="timeout") as refused:
        timeout_of([text])
    assert (refused.value.status, refused.value.about) == (400, {"parameter": "timeout"})


def test_two_times_are_none() -> None:
    assert timeout_of([]) is None
    with pytest.raises(GatewayError, match="timeout"):
        timeout_of(["1", "1"])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ('"a b"', "a b"),
        (r'"a\"\\b"', r'a"\b'),
        ("a/b:c=", "a/b:c="),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_key_stands_in_quotes_or_as_it_is(text: str, key: str) -> None:
    assert key_of([text]) == key


@pytest.mark.parametrize(
    "values", [[""], ['""'], ["a b"], ['"a'], ['"a"b"'], [r'"\a"'], ["ä"], ["x" * 256], ["a", "a"]]
)
def test_a_malformed_key_is_refused(values: list[str]) -> None:
    with pytest.raises(GatewayError, match="Idempotency-Key") as refused:
        key_of(values)
    assert (refused.value.status, refused.value.about) == (400, {"header": "Idempotency-Key"})


def test_no_key_is_none() -> None:
    assert key_of([]) == ""
