"""Durations as people write them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from common.units import Duration, seconds

DURATION: TypeAdapter[float] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("1.5h", 5400.0),
        ("30 s", 30.0),
        ("  30s  ", 30.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_a_number_with_its_unit(written: object, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "written",
    ["", "30", "s", "30 seconds", "-30s", "+30s", "1h30m", "1,5h", ".5h", "5.h", "30S", "5M", "1w", "1e3s", "infs"],
)
def test_any_other_text_is_no_duration(written: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as 30s, 5m or 1h, or a number of seconds$"):
        seconds(written)


@pytest.mark.parametrize("written", [True, False, None, [], {}, b"30s"])
def test_what_is_neither_number_nor_text_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration"):
        seconds(written)


def test_a_number_beyond_all_bounds_is_no_duration() -> None:
    with pytest.raises(ValueError, match=r"^expected a duration"):
        seconds(10**400)


@pytest.mark.parametrize("written", ["1ms", 0.001, "3649d"])
def test_a_duration_in_a_model_is_above_zero_and_below_ten_years(written: object) -> None:
    assert DURATION.validate_python(written) == seconds(written)


@pytest.mark.parametrize("written", [0, "0s", -1, "3650d", float("inf"), float("nan"), "9" * 400 + "s"])
def test_a_duration_in_a_model_is_never_zero_negative_or_endless(written: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(written)
