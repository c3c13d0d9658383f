"""The way to a child: a place for it (supervisor.admission), and a server that is worth the try (supervisor.backoff).

Both decide; this waits, and tells them what became of it. The ticket is the lease of the child that may come of it.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import anyio
from loguru import logger

from common.config.model import SupervisorSettings
from common.reasons import Reason
from supervisor.admission import Admission, Refusal, Standing
from supervisor.backoff import SPAWN_FAILURES, Failures, Verdict, judge
from supervisor.child import Child, how_it_ended
from supervisor.environment import SpawnError
from supervisor.personal import asks_for
from supervisor.protocol import ServerReport
from supervisor.queueing import Request

_NONE: Final[Counter[str]] = Counter()


class Gate:
    """Whoever is let in by `enter` tells `left` when the place is free again, whatever happens in between."""

    def __init__(self, settings: SupervisorSettings) -> None:
        self._admission = Admission(settings)
        self._failures = Failures()
        self._turns: dict[int, anyio.Event] = {}
        self.on_wait: Callable[[list[int]], None] = lambda _: None
        """Called with the tickets of what is nobody's, and in the way of somebody who has to wait."""

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._admission.queue)

    def use(self, settings: SupervisorSettings) -> None:
        """Other settings hold from now on; who waits may have room now."""
        self._admission.settings = settings
        self._call(self._admission.move_on())

    async def enter(self, ticket: int, request: Request) -> None:
        """Wait for a place, `queue_timeout` at most, and take it.

        Raises SpawnError, with a reason, where there is none or the server is given a rest. Then, and when it is
        cancelled, nothing is taken.
        """
        self._refuse_if_resting(request)
        standing = self._admission.ask(ticket, request)
        self._call(self._admission.displaced())
        if isinstance(standing, Refusal):
            raise _refused(request, standing)
        try:
            if standing is Standing.WAITS:
                await self._wait(ticket, request)
            if (rest := self._failures.attempt(request.server, ticket, time.monotonic())) is not None:
                raise _refused(request, Refusal(Reason.SERVER_FAILING, rest.message, rest.retry_after))
        except BaseException:
            self.left(ticket)
            raise

    def enter_spare(self, ticket: int, request: Request) -> bool:
        """Take a place for a spare, if nobody is likely to need it, and the server is worth the try."""
        if self._failures.rest(request.server, time.monotonic()) is not None or not self._admission.has_room_to_spare():
            return False
        return self._admission.ask(ticket, request) is Standing.ADMITTED

    def hand_over(self, ticket: int, request: Request, instead_of: int | None = None) -> bool:
        """Give `request` the place that the spare `ticket` has, if the caps let it; `instead_of` is left then.

        Raises SpawnError where the server is given a rest.
        """
        now = time.monotonic()
        if instead_of is None:
            self._refuse_if_resting(request)
        if not self._admission.hand_over(ticket, request, instead_of):
            return False
        if instead_of is not None:
            self._failures.ended(request.server, instead_of, Verdict.NOTHING, started=now, now=now, why="")
        self._failures.attempt(request.server, ticket, now)
        self._call(self._admission.move_on())
        return True

    def left(self, ticket: int) -> None:
        """This place is free again; those whose turn it is get it."""
        self._call(self._admission.leave(ticket))

    def gave_up(self, ticket: int, request: Request) -> None:
        """It was let in, and went before there was a child: that says nothing of the server, which others may try."""
        now = time.monotonic()
        self._failures.ended(request.server, ticket, Verdict.NOTHING, started=now, now=now, why="")
        self.left(ticket)

    def could_not_spawn(self, ticket: int, request: Request, error: SpawnError) -> None:
        """The child was let in, and could not be started."""
        spec = self._admission.settings.servers.get(request.server)
        bad = Verdict.BAD_FOR_ONE if spec is not None and asks_for(spec) else Verdict.BAD
        verdict = bad if error.reason in SPAWN_FAILURES else Verdict.NOTHING
        now, why = time.monotonic(), f"{error.reason}: {error.message}"
        self._failures.ended(request.server, ticket, verdict, started=now, now=now, why=why, user=request.user)
        self.left(ticket)

    def ready(self, child: Child) -> None:
        """This child can serve."""
        self._failures.ready(child.spec.name, child.lease, child.started, time.monotonic())

    def gone(self, child: Child) -> None:
        """The tree of this child is empty. A spare's end says nothing of how its server serves."""
        assert child.reason is not None
        if child.is_spare:
            self.left(child.lease)
            return
        verdict = judge(
            child.reason,
            named=bool(child.user),
            lived=child.lived,
            lived_ready=child.lived_ready,
            personal=bool(child.spec.private),
        )
        why = f"{child.reason}, {how_it_ended(child.exit)}, certificate {child.certificate}"
        self._failures.ended(
            child.spec.name,
            child.lease,
            verdict,
            started=child.started,
            now=time.monotonic(),
            why=why,
            user=child.user,
        )
        self.left(child.lease)

    def reports(
        self, running: Counter[str], warm: Mapping[str, int] = _NONE, zygotes: Mapping[str, int] = _NONE
    ) -> dict[str, ServerReport]:
        """How each server is doing; `running` is how many children each has that run, `warm` how many spares.

        `zygotes` are the bytes that the zygote of each has for itself. What is to have none is not in the two.
        """
        waiting, now = self._admission.queue.waiting(), time.monotonic()
        return {
            name: ServerReport(
                running[name], waiting[name], self._failures.failing(name, now), warm.get(name), zygotes.get(name)
            )
            for name in self._admission.settings.servers
        }

    async def _wait(self, ticket: int, request: Request) -> None:
        turn = self._turns[ticket] = anyio.Event()
        self.on_wait(self._admission.call_away(request))
        logger.info("session {} waits for a place for {}, behind {}", request.label, request.server, self.waiting - 1)
        try:
            with anyio.move_on_after(self._admission.settings.queue_timeout):
                await turn.wait()
        finally:
            del self._turns[ticket]
        # Its turn may have come at the very end; then the place is its own.
        if self._admission.holds(ticket):
            return
        if (refusal := self._admission.give_up(ticket, request)) is not None:
            raise _refused(request, refusal)

    def _call(self, tickets: list[int]) -> None:
        for ticket in tickets:
            self._turns[ticket].set()

    def _refuse_if_resting(self, request: Request) -> None:
        if (rest := self._failures.rest(request.server, time.monotonic())) is not None:
            raise _refused(request, Refusal(Reason.SERVER_FAILING, rest.message, rest.retry_after))


def _refused(request: Request, refusal: Refusal) -> SpawnError:
    level = "DEBUG" if request.gives_way else "WARNING"
    logger.log(level, "refused a child of {}: {}", request.server, refusal.message)
    return SpawnError(refusal.reason, refusal.message, refusal.message, refusal.retry_after)
