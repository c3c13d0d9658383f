"""What a translation writes down: a document in our own keys, where each part of it came from, and what is to be said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from common.config.source import KeyPath

Said = tuple[KeyPath, str]
"""A path in the author's keys, and what is said of it."""

EXPECTED_MAP: Final = "expected a map of keys to values"
EXPECTED_LIST: Final = "expected a list"
EXPECTED_TRUTH: Final = "expected true or false"


@dataclass
class Draft:
    """A translation in the making. No `repr` shows a value: it might be a secret."""

    document: dict[str, Any] = field(default_factory=dict, repr=False)
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict, repr=False)
    problems: list[Said] = field(default_factory=list)
    notes: list[Said] = field(default_factory=list)

    def put(self, path: KeyPath, value: object, origin: KeyPath) -> None:
        """Write `value` at `path` of our own keys, which are names; it came from `origin`."""
        self.origins[path] = origin
        node: dict[Any, Any] = self.document
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value

    def problem(self, origin: KeyPath, text: str) -> None:
        """The file cannot be used because of what stands at `origin`."""
        self.problems.append((origin, text))

    def note(self, origin: KeyPath, text: str) -> None:
        """What stands at `origin` falls away."""
        self.notes.append((origin, text))


class Part:
    """A map of the author's, of which each key is taken once; what nobody takes is a problem."""

    def __init__(self, draft: Draft, value: object, path: KeyPath = ()) -> None:
        self.draft = draft
        self.path = path
        self.values: Mapping[str, Any] = {}
        self._taken: set[str] = set()
        if isinstance(value, Mapping):
            self.values = value
        elif value is not None:
            draft.problem(path, EXPECTED_MAP)

    def at(self, key: str | int) -> KeyPath:
        """Where `key` stands."""
        return (*self.path, key)

    def has(self, key: str) -> bool:
        """Whether something is written there; null is nothing."""
        return self.values.get(key) is not None

    def take(self, key: str) -> Any:
        """The value of `key`, or None."""
        self._taken.add(key)
        return self.values.get(key)

    def part(self, key: str) -> "Part":
        """The map at `key`; an empty one where there is none."""
        return Part(self.draft, self.take(key), self.at(key))

    def each(self, key: str) -> list[Any]:
        """The list at `key`; an empty one where there is none."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.draft.problem(self.at(key), EXPECTED_LIST)
            return []
        return value

    def truth(self, key: str, *, default: bool) -> bool:
        """What is true or false at `key`."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.draft.problem(self.at(key), EXPECTED_TRUTH)
            return default
        return value

    def number(self, key: str, expected: str, *, whole: bool = False) -> float | None:
        """The number above zero at `key`, or None; `expected` says what there should be."""
        value = self.take(key)
        if value is None:
            return None
        kind = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
            self.draft.problem(self.at(key), expected)
            return None
        return value if whole else float(value)

    def move(self, key: str, to: KeyPath) -> None:
        """Put the value of `key`, whatever it is, at `to`: it means the same there."""
        value = self.take(key)
        if value is not None:
            self.draft.put(to, value, self.at(key))

    def note(self, key: str, text: str) -> None:
        """Let `key` fall away."""
        if self.take(key) is not None:
            self.draft.note(self.at(key), text)

    def refuse(self, key: str, text: str, *, harmless: Iterable[object] = (None,)) -> None:
        """What stands at `key` cannot be had, unless it is one of `harmless`."""
        if not any(value is each or value == each for value in [self.take(key)] for each in (*harmless, None)):
            self.draft.problem(self.at(key), text)

    def finish(self, unknown: str = "unknown key") -> None:
        """Tell of each key that nobody took; `unknown` says what it is."""
        for key in self.values:
            if key not in self._taken:
                nearest = get_close_matches(key, self._taken, n=1)
                meant = f"; did you mean '{nearest[0]}'?" if nearest else ""
                self.draft.problem(self.at(key), f"{unknown}{meant}")
