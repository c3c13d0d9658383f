"""One session's bridge to its child.

Here meet, and know nothing of one another, the conversation, the client's streams (`streams`) and the child's side
(`childside`). What client and child say, the conversation hears; what it wants done then, `performer` does. Nothing of it
is a task; the event loop calls it when the child writes, when a timer fires and when the supervisor speaks. `end` is the
only way in which it ends, and it takes a reason; after `leave` the session goes on, but with another gateway.
"""

import time
from collections import Counter
from collections.abc import Callable, Set
from typing import Protocol

from loguru import logger
from msgspec import Raw

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.childside import ChildSide
from gateway.conversation import Answers, Conversation
from gateway.drain import Calls
from gateway.ending import error_of
from gateway.eras import remedy
from gateway.errands import Errands
from gateway.errors import GatewayError
from gateway.hotstate import NoNotes, Notes, UnderWay
from gateway.identity.who import Who
from gateway.jsonrpc import Message, Notification, Request, Response, notification
from gateway.large import LargeAnswer
from gateway.outbox import Outbox
from gateway.performer import Patience, Performer
from gateway.pressure import Pressure
from gateway.redelivery import Resumed
from gateway.sharing.lane import Lane
from gateway.sizes import Fit, bounds
from gateway.streams import Streams
from gateway.talk import Talk
from gateway.toollists import CALL
from gateway.translation.steps import Translator
from supervisor.client import Grant
from supervisor.protocol import Exit


class LeaseHolder(Protocol):
    """Who speaks of the lease to the supervisor: its client, or a lane."""

    @property
    def epoch(self) -> int:
        """How many gateways there were before this one."""

    def hold(self, lease: int) -> None:
        """Keep its idle clock from running, until `unhold`."""

    def unhold(self, lease: int) -> None:
        """Let it run again, from now on."""

    def use(self, lease: int) -> None:
        """It was used just now."""

    def keep(self, lease: int, state: str) -> None:
        """Its child is ready."""

    def release(self, lease: int, reason: Reason, pipes: tuple[int, ...]) -> None:
        """It is let go; `pipes` are to be closed."""


class Relay:
    """The bridge of the session `label` to one child of `server`. `on_end(reason)` is called once.

    `start_within` is how many seconds the child has to answer `initialize`, where that is not all of `start_timeout`.
    `calls` counts the requests of all sessions. `notes` are for the gateway after this one; `resumes` is what the one
    before it had begun with the child. `talk` is the conversation, where it is not one of a legacy client; `translator`
    stands between it and the child. Where others may share the child, the `lane` is all that the session has of it, and
    the `supervisor`, too.
    """

    def __init__(
        self,
        supervisor: LeaseHolder,
        grant: Grant,
        server: str,
        policy: ServerPolicy,
        *,
        label: str,
        answers_questions: Answers,
        on_end: Callable[[Reason], None],
        calls: Calls,
        start_within: float | None = None,
        notes: Notes | None = None,
        resumes: UnderWay | None = None,
        talk: Talk | None = None,
        translator: Translator | None = None,
        errands: Errands | None = None,
        lane: Lane | None = None,
    ) -> None:
        self.errands = errands or Errands()
        """What each of its clients' requests may ask for, and be told."""
        self.lease = grant.lease
        self.pid = grant.pid
        self.certificate = grant.certificate
        """The id that its child's death certificate has, or will have."""
        self.ended: Reason | None = None
        self.used = resumes is not None
        """Whether the client has said anything yet."""
        self.kept = resumes is not None
        """Whether another gateway could go on with the child."""
        self.on_list_changed: Callable[[], None] = lambda: None
        """Called when the child says that its tools are others now."""
        self.on_offer_changed: Callable[[], None] = lambda: None
        """Called when the child says so of anything that it offers."""
        self.heed: Callable[[Who], None] = lambda _: None
        """Called with the sender of each request before it is passed on. Raises GatewayError where it may not be."""
        self.on_ready: Callable[[], None] = lambda: None
        """Called when the child has accepted `initialize`, before the client hears of it."""
        self.asked = 0
        """Requests of its client that were passed on."""
        self.calls = calls
        """Says whether one more request may be passed on. Nobody has to ask: the gateway's own pass whatever it says."""
        self.server = server
        self._supervisor = supervisor
        self._policy = policy
        self._label = label
        self._on_end = on_end
        self._holds = 0
        self._touched = time.monotonic()
        self._translator = translator
        self._conversation: Talk = talk or Conversation(
            answers_questions=answers_questions, epoch=supervisor.epoch, initialized=resumes is not None
        )
        notes, counters = notes or NoNotes(), self._conversation.counters
        self._child: ChildSide | Lane = lane or ChildSide(
            (grant.stdin, grant.stdout),
            policy.max_message_bytes,
            self,
            quotes=not policy.personal,
            counters=counters,
            notes=notes,
            translator=translator,
        )
        pressure = Pressure(pause=self._child.pause, resume=self._child.resume, cut_off=self._cut_off)
        self._remedy = remedy(policy)
        self._streams = Streams(supervisor.epoch, counters, pressure, resumable=policy.resumable)
        self._performer = Performer(
            self._conversation,
            self._streams,
            Patience(server, policy.start_timeout if start_within is None else start_within, policy.request_timeout),
            say=self._child.say,
            end=self.end,
            hold=self.hold,
            unhold=self.unhold,
            calls=calls,
            notes=notes,
            errands=self.errands,
        )
        if isinstance(self._child, Lane):
            self._child.join(self)
        elif resumes is not None:
            self._child.take_up(resumes)

    def __repr__(self) -> str:
        state = self.ended or "open"
        return f"<Relay {self._label} to {self.server} pid {self.pid}, {state}: {self._conversation!r}>"

    @property
    def lane(self) -> Lane | None:
        """What the session has of a child that others may share."""
        return self._child if isinstance(self._child, Lane) else None

    @property
    def standing(self) -> Outbox | None:
        """The standing stream, while there is one."""
        return self._streams.standing

    @property
    def translator(self) -> Translator | None:
        """What stands between the conversation and the child, where their eras differ."""
        return self._translator

    @property
    def initialized(self) -> bool:
        """Whether the child has accepted `initialize`."""
        return self._conversation.initialized

    @property
    def questions(self) -> Set[bytes]:
        """The ids of the child's questions that wait for the client's answer. It changes with the conversation."""
        return self._conversation.questions

    @property
    def version(self) -> str:
        """The revision on which client and child agreed; empty before."""
        return self._conversation.version

    @version.setter
    def version(self, version: str) -> None:
        """An earlier gateway heard it."""
        self._conversation.version = version

    @property
    def dropped(self) -> dict[str, int]:
        """How many messages were dropped, by why."""
        return dict(self._conversation.counters + (self._translator.counters if self._translator else Counter()))

    @property
    def client(self) -> str:
        """What the client called itself in `initialize`; empty before, and for the many of a modern child."""
        return self._conversation.client

    @client.setter
    def client(self, client: str) -> None:
        """An earlier gateway heard it."""
        self._conversation.client = client

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return self._performer.in_flight

    @property
    def idle(self) -> float:
        """Seconds for which nobody has used it; none while anything holds it."""
        return 0.0 if self._holds else time.monotonic() - self._touched

    def fit(self, client: str | None = None, *, endless: bool = False) -> Fit:
        """What is too long for a `client`, which is the session's where it is not given; `endless` as for `Fit`."""
        known = bounds(self._policy, self.client if client is None else client)
        return Fit(known, self._conversation.counters, endless=endless)

    # What the client says. All of it raises the session's end, once there is one.

    def request(
        self,
        message: Request,
        outbox: Outbox,
        *,
        who: Who | None,
        can_carry_more: bool = True,
        only_questions: bool = False,
        within: float | None = None,
    ) -> None:
        """Pass on a request of `who`, or the gateway's own.

        Its answer, or an error in its place, comes to `outbox`, always; `within` so many seconds, where that is less than
        `request_timeout`. The outbox may carry more, or `only_questions` more.
        """
        self._refuse_if_ended()
        if who is not None:
            try:
                message = self.errands.check(message, who)
                self.heed(who)
            except GatewayError as error:
                self.refuse(message, outbox, error)
                return
        stream = self._streams.number(outbox)
        call, effects = self._conversation.request(
            message, stream, can_carry_more=can_carry_more, only_questions=only_questions
        )
        if call is not None:
            self._performer.begin(call, within, of_tool=message.method == CALL)
        if who is not None:
            self.asked += 1
            self.errands.enter(call, message, who, effects)
        self._use()
        self._performer.perform(effects)

    def refuse(self, message: Request, outbox: Outbox, error: GatewayError) -> None:
        """Answer a request with `error` in place of passing it on."""
        self._refuse_if_ended()
        self._use()
        stream = self._streams.number(outbox)
        self._streams.answer(stream, error.rpc_body(message.id), error)
        self._streams.finish(stream)

    def notify(self, message: Notification) -> None:
        """Pass on a notification. A call without an id is none: nobody has asked whether it may be made."""
        self._refuse_if_ended()
        if message.method == CALL:
            self._conversation.counters["call_without_id"] += 1
            return
        self._use()
        self._performer.perform(self._conversation.notify(message))

    def cancel(self, id_: bytes, reason: str) -> None:
        """The client wants no answer any more to its request with that id; nothing happens where it is not in flight."""
        if self.ended is None:
            params = {"requestId": Raw(id_), "reason": reason}
            self._performer.perform(self._conversation.notify(notification("notifications/cancelled", params)))

    def respond(self, message: Response) -> None:
        """Pass on the client's answer to a question of the child's."""
        self._refuse_if_ended()
        self._use()
        self._performer.perform(self._conversation.respond(message))

    def stand(self, outbox: Outbox) -> None:
        """Make `outbox` the standing stream; the one before it is closed."""
        self._refuse_if_ended()
        self._performer.perform(self._conversation.stand(self._streams.stand(outbox)))

    def record(self, outbox: Outbox, request: bytes = b"") -> bytes:
        """From now on the client may come back to the stream of `outbox`; the event id of its beginning, if it may.

        `request` is the JSON of the id of the stream's request, where it has one.
        """
        return self._streams.record(outbox, request)

    def listen(self, last_event_id: str | None = None) -> Resumed:
        """A new standing stream, or the rest of the one that the client has heard up to the event `last_event_id`."""
        self._refuse_if_ended()
        if last_event_id is None or self._streams.wants_standing(last_event_id):
            resumed = self._streams.go_on_standing(last_event_id)
            outbox = resumed.outbox if resumed is not None else self.new_outbox(stands=True)
            self.stand(outbox)
            return resumed or Resumed(outbox, self.record(outbox))
        resumed = self._streams.go_on(last_event_id)
        if resumed.stream is not None:
            self._performer.perform(self._conversation.reopen(resumed.stream))
        return resumed

    def hang_up(self, outbox: Outbox) -> None:
        """The client no longer takes from `outbox`; what it asked for goes on, and it may come back for it."""
        for stream in self._streams.hang_up(outbox):
            self._performer.perform(self._conversation.close_stream(stream))

    def new_outbox(self, *, stands: bool = False) -> Outbox:
        """An outbox that slows the child down when its client does not keep up."""
        return self._streams.new(stands=stands)

    def _cut_off(self, outbox: Outbox) -> None:
        logger.warning("{!r}: its client does not keep up with a stream; closing it", self)
        self.hang_up(outbox)

    def hush(self) -> None:
        """Have the log tell of the child's noise at DEBUG alone; a child that is shared is as loud as it was."""
        if isinstance(self._child, ChildSide):
            self._child.hush()

    def hold(self) -> None:
        """Keep the idle clock from running, until as many calls of `unhold`."""
        self._holds += 1
        if self._holds == 1:
            self._supervisor.hold(self.lease)

    def unhold(self) -> None:
        """Let go of one hold."""
        self._holds -= 1
        self._touched = time.monotonic()
        if self._holds == 0 and self.ended is None:
            self._supervisor.unhold(self.lease)

    # What the child says (childside.Hearer), and the supervisor of it.

    def hear(self, message: Message, line: bytes, about: int | None = None) -> None:
        """The child says `message`, which is `line`."""
        if self.ended is not None:
            return
        was_ready = self.initialized
        effects = self._conversation.from_child(message, line, about)
        if self.initialized and not was_ready:
            self._supervisor.keep(self.lease, "")  # ready; what else there is to keep, its session knows
            self.on_ready()
        self._performer.perform(effects)

    def hear_large(self, answer: LargeAnswer) -> bool:
        """The child gives a long answer; False where it is to be heard as a whole."""
        if self.ended is not None:
            return True
        effects = self._conversation.large(answer)
        if effects is None:
            return False
        self._performer.perform(effects)
        return True

    def on_ending(self, reason: Reason, exit_: Exit | None, certificate: str = "") -> None:
        """The supervisor is ending the child, or says that it ended."""
        if self.ended is None:
            self._child.drain()
        if self.ended is None:
            self.certificate = certificate or self.certificate
            self._end(reason, exit_)
            self._child.close()

    # The end.

    def end(self, reason: Reason) -> None:
        """End it: whoever waits gets an error, every stream is closed, the child is let go. May be called again."""
        if self.ended is None:
            self._supervisor.release(self.lease, reason, self._child.detach())
            self._end(reason, None)

    def leave(self) -> None:
        """Let go of the child, with which another gateway goes on; who waits gets an error, every stream is closed.

        What was in flight stays noted, and the next gateway cancels it.
        """
        if self.ended is not None:
            return
        self._performer.leave()
        error = self._error(Reason.GATEWAY_RESTARTED)
        self._performer.perform(self._conversation.leave(error))
        if self.ended is not None:
            return
        self.ended = Reason.GATEWAY_RESTARTED
        self._child.close()
        self._let_go()

    def _end(self, reason: Reason, exit_: Exit | None) -> None:
        self.ended = reason
        self._performer.perform(self._conversation.fail(self._error(reason, exit_)))
        self._let_go()
        self._performer.close()
        self._on_end(reason)

    def _let_go(self) -> None:
        """Nothing of it is left to a timer or a stream."""
        self._child.end()
        self._streams.end(spare_standing=self.ended is Reason.IDLE_TIMEOUT)  # that one is the afterlife's

    def _error(self, reason: Reason, exit_: Exit | None = None) -> GatewayError:
        return error_of(reason, self.server, self.certificate, exit_, self._remedy)

    def _use(self) -> None:
        self.used = True
        self._touched = time.monotonic()
        self._supervisor.use(self.lease)

    def _refuse_if_ended(self) -> None:
        if self.ended is not None:
            raise self._error(self.ended)
