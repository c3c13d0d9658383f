"""Durations as people write them in a configuration."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXPECTED = "expected a duration such as 30s, 5m or 1h, or a number of seconds"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def seconds(value: object) -> float:
    """The seconds in `value`: a number of seconds, or a text such as `500ms`, `30s`, `5m`, `1h` or `1d`.

    Raises ValueError, which names what was expected, for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(_EXPECTED) from None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_EXPECTED)
    return float(match[1]) * _SECONDS[match[2]]


Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0, lt=10 * 365 * 86400)]
"""A duration in seconds, above zero."""
