"""Which servers keep dying, and when they may be tried again. No I/O; the instants are the caller's.

A server's failures count until one of its children does well. The first failure changes nothing: the next try may come
at once. From the second on the server is given a rest of 1, 2, 4 … 60 seconds; when that is over, one child is let
through to see how things are, and the rest wait for its news. After FAILING failures the server is *failing*, and health
says why.

The rest grows with each *round*, not with each failure: when a dozen children were being started and all of them
die of the same thing, that is one round. A round begins with the first failure of a child that was spawned after the
round before had failed.

A child that served somebody and then died early may have been killed by what its user asked of it, and one that
refuses `initialize` by how its user's client asks. So that nobody can bring down a server for everybody, each user
adds at most one failure of that kind to a row. So it is with every failure where the child was started with something
of its user's own: with a token that is no good, many end at once.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from common.reasons import Reason

FAILING: Final = 5
"""Failures in a row after which a server is failing."""

LONGEST_REST: Final = 60.0
"""Seconds."""

PROBE_PATIENCE: Final = 1.0
"""Seconds after which to ask again while somebody else's try is under way."""

SETTLED: Final = 10.0
"""Seconds: who lives for so long after it was ready does well; who dies by itself sooner after its spawn does not."""

LONGEST_START: Final = 30.0
"""Seconds: who has lived for so long was ready, though nobody said so. No start may take as long."""

_BY_ITSELF: Final = frozenset({Reason.CHILD_EXITED, Reason.CHILD_CLOSED_STDOUT})
_NOT_READY: Final = frozenset({Reason.START_FAILED, Reason.START_TIMEOUT})
_LIMITS: Final = frozenset(
    {
        Reason.MEMORY_MAX,
        Reason.TASKS_MAX,
        Reason.FILE_SIZE_MAX,
        Reason.DIR_SIZE_MAX,
    }
)
SPAWN_FAILURES: Final = frozenset({Reason.COMMAND_NOT_FOUND, Reason.PATH_NOT_FOUND, Reason.SPAWN_FAILED})
"""Why a child could not be spawned, where that is the server's own fault."""


class Verdict(Enum):
    """What a child's end says of its server."""

    GOOD = auto()
    NOTHING = auto()
    BAD = auto()
    BAD_FOR_ONE = auto()
    """It may be its user's own doing."""


def judge(reason: Reason, *, named: bool, lived: float, lived_ready: float | None, personal: bool = False) -> Verdict:
    """What it says of a server that its child ended for `reason`.

    It lived for `lived` seconds, for `lived_ready` since it was ready (None: it was not). `named` is whether its user
    is known, `personal` whether it was started with something of that user's own, such as a token that is no good.
    """
    verdict = _judge(reason, named=named, lived=lived, lived_ready=lived_ready)
    return Verdict.BAD_FOR_ONE if verdict is Verdict.BAD and personal else verdict


def _judge(reason: Reason, *, named: bool, lived: float, lived_ready: float | None) -> Verdict:
    if reason in _NOT_READY:
        return Verdict.BAD_FOR_ONE if reason is Reason.START_FAILED and named else Verdict.BAD
    if lived_ready is None and lived < LONGEST_START:
        return Verdict.BAD if reason in _BY_ITSELF | _LIMITS else Verdict.NOTHING
    if reason in _BY_ITSELF and (lived_ready or 0.0) < SETTLED:
        return Verdict.BAD_FOR_ONE if lived < SETTLED else Verdict.NOTHING
    return Verdict.GOOD


@dataclass(frozen=True)
class Rest:
    """A server is not to be tried now: why, in a sentence for a person, and after how many seconds it may be."""

    message: str
    retry_after: float


@dataclass
class _Row:
    """The failures of one server since its last success."""

    began: float
    last: float
    count: int = 0
    rounds: int = 0
    why: str = ""
    users: set[str] = field(default_factory=set)
    """Whose children have failed in the way of which each user counts once."""
    probe: int | None = None
    """Who tries it now, for all."""
    probed: float = 0.0
    """Since when."""
    ready: dict[int, float] = field(default_factory=dict)
    """Since when those that were spawned after it began are ready."""

    @property
    def due(self) -> float:
        """When the next try may be."""
        return self.last + (0.0 if self.rounds < 2 else min(LONGEST_REST, 2.0 ** min(self.rounds - 2, 10)))


class Failures:
    """The rows of all servers. A server that does well has none."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def rest(self, server: str, now: float) -> Rest | None:
        """None where `server` may be tried now."""
        row = self._row(server, now)
        if row is None or row.count < 2:
            return None
        left = row.due - now
        # Nobody else's try depends on a client that opens a session and says nothing.
        if left <= 0 and (row.probe is None or now - row.probed >= LONGEST_START):
            return None
        return Rest(f"server '{server}' keeps failing and is given a rest; try again later", max(left, PROBE_PATIENCE))

    def attempt(self, server: str, ticket: int, now: float) -> Rest | None:
        """The same, and where it may be, `ticket` is the one that tries it."""
        rest = self.rest(server, now)
        row = self._rows.get(server)
        if rest is None and row is not None and row.count > 1:
            row.probe, row.probed = ticket, now
        return rest

    def ready(self, server: str, ticket: int, started: float, now: float) -> None:
        """This one, spawned at `started`, is ready: the next may be tried, and if it lives on, all is well."""
        row = self._rows.get(server)
        if row is None:
            return
        self._let_next_try(row, ticket)
        if started >= row.began:
            row.ready.setdefault(ticket, now)

    def ended(
        self, server: str, ticket: int, verdict: Verdict, *, started: float, now: float, why: str, user: str = ""
    ) -> None:
        """This one, spawned at `started`, ended or could not be spawned; `why` is for the operator.

        What was spawned before the row began can fail, but its success says nothing of the server as it is now.
        """
        row = self._row(server, now)
        if verdict in (Verdict.BAD, Verdict.BAD_FOR_ONE):
            row = self._rows.setdefault(server, row or _Row(now, now))
            self._fail(row, verdict, started, now, why, user)
        if row is None:
            return
        self._let_next_try(row, ticket)
        row.ready.pop(ticket, None)
        if verdict is Verdict.GOOD and started >= row.began:
            del self._rows[server]

    def failing(self, server: str, now: float) -> str:
        """Why `server` is failing, for the operator; empty where it is not."""
        row = self._row(server, now)
        return f"{row.count} failures in a row, the last: {row.why}" if row is not None and row.count >= FAILING else ""

    def _row(self, server: str, now: float) -> _Row | None:
        """Its row, unless somebody has lived long enough since to end it."""
        row = self._rows.get(server)
        if row is not None and any(now - since >= SETTLED for since in row.ready.values()):
            del self._rows[server]
            return None
        return row

    @staticmethod
    def _fail(row: _Row, verdict: Verdict, started: float, now: float, why: str, user: str) -> None:
        if verdict is Verdict.BAD_FOR_ONE:
            if user in row.users:
                return
            row.users.add(user)
        if row.rounds == 0 or started >= row.last:
            row.rounds += 1
        row.count += 1
        row.last = now
        row.why = why

    @staticmethod
    def _let_next_try(row: _Row, ticket: int) -> None:
        if row.probe == ticket:
            row.probe = None
