"""Whose turn it is at a child. No I/O.

A legacy child that asks something over stdio cannot say on whose behalf. So at most one call that may be asked runs at a
time; while it is parked, another one does.
"""

from collections import deque
from typing import Final

from gateway.translation.legacy_child.call import Call

WAITING: Final = 256
"""Calls that may wait for their turn; one more is refused, unless it was parked, and of those there are few."""


class Turn:
    """The call that has the turn, and those that wait for it, in the order of their coming."""

    def __init__(self) -> None:
        self.holder: Call | None = None
        self._waiting: deque[Call] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, call: Call) -> bool:
        """Whether it is the turn of `call` at once; else it has to `wait`."""
        if self.holder is not None:
            return False
        self.holder = call
        return True

    def wait(self, call: Call) -> bool:
        """Let `call` wait; False where too many do."""
        if not call.at_child and len(self._waiting) >= WAITING:
            return False
        self._waiting.append(call)
        return True

    def give_up(self, call: Call) -> None:
        """`call` no longer waits."""
        if call in self._waiting:
            self._waiting.remove(call)

    def leave(self, call: Call) -> Call | None:
        """The turn of `call` is over, if it is its turn; whose it is now, if that is news."""
        if self.holder is not call:
            return None
        self.holder = self._waiting.popleft() if self._waiting else None
        return self.holder
