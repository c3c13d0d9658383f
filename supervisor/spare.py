"""A spare: a child that was started before anybody asked for it. Whether it has settled is looked at until it has."""

import select
import time
from dataclasses import dataclass, field
from typing import Final

from common.config.model import ServerSpec
from supervisor.child import Child
from supervisor.tree import has_exited
from supervisor.walk import is_asleep, usage, walk

FIRST_LOOK: Final = 0.02
LONGEST_LOOK: Final = 0.25
"""Seconds between two looks at a spare that has not settled: the first ones, and later."""

QUIET: Final = 0.2
"""Seconds without a use of the processors, after which a spare has settled."""

SETTLED_AFTER: Final = 30.0
"""Seconds after which it is taken for settled, whatever it does: no start may take as long."""


@dataclass(eq=False)
class Spare:
    """A child that waits for a session."""

    child: Child
    configured: ServerSpec
    """Its server as the configuration had it, when it was started."""
    lowered: bool
    """Whether its priority is lowered."""
    memory: int
    """Bytes: what others of its server used, until it has settled."""
    pause: float = FIRST_LOOK
    """Seconds until the next look."""
    looked: float = field(default_factory=time.monotonic)
    cpu: float = -1.0
    quiet: float | None = None
    """Since when it rests."""
    settled: bool = False

    @property
    def starts(self) -> bool:
        """Whether it still takes the processors from others."""
        return not self.settled and self.quiet is None

    def look(self, now: float) -> None:
        """See whether it rests, and whether it has settled by that."""
        pids = walk(self.child.pid)
        memory, cpu = usage(pids)
        rests = cpu == self.cpu and is_asleep(pids)
        self.quiet = (self.quiet or now) if rests else None
        self.cpu, self.looked = cpu, now
        self.pause = min(LONGEST_LOOK, QUIET if rests else self.pause * 1.2)
        if (self.quiet is not None and now - self.quiet >= QUIET) or self.child.age >= SETTLED_AFTER:
            self.settled = True
            self.memory = memory

    @property
    def took(self) -> float:
        """Seconds from its spawn until it rested; until the last look, where it has not."""
        return (self.quiet or self.looked) - self.child.started

    def is_well(self) -> bool:
        """Whether it lives, and both its pipes lead somewhere. The reaper's word may be on its way."""
        if has_exited(self.child.pid):
            return False
        stdin, stdout = self.child.pipes
        poll = select.poll()
        poll.register(stdin, 0)
        poll.register(stdout, 0)
        return not poll.poll(0)

    def has_user_of(self, first: int, last: int) -> bool:
        """Whether it has a user id of its own from `first` to `last`."""
        identity = self.child.room.identity
        return identity is not None and first <= identity.uid <= last
