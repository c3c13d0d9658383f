"""What one session's client has said, and no child has heard yet: in its order, each with the child it is for. No I/O."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gateway.jsonrpc import Message, Request, Response
from gateway.personal import Personal
from gateway.sharing.whose import Whose


@dataclass(frozen=True, slots=True)
class Wait:
    """A message, and what the child has to be, and to be given, that may hear it: what came with it, no newer value."""

    message: Message = field(repr=False)
    whose: Whose
    personal: Personal


_COST: Final = 64
"""Bytes that a message counts for besides its params: one without any is not for nothing."""


class Waiting:
    """The queue. It holds no more than `limit` bytes, and then one more message."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waits: deque[Wait] = deque()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Waiting: {len(self._waits)}>"

    def __len__(self) -> int:
        return len(self._waits)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another message."""
        return self._bytes > self._limit

    @property
    def first(self) -> Wait:
        """What is next."""
        return self._waits[0]

    def add(self, wait: Wait) -> None:
        """One more, at the end."""
        self._waits.append(wait)
        self._bytes += _size(wait.message)

    def pop(self) -> Message:
        """What is next, which a child hears now."""
        message = self._waits.popleft().message
        self._bytes -= _size(message)
        return message

    def take_back(self, id_: bytes) -> bool:
        """The client no longer wants what it has asked under this id; whether that was still waiting."""
        found = next(
            (each for each in self._waits if isinstance(each.message, Request) and each.message.id == id_), None
        )
        if found is None:
            return False
        self._waits.remove(found)
        self._bytes -= _size(found.message)
        return True


def _size(message: Message) -> int:
    return _COST if isinstance(message, Response) else _COST + len(message.params)
