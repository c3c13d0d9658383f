"""What is said once and not each time: a bounded memory of what it was said about."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

REMEMBERED: Final = 1_000
"""Beyond it the oldest is forgotten, and may be told of again."""


class Once:
    """Whether something comes up for the first time."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Once: {len(self._seen)} seen>"

    def is_first(self, what: Hashable) -> bool:
        """Whether `what` was not asked about before; from now on it was."""
        if what in self._seen:
            self._seen.move_to_end(what)
            return False
        self._seen[what] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True


class Changes:
    """What was last said of each, for what is said again only when it is another."""

    def __init__(self) -> None:
        self._last: dict[Hashable, Hashable] = {}

    def __repr__(self) -> str:
        return f"<Changes of {len(self._last)}>"

    def is_news(self, of: Hashable, what: Hashable) -> bool:
        """Whether `what` is not what was said last of that one; from now on it is. None is nothing to be said."""
        before, self._last[of] = self._last.get(of), what
        return what is not None and before != what
