"""What the query of a request says. No I/O.

A parameter that there is not is an error: a filter whose name is misspelt would be none, and nobody would notice.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gateway.errors import GatewayError, bad_request

Query = Mapping[str, Sequence[str]]
"""The parameters, each with its values in the order in which they came."""

LONGEST_SEARCH: Final = 256
"""Characters: each word is looked for in every tool."""

_LONGEST: Final = 64
"""Characters of a name that are looked at, and that an error repeats."""


def unknown(name: str, known: Collection[str], what: str) -> GatewayError:
    """There is no `what` of that name: a `parameter`, or a `member`."""
    name = name[:_LONGEST]
    near = difflib.get_close_matches(name, sorted(known), n=1)
    remedy = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(sorted(known))}"
    return bad_request(f"there is no {what} '{name}' here; {remedy}", **{what: name})


def check_names(query: Query, known: Collection[str]) -> None:
    """Raises GatewayError where there is any that is not `known`."""
    for name in query:
        if name not in known:
            raise unknown(name, known, "parameter")


def one(query: Query, name: str) -> str | None:
    """Its value, if it was sent. Raises GatewayError where it was sent twice."""
    values = query.get(name, ())
    if len(values) > 1:
        raise bad_request(f"'{name}' was sent {len(values)} times; expected it once", parameter=name)
    return values[0] if values else None


def is_set(query: Query, name: str) -> bool:
    """Whether it is `true`; it is not where it was not sent. Raises GatewayError."""
    value = one(query, name)
    if value not in (None, "true", "false"):
        raise bad_request(f"'{name}' is true or false", parameter=name)
    return value == "true"


def words(query: Query, name: str) -> frozenset[str]:
    """The words in it, casefolded. Raises GatewayError where it is longer than a search needs to be."""
    value = one(query, name) or ""
    if len(value) > LONGEST_SEARCH:
        raise bad_request(f"'{name}' has at most {LONGEST_SEARCH} characters", parameter=name)
    return frozenset(value.casefold().split())


def number(query: Query, name: str, least: int, most: int, default: int) -> int:
    """The whole number that it is, from `least` to `most`. Raises GatewayError."""
    value = one(query, name)
    if value is None:
        return default
    # No more digits than that are read: int() takes its time over a million of them.
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(most)) and least <= int(value) <= most):
        raise bad_request(f"'{name}' is a whole number from {least} to {most}", parameter=name)
    return int(value)
