"""Calls that are made once, however often they are asked for: what `Idempotency-Key` stands for. No I/O, no clock.

The first request with a key has its call made; whoever comes with the same key waits for the same answer, and who comes
later gets it again. A key is one session's with one tool. What an answer is, a result or an error, is not looked at here:
`is_final` says of an error whether it is one that the call, and not the attempt, came to.

What is kept is bounded, for each principal and in all; the oldest answers go first, calls that run never do. Of an answer
that is too large to be kept it is remembered that there was one, for the call may not be made again.
"""

from asyncio import Future
from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.large import Result
from gateway.rest.checking import is_moderate

KEPT_FOR: Final = 24 * 3600.0
"""Seconds for which an answer is kept, unless its session ends before."""

LONGEST: Final = 1024 * 1024
"""Bytes of an answer that is kept."""

_OVERHEAD: Final = 512
"""Bytes that an answer costs beside its own."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many answers are kept, and how many bytes of them."""

    answers: int
    size: int


EACH: Final = Bounds(1000, 8 * 1024 * 1024)
ALL: Final = Bounds(20_000, 128 * 1024 * 1024)
"""For each principal, and for all together."""


class Name(NamedTuple):
    """What a call is known by in its session. `given` stands for what its sender gives the child of their own: an answer
    that one of two people has who come with the same key is not the other's.
    """

    tool: str
    key: str
    given: bytes = b""


@dataclass(eq=False, slots=True)
class Kept:
    """The call of one key. `session` is whose state it changed, `arguments` the digest of what it was made with."""

    session: object
    owner: Hashable
    name: Name
    arguments: bytes
    answer: "Future[Result]"
    until: float = 0.0
    size: int = 0
    too_large: bool = False


@dataclass(slots=True)
class _Tally:
    answers: int = 0
    size: int = 0

    def exceeds(self, bounds: Bounds) -> bool:
        return self.answers > bounds.answers or self.size > bounds.size


@dataclass(slots=True)
class Replays:
    """What is kept, of all sessions."""

    each: Bounds = EACH
    all: Bounds = ALL
    _kept: dict[object, dict[Name, Kept]] = field(default_factory=dict)
    _finished: dict[Kept, None] = field(default_factory=dict)
    """Oldest first."""
    _tallies: dict[Hashable, _Tally] = field(default_factory=dict)
    _tally: _Tally = field(default_factory=_Tally)

    def __repr__(self) -> str:
        return f"<Replays: {self._tally.answers} answers, {self._tally.size} bytes>"

    def find(self, session: object, name: Name, arguments: bytes, now: float) -> Kept | None:
        """The call that `name` stands for in this session; None where it is to be made.

        Raises GatewayError where it stands for another, or for one whose answer is not there.
        """
        self._expire(now)
        found = self._kept.get(session, {}).get(name)
        if found is None:
            return None
        if found.arguments != digest(arguments):
            raise _conflict("this Idempotency-Key came before, with other arguments; take a new one for another call")
        if found.too_large:
            message = (
                f"the call with this Idempotency-Key was made; its answer was over {LONGEST} bytes, and is not kept"
            )
            raise _conflict(message)
        return found

    def begin(self, session: object, owner: Hashable, name: Name, arguments: bytes, answer: "Future[Result]") -> Kept:
        """The call is being made; `answer` will have its result, or its error. `finish` comes next."""
        kept = Kept(session, owner, name, digest(arguments), answer)
        self._kept.setdefault(session, {})[name] = kept
        return kept

    def finish(self, kept: Kept, now: float) -> None:
        """Its answer is there: it is kept, unless another try is to be another call."""
        if self._kept.get(kept.session, {}).get(kept.name) is not kept:
            return
        error = None if kept.answer.cancelled() else kept.answer.exception()
        if kept.answer.cancelled() or (error is not None and not is_final(error)):
            self._drop(kept)
            return
        size = len(kept.answer.result()) if error is None else 0
        kept.too_large = size > LONGEST
        kept.size = _OVERHEAD if kept.too_large else _OVERHEAD + size
        if kept.too_large:
            kept.answer = kept.answer.get_loop().create_future()
        kept.until = now + KEPT_FOR
        self._enter(kept)

    def forget(self, session: object) -> None:
        """The session has ended, and its state is lost."""
        for kept in tuple(self._kept.pop(session, {}).values()):
            self._leave(kept)

    # Within.

    def _enter(self, kept: Kept) -> None:
        self._finished[kept] = None
        own = self._tallies.setdefault(kept.owner, _Tally())
        for tally in (own, self._tally):
            tally.answers += 1
            tally.size += kept.size
        while own.exceeds(self.each):
            self._drop(next(each for each in self._finished if each.owner == kept.owner))
        while self._tally.exceeds(self.all):
            self._drop(next(iter(self._finished)))

    def _drop(self, kept: Kept) -> None:
        of_session = self._kept.get(kept.session, {})
        if of_session.get(kept.name) is kept:
            del of_session[kept.name]
            if not of_session:
                del self._kept[kept.session]
        self._leave(kept)

    def _leave(self, kept: Kept) -> None:
        if kept not in self._finished:
            return
        del self._finished[kept]
        for tally in (self._tallies[kept.owner], self._tally):
            tally.answers -= 1
            tally.size -= kept.size
        if not self._tallies[kept.owner].answers:
            del self._tallies[kept.owner]

    def _expire(self, now: float) -> None:
        for kept in tuple(self._overdue(now)):
            self._drop(kept)

    def _overdue(self, now: float) -> Iterator[Kept]:
        for kept in self._finished:
            if kept.until > now:
                return
            yield kept


def is_final(error: BaseException) -> bool:
    """Whether it is what the call came to, which may have had an effect; anything else may be tried again."""
    return isinstance(error, GatewayError) and (
        error.reason in (Reason.CHILD_ERROR, Reason.REQUEST_TIMEOUT)
        or (error.reason is Reason.BAD_REQUEST and "code" in error.about)  # the child's own
    )


def digest(arguments: bytes) -> bytes:
    """What two calls with the same arguments have in common; the arguments themselves are not kept."""
    with suppress(msgspec.MsgspecError, RecursionError):
        if is_moderate(arguments):
            arguments = msgspec.json.encode(msgspec.json.decode(arguments), order="deterministic")
    return sha256(arguments).digest()


def _conflict(message: str) -> GatewayError:
    return GatewayError(Reason.IDEMPOTENCY_CONFLICT, message, header="Idempotency-Key")
