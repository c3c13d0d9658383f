"""Who waits for a place, and whose turn is next: see supervisor.admission. No I/O, no clock."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What is asked for: a child of `server`, on behalf of `user` (empty: nobody in particular) for a session."""

    server: str
    user: str = ""
    label: str = ""
    gives_way: bool = False
    """It is nobody's: it never waits, and what comes of it is ended when somebody else would have to."""
    is_spare: bool = False
    """It is nobody's, and nobody uses it."""

    @property
    def queue(self) -> tuple[str, str]:
        """In whose turn it waits."""
        return ("user", self.user) if self.user else ("session", self.label)


class Queue:
    """Who waits, by ticket: the users in turn, first come first served within each."""

    def __init__(self) -> None:
        self._turns: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()
        self._requests: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def join(self, ticket: int, request: Request) -> None:
        """`request` waits from now on."""
        self._requests[ticket] = request
        self._turns.setdefault(request.queue, deque()).append(ticket)

    def leave(self, ticket: int) -> None:
        """It waits no longer; nothing happens if it does not wait."""
        request = self._requests.pop(ticket, None)
        if request is None:
            return
        turn = self._turns[request.queue]
        turn.remove(ticket)
        if not turn:
            del self._turns[request.queue]

    def served(self, ticket: int) -> None:
        """It got what it waited for: it leaves, and its user's next turn comes after everybody else's."""
        queue = self._requests[ticket].queue
        self._turns.move_to_end(queue)
        self.leave(ticket)

    def who_gives_way_to(self, request: Request) -> int | None:
        """The last ticket of whoever has most waiting, if that is still no fewer than `request`'s user has then."""
        longest = max(self._turns.values(), key=len, default=None)
        own = len(self._turns.get(request.queue, ()))
        return longest[-1] if longest is not None and len(longest) > own + 1 else None

    def in_turn(self) -> Iterator[tuple[int, Request]]:
        """All that wait, each user's in order, the user whose turn it is first."""
        for turn in self._turns.values():
            for ticket in turn:
                yield ticket, self._requests[ticket]

    def waiting(self) -> Counter[str]:
        """How many wait for each server."""
        return Counter(request.server for request in self._requests.values())
