"""The regular expressions of a child's schemas, in time that is linear in the text. No I/O.

A child's schema is hostile input, and Python's own `re` can be kept busy for hours by a short pattern while nothing else
runs. So patterns are matched by the automaton that pydantic brings (the Rust crate `regex`), which never goes back: what
it does not know, such as look-around and back-references, is not checked. JSON Schema's patterns are ECMA-262's, so what
the two write alike and mean differently is translated first.
"""

import re
from dataclasses import dataclass
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST: Final = 512
"""Characters of a pattern that is checked."""

LONGEST_TEXT: Final = 16 * 1024
"""Characters of a text that is held against a pattern."""

COSTLIEST: Final = 3000
"""Elements of a pattern, each as often as it is repeated: so large an automaton is built in some 10 ms."""

COSTLIEST_ALL: Final = 3 * COSTLIEST
"""The same for all the patterns of one schema."""

_ANY_SCRIPT: Final = 200
"""Elements that a class of Unicode's is worth."""

_TOKENS: Final = re.compile(r"\\[pP]\{\w+\}|\\.|\[|\]|\(|\)|\{(\d{1,6})(?:,(\d{0,6}))?\}|--|&&|~~|.", re.DOTALL)
_ECMA: Final = {"d": "0-9", "D": "^0-9", "w": "0-9A-Za-z_", "W": "^0-9A-Za-z_"}
_BOUNDARIES: Final = {"b": r"(?-u:\b)", "B": r"(?-u:\B)"}
_OTHERWISE: Final = frozenset("AzZGKQE<>pP")
"""Escapes that mean a letter or a sign to one side, and something else or nothing to the other."""
_SET_OPERATIONS: Final = frozenset({"--", "&&", "~~"})


class _NotChecked(Exception):
    """The pattern is one of those that are let be."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One that can be checked; `cost` is how many elements it has.

    Where it is `of_ascii`, it has a class such as `\\w`, in which ECMA-262 has no letters but those of ASCII. Many a
    child's own language has more.
    """

    cost: int
    of_ascii: bool
    _validator: SchemaValidator

    def is_found_in(self, text: str) -> bool:
        """Whether it matches anywhere in `text`. True, too, where the text is too long to say."""
        return len(text) > LONGEST_TEXT or self._validator.isinstance_python(text)


def pattern_of(source: str) -> Pattern | None:
    """The pattern; None where it is too long or too large, or has something that is not checked."""
    if len(source) > LONGEST:
        return None
    translation = _Translation()
    try:
        for token in _TOKENS.finditer(source):
            translation.add(token)
        translated = "".join(translation.parts)
        schema = core_schema.str_schema(pattern=translated, regex_engine="rust-regex")
        return Pattern(translation.cost, translation.of_ascii, SchemaValidator(schema))
    except (_NotChecked, SchemaError):
        return None


class Patterns:
    """The patterns of one schema, each made when it is first needed; those that would cost too much are not checked."""

    def __init__(self) -> None:
        self._known: dict[str, Pattern | None] = {}
        self._left = COSTLIEST_ALL

    def __getitem__(self, source: str) -> Pattern | None:
        if source not in self._known:
            found = pattern_of(source) if self._left > 0 else None
            self._left -= found.cost if found is not None else 1
            self._known[source] = found
        return self._known[source]


class _Translation:
    """One pattern on its way from ECMA-262; `costs` are those of the groups that are open, and of all."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.of_ascii = False
        self._costs = [0]
        self._last = 0
        self._in_class = False

    @property
    def cost(self) -> int:
        """What the whole costs, as far as it is known."""
        return self._costs[0]

    def add(self, token: re.Match[str]) -> None:
        """One more piece. Raises _NotChecked."""
        text = token[0]
        if self._in_class:
            self._add_to_class(text)
        elif token[1] is not None:
            self._repeat(max(int(token[1]), int(token[2] or 0), 1))
            self.parts.append(text)
        else:
            self._add(text)
        if sum(self._costs) > COSTLIEST:
            raise _NotChecked

    def _add(self, text: str) -> None:
        if text == "(":
            self._costs.append(0)
        elif text == ")" and len(self._costs) > 1:
            self._count(self._costs.pop())
        elif text not in "*+?":
            self._count(1)
        self._in_class = text == "["
        self.parts.append(self._escape(text) if text[0] == "\\" else text)

    def _add_to_class(self, text: str) -> None:
        if text in _SET_OPERATIONS or (text == "]" and self._begins_class):
            raise _NotChecked
        if text == "]":
            self._in_class = False
        self.parts.append("\\[" if text == "[" else self._escape(text) if text[0] == "\\" else text)

    @property
    def _begins_class(self) -> bool:
        """Whether a class was opened just now: to some, a bracket that follows is its end."""
        return self.parts[-1] == "[" or self.parts[-2:] == ["[", "^"]

    def _escape(self, text: str) -> str:
        letter = text[1:]
        if letter in _OTHERWISE or not letter:
            raise _NotChecked
        if letter[0] in "pP":
            self._costs[-1] += _ANY_SCRIPT
            self._last += _ANY_SCRIPT
        self.of_ascii = self.of_ascii or letter in _ECMA or letter in _BOUNDARIES
        if letter in _ECMA:
            return f"[{_ECMA[letter]}]"
        if letter in _BOUNDARIES:
            return r"\x08" if self._in_class else _BOUNDARIES[letter]
        return text

    def _count(self, cost: int) -> None:
        self._costs[-1] += cost
        self._last = cost

    def _repeat(self, times: int) -> None:
        self._count(self._last * (times - 1))
        self._last *= times
