"""What may stand beside a keyword of a schema that somebody else wrote. No I/O.

Each function gives what is left of a value, or LEFT_OUT.
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

LEFT_OUT: Final = object()
"""In place of what is no value for its keyword."""

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")

LONGEST_TEXT: Final = 10_000
"""Characters of a text that is shown."""

_DEEPEST: Final = 20
_LARGEST: Final = 10.0**300
_LONGEST_PATTERN: Final = 1_000

_ESCAPE: Final = r"\\(?:[dDwWsSfnrtv.^$*+?()\[\]{}|/\\]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})"
_CLASS: Final = rf"\[\^?(?:[^\\\[\]]|{_ESCAPE}|\\[-b])+\]"
_TIMES: Final = r"(?:[*+?]|\{\d+(?:,\d*)?\})\??"
_COMMON: Final = re.compile(
    rf"(?:(?:{_ESCAPE}|{_CLASS}|[^\\^$*+?(\[\]{{}}|])(?:{_TIMES})?|[\^$|]|\\[bB]|\((?:\?(?:[:=!]|<[=!]))?)*"
)
"""What regular expressions of Python and of ECMA-262 have in common; that its groups are whole is for Python to say."""

_AROUND: Final = re.compile(r"\(\?(?:[=!]|<[=!])")
_GROUP_TIMES: Final = re.compile(r"\)[*+?{]")

Check = Callable[[object], object]


def shown(text: str) -> str:
    """`text`, cut off where it is longer than anybody reads."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def text(value: object) -> object:
    """A text."""
    return shown(value) if isinstance(value, str) else LEFT_OUT


def truth(value: object) -> object:
    """True or false."""
    return value if isinstance(value, bool) else LEFT_OUT


def number(value: object) -> object:
    """A number of a size that every program can read."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return LEFT_OUT
    return value if math.isfinite(value) and abs(value) < _LARGEST else LEFT_OUT


def above_zero(value: object) -> object:
    """The same, above 0."""
    found = number(value)
    return found if isinstance(found, int | float) and found > 0 else LEFT_OUT


def count(value: object) -> object:
    """A whole number from 0 on."""
    found = number(value)
    if not isinstance(found, int | float) or found < 0 or found > 1 << 53 or found != int(found):
        return LEFT_OUT
    return int(found)


def types(value: object) -> object:
    """One of the types that there are, or several."""
    if isinstance(value, str):
        return value if value in TYPES else LEFT_OUT
    if not isinstance(value, list):
        return LEFT_OUT
    if not value or not all(isinstance(each, str) and each in TYPES for each in value):
        return LEFT_OUT
    known = list(dict.fromkeys(value))
    return known if len(known) > 1 else known[0]


def anything(value: object) -> object:
    """Any value that is not nested without end, and that no reader takes for a reference."""
    return value if _is_plain(value, _DEEPEST) else LEFT_OUT


def choice(value: object) -> object:
    """What an `enum` may hold: different values, and at least one."""
    if not isinstance(value, list) or not value or not _is_plain(value, _DEEPEST):
        return LEFT_OUT
    return list({_key(each): each for each in value}.values())


def samples(value: object) -> object:
    """A list of anything."""
    return value if isinstance(value, list) and value and _is_plain(value, _DEEPEST) else LEFT_OUT


def names(value: object) -> object:
    """A list of different texts."""
    if not isinstance(value, list):
        return LEFT_OUT
    return list(dict.fromkeys(each for each in value if isinstance(each, str))) or LEFT_OUT


def needs(value: object) -> object:
    """What `dependentRequired` holds."""
    if not isinstance(value, Mapping):
        return LEFT_OUT
    found = {key: each for key, needed in value.items() if (each := names(needed)) is not LEFT_OUT}
    return found or LEFT_OUT


def pattern(value: object) -> object:
    """A regular expression that any reader can read, whichever of its kinds theirs is."""
    return value if isinstance(value, str) and _is_pattern(value) else LEFT_OUT


@lru_cache(1000)
def _is_pattern(value: str) -> bool:
    if len(value) > _LONGEST_PATTERN or not _COMMON.fullmatch(value):
        return False
    if _AROUND.search(value) and _GROUP_TIMES.search(value):
        return False  # one that looks around cannot be repeated everywhere
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what later versions of Python may read in another way
            re.compile(value)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _is_plain(value: object, deepest: int) -> bool:
    if isinstance(value, Mapping):
        return deepest > 0 and "$ref" not in value and all(_is_plain(each, deepest - 1) for each in value.values())
    if isinstance(value, list):
        return deepest > 0 and all(_is_plain(each, deepest - 1) for each in value)
    return not isinstance(value, int | float) or number(value) is not LEFT_OUT or isinstance(value, bool)


def _key(value: Any) -> object:
    """What two values have in common that JSON Schema takes for equal."""
    if isinstance(value, Mapping):
        return "object", frozenset((key, _key(each)) for key, each in value.items())
    if isinstance(value, list):
        return "array", tuple(_key(each) for each in value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__, value
    return "number", float(value)
