"""Whether arguments fit the schema of their tool. No I/O.

It is decided in milliseconds or not at all: what is too large to be looked at, on either side, the child may decide.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.rest.keywords import Check, TooMuchWork, Violation
from gateway.rest.patterns import Patterns
from gateway.rest.schemas import Schema, Unusable, read

LONGEST: Final = 1024 * 1024
MOST_VALUES: Final = 10_000
"""Bytes of arguments that are looked at, and about how many values they may hold. There are numbers that take long to be
read.
"""

_KEPT: Final = 128
"""Schemas that are kept ready. They are found by what they are, so one that has changed is another."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong with arguments: the first `violations`, of `count`."""

    violations: tuple[Violation, ...]
    count: int

    def error(self, server: str, tool: str) -> GatewayError:
        """What their sender is told, without a word of what was sent but the names of members."""
        things = "thing" if self.count == 1 else "things"
        message = f"the arguments are not what the tool's schema asks for: {self.count} {things} to change"
        violations = [
            {"pointer": each.pointer, "message": each.message, "expected": each.expected} for each in self.violations
        ]
        about = {"server": server, "tool": tool, "count": self.count, "violations": violations}
        return GatewayError(Reason.INVALID_ARGUMENTS, message, **about)


class Checker:
    """Checks arguments against the JSON `schema`, if it is one that anything can be checked against."""

    def __init__(self, schema: bytes) -> None:
        self.unusable = ""
        """Why nothing is checked; empty where something is."""
        self.told = False
        """Whether somebody has been told so."""
        self._patterns = Patterns()
        self._schema: Schema | None = None
        try:
            self._schema = read(schema)
        except Unusable as why:
            self.unusable = str(why)

    def __repr__(self) -> str:
        return f"<Checker {self.unusable or 'ready'}>"

    def look(self, arguments: bytes) -> Found | None:
        """What is wrong with the JSON `arguments`; None where nothing is, or nobody can say."""
        if self._schema is None or not is_moderate(arguments):
            return None
        check = Check(self._schema, self._patterns)
        try:
            value: Any = msgspec.json.decode(arguments)
            check.look(self._schema.root, value)
        except (TooMuchWork, RecursionError, msgspec.MsgspecError):
            pass  # what was found by then is wrong all the same
        return Found(tuple(check.violations), check.count) if check.count else None


def is_moderate(data: bytes) -> bool:
    """Whether JSON is small enough to be looked at value by value."""
    if len(data) <= MOST_VALUES:
        return True
    return len(data) <= LONGEST and sum(map(data.count, (b",", b"[", b"{"))) <= MOST_VALUES


@lru_cache(maxsize=_KEPT)
def checker_of(schema: bytes) -> Checker:
    """The checker for the JSON `schema`."""
    return Checker(schema)
