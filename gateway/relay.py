"""One session's bridge to its child: does what the conversation decides.

A relay owns the channel to the child and everything that waits for it: the outboxes of streams, a timer for each request
in flight. Nothing of it is a task; the event loop calls it when the child writes, when a timer fires and when the
supervisor speaks. `end` is the only way in which it ends, and it takes a reason; after `leave` the session goes on, but
with another gateway.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from loguru import logger

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway import errors
from gateway.channel import Channel, ChildNotReading
from gateway.conversation import Conversation
from gateway.drain import CallsInFlight
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errors import GatewayError
from gateway.framing import Oversized
from gateway.hotstate import NoNotes, Notes, UnderWay
from gateway.jsonrpc import Malformed, Message, Notification, Request, Response, answered_id, decode, encode
from gateway.noise import Noise
from gateway.outbox import Outbox
from gateway.questions import OpenQuestions
from gateway.redelivery import Redelivery, Resumed
from gateway.resumption import first_words
from gateway.talk import Talk
from gateway.translation.interpreter import Interpreter
from gateway.translation.steps import Translator
from supervisor.client import Grant, SupervisorClient
from supervisor.protocol import Exit

EXIT_NEWS: Final = 1.0
"""Seconds between the end of a child's output and the supervisor's news of its exit. Without news it still runs."""

STALL: Final = 10.0
"""Seconds for which a full stream may hold up its child without the client taking anything from it."""

_UNCERTIFIED: Final = frozenset({Reason.GATEWAY_RESTARTED, Reason.SUPERVISOR_LOST})
"""Ends of a relay after which its child lives, or nobody is left to say how it died."""


class Relay:
    """The bridge of the session `label` to one child of `server`. `on_end(reason)` is called once.

    `start_within` is how many seconds the child has to answer `initialize`, where that is not all of `start_timeout`.
    `notes` are for the gateway after this one; `resumes` is what the one before it had begun with the child.
    `talk` is the conversation, where it is not one of a legacy client; `translator` stands between it and the child.
    """

    def __init__(
        self,
        supervisor: SupervisorClient,
        grant: Grant,
        server: str,
        policy: ServerPolicy,
        *,
        label: str,
        answers_questions: bool,
        on_end: Callable[[Reason], None],
        start_within: float | None = None,
        notes: Notes | None = None,
        resumes: UnderWay | None = None,
        talk: Talk | None = None,
        translator: Translator | None = None,
    ) -> None:
        self.lease = grant.lease
        self.pid = grant.pid
        self.on_list_changed: Callable[[], None] = lambda: None
        """Called when the child says that its tools are others now."""
        self.on_ready: Callable[[], None] = lambda: None
        """Called when the child has accepted `initialize`, before the client hears of it."""
        self.calls = CallsInFlight()
        """Requests that wait for the child; the table puts one for all sessions here."""
        self._supervisor = supervisor
        self._server = server
        self._policy = policy
        self._start_within = policy.start_timeout if start_within is None else start_within
        self._label = label
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._notes = notes or NoNotes()
        self._conversation: Talk = talk or Conversation(
            answers_questions=answers_questions, epoch=supervisor.epoch, initialized=resumes is not None
        )
        self._translator = translator
        self._interpreter = self._new_interpreter(translator)
        self._noise = Noise(self.__repr__)
        self._streams: dict[int, Outbox] = {}
        self._last_stream = 0
        self._timers: dict[int, asyncio.TimerHandle | None] = {}
        self._full: dict[Outbox, asyncio.TimerHandle] = {}
        self._holds = 0
        self._questions = OpenQuestions(
            policy.request_timeout,
            expire=self._expire_question,
            hold=self.hold,
            unhold=self.unhold,
            notes=self._notes,
        )
        self._redelivery = Redelivery(supervisor.epoch, self._conversation.counters, self.new_outbox)
        self._standing: Outbox | None = None
        self.used = resumes is not None
        """Whether the client has said anything yet."""
        self.kept = resumes is not None
        """Whether another gateway could go on with the child."""
        self._resuming = resumes is not None
        """Whether the next line may lack its beginning, which an earlier gateway has read."""
        self._gives_up = False
        """Whether the child does not read its input, and is about to be ended for that."""
        self._exit_news: asyncio.TimerHandle | None = None
        self.ended: Reason | None = None
        self.certificate = grant.certificate
        """The id that its child's death certificate has, or will have."""
        self._channel = Channel(grant.stdin, grant.stdout, policy.max_message_bytes, self, self._notes)
        if resumes is not None:
            for line in first_words(resumes):
                self._to_child(line)

    def __repr__(self) -> str:
        state = self.ended or "open"
        return f"<Relay {self._label} to {self._server} pid {self.pid}, {state}: {self._conversation!r}>"

    @property
    def standing(self) -> Outbox | None:
        """The standing stream, while there is one."""
        return self._standing

    @property
    def translator(self) -> Translator | None:
        """What stands between the conversation and the child, where their eras differ."""
        return self._translator

    @property
    def initialized(self) -> bool:
        """Whether the child has accepted `initialize`."""
        return self._conversation.initialized

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

    # What the client says. All of it raises the session's end, once there is one.

    def request(self, message: Request, outbox: Outbox, *, can_carry_more: bool = True) -> None:
        """Pass on a request; its answer, or an error in its place, comes to `outbox`, always."""
        self._refuse_if_ended()
        stream = self._number(outbox)
        call, effects = self._conversation.request(message, stream, can_carry_more=can_carry_more)
        if call is not None:
            timer = self._timers[call] = self._time(call)
            self._notes.begin(call)
            if timer is not None:
                self.calls.begin()
            self.hold()
        self._use()
        self._perform(effects)

    def notify(self, message: Notification) -> None:
        """Pass on a notification."""
        self._refuse_if_ended()
        self._use()
        self._perform(self._conversation.notify(message))

    def respond(self, message: Response) -> None:
        """Pass on the client's answer to a question of the child's."""
        self._refuse_if_ended()
        self._use()
        self._perform(self._conversation.respond(message))

    def stand(self, outbox: Outbox) -> None:
        """Make `outbox` the standing stream; the one before it is closed."""
        self._refuse_if_ended()
        if self._standing is not None:
            self._standing.close()
        self._standing = outbox
        self._perform(self._conversation.stand(self._number(outbox)))

    def record(self, outbox: Outbox, request: bytes = b"") -> bytes:
        """From now on the client may come back to the stream of `outbox`; the event id of its beginning, if it may.

        `request` is the JSON of the id of the stream's request, where it has one.
        """
        if not self._policy.resumable:
            return b""
        return self._redelivery.record(outbox, self._number_of(outbox) or self._new_number(), request)

    def listen(self, last_event_id: str | None = None) -> Resumed:
        """A new standing stream, or the rest of the one that the client has heard up to the event `last_event_id`."""
        self._refuse_if_ended()
        if last_event_id is None or not self._policy.resumable or self._redelivery.stands(last_event_id):
            return self._listen(last_event_id)
        resumed = self._redelivery.go_on(last_event_id)
        if resumed.stream is not None:
            before = self._streams[resumed.stream]
            self._streams[resumed.stream] = resumed.outbox
            resumed.outbox.awaits = before.awaits
            before.discard()
            self._perform(self._conversation.reopen(resumed.stream))
        return resumed

    def _listen(self, last_event_id: str | None) -> Resumed:
        outbox = self.new_outbox(stands=True)
        resumed = self._redelivery.go_on_standing(last_event_id or "", outbox)
        if resumed is not None and resumed.stream is not None:
            self._streams[resumed.stream] = outbox
        self.stand(outbox)
        return resumed or Resumed(outbox, self.record(outbox))

    def hang_up(self, outbox: Outbox) -> None:
        """The client no longer takes from `outbox`; what it asked for goes on, and it may come back for it."""
        outbox.discard()
        if self._standing is outbox:
            self._standing = None
        for number in [number for number, each in self._streams.items() if each is outbox]:
            if outbox.stands or not outbox.recorded:
                del self._streams[number]
            self._perform(self._conversation.close_stream(number))

    def new_outbox(self, *, stands: bool = False) -> Outbox:
        """An outbox that slows the child down when its client does not keep up."""
        return Outbox(self._on_level, stands=stands)

    def hold(self) -> None:
        """Keep the idle clock from running, until as many calls of `unhold`."""
        self._holds += 1
        if self._holds == 1:
            self._supervisor.hold(self.lease)

    def unhold(self) -> None:
        """Let go of one hold."""
        self._holds -= 1
        if self._holds == 0 and self.ended is None:
            self._supervisor.unhold(self.lease)

    # What the child says (channel.Listener), and the supervisor of it.

    def on_line(self, line: bytes) -> None:
        """One line of the child's output."""
        try:
            message = decode(line)
        except Malformed as error:
            if self._resuming:
                self._resuming = False  # of one line only can an earlier gateway have read the beginning
                return  # no end of a JSON object is one, so this is exact
            self._conversation.counters["noise"] += 1
            self._noise.malformed(error, line)
            return
        if isinstance(message, Notification) and message.method == "notifications/tools/list_changed":
            self.on_list_changed()
        self._resuming = False
        if self._interpreter is None:
            self._hear(message, line.replace(b"\r", b" "))
            return
        self._interpreter.from_child(message)
        if self._interpreter.is_over:
            self._interpreter = None

    def _hear(self, message: Message, line: bytes, about: int | None = None) -> None:
        """The child says `message`, which is `line`."""
        if self.ended is not None:
            return
        was_ready = self.initialized
        effects = self._conversation.from_child(message, line, about)
        if self.initialized and not was_ready:
            self._supervisor.keep(self.lease, "")  # ready; what else there is to keep, its session knows
            self.on_ready()
        self._perform(effects)

    def on_oversized(self, line: Oversized) -> None:
        """A line over the limit. Where it was an answer, whoever waits for it is told."""
        self._conversation.counters["oversized"] += 1
        self._noise.oversized(line.size, self._policy.max_message_bytes)
        if id_ := answered_id(line.head, line.tail):
            self.on_line(errors.oversized(id_, line.size, self._policy.max_message_bytes))

    def on_closed(self) -> None:
        """The child closed its output; usually it has ended, and the supervisor is about to say how."""
        if self.ended is None:
            self._exit_news = self._loop.call_later(EXIT_NEWS, self.end, Reason.CHILD_CLOSED_STDOUT)

    def on_ending(self, reason: Reason, exit_: Exit | None, certificate: str = "") -> None:
        """The supervisor is ending the child, or says that it ended."""
        if self.ended is None:
            self._channel.drain()
        if self.ended is None:
            self.certificate = certificate or self.certificate
            self._end(reason, exit_)
            self._channel.close()

    # The end.

    def end(self, reason: Reason) -> None:
        """End it: whoever waits gets an error, every stream is closed, the child is let go. May be called again."""
        if self.ended is None:
            self._supervisor.release(self.lease, reason, self._channel.detach())
            self._end(reason, None)

    def leave(self) -> None:
        """Let go of the child, with which another gateway goes on; who waits gets an error, every stream is closed.

        What was in flight stays noted, and the next gateway cancels it.
        """
        if self.ended is not None:
            return
        self._notes = NoNotes()
        error = self._error(Reason.GATEWAY_RESTARTED)
        self._perform(self._conversation.leave(error))
        if self.ended is not None:
            return
        self.ended = Reason.GATEWAY_RESTARTED
        self._channel.close()
        self._let_go()

    def _end(self, reason: Reason, exit_: Exit | None) -> None:
        self.ended = reason
        self._perform(self._conversation.fail(self._error(reason, exit_)))
        self._let_go()
        self._notes.close()
        self._on_end(reason)

    def _let_go(self) -> None:
        """Nothing of it is left to a timer or a stream."""
        self._noise.close()
        if self._exit_news is not None:
            self._exit_news.cancel()
        if self._interpreter is not None:
            self._interpreter.end()
        for outbox in tuple(self._streams.values()):
            if not (self.ended is Reason.IDLE_TIMEOUT and outbox is self._standing):
                outbox.close()  # the other one is the afterlife's
        for timer in self._full.values():
            timer.cancel()
        self._full.clear()
        self._streams.clear()
        self._redelivery.end()

    def _error(self, reason: Reason, exit_: Exit | None = None) -> GatewayError:
        about: dict[str, object] = {}
        if exit_ is not None and exit_.signal is not None:
            about["signal"] = exit_.signal
        elif exit_ is not None and exit_.code is not None:
            about["exitCode"] = exit_.code
        if self.certificate and reason not in _UNCERTIFIED:
            about["certificate"] = self.certificate
        return errors.ended(reason, self._server, **about)

    def _use(self) -> None:
        self.used = True
        self._supervisor.use(self.lease)

    def _refuse_if_ended(self) -> None:
        if self.ended is not None:
            raise self._error(self.ended)

    # Within.

    def _number(self, outbox: Outbox) -> int:
        """The number under which the conversation knows `outbox`."""
        known = self._number_of(outbox)
        if known is not None:
            return known
        number = self._new_number()
        self._streams[number] = outbox
        return number

    def _number_of(self, outbox: Outbox) -> int | None:
        return next((number for number, each in self._streams.items() if each is outbox), None)

    def _new_number(self) -> int:
        self._last_stream += 1
        return self._last_stream

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case ToChild(line=line):
                    self._to_child(line)
                case ToStream(stream=stream, data=data):
                    if (outbox := self._streams.get(stream)) is not None:
                        outbox.put(data)
                case Answered(stream=stream, data=data, call=call, failure=failure):
                    if (outbox := self._streams.get(stream)) is not None:
                        outbox.put(data)
                        outbox.failure = failure
                    self._finish(stream, call)
                case Cancelled(stream=stream, call=call):
                    self._finish(stream, call)
                case Over():
                    self.end(Reason.START_FAILED)
        self._questions.follow(self._conversation.questions)

    def _new_interpreter(self, translator: Translator | None) -> Interpreter | None:
        if translator is None:
            return None

        def hear(message: Message, about: int | None) -> None:
            self._hear(message, encode(message), about)

        return Interpreter(
            translator, say=self._write, hear=hear, hold=self.hold, unhold=self.unhold, notes=self._notes
        )

    def _to_child(self, line: bytes) -> None:
        if self._interpreter is None or not line:
            self._write(line)
        else:
            self._interpreter.to_child(decode(line))

    def _write(self, line: bytes) -> None:
        try:
            self._channel.write(line)
        except ChildNotReading:
            if not self._gives_up:
                self._gives_up = True
                logger.warning("{!r} does not read its input", self)
                self._loop.call_soon(self.end, Reason.CHILD_NOT_READING)

    def _finish(self, stream: int, call: int) -> None:
        """`call` is over; its stream ends with it, unless it is a standing one."""
        self._notes.finish(call)
        if call in self._timers:
            if (timer := self._timers.pop(call)) is not None:
                timer.cancel()
                self.calls.end()
            self.unhold()
        outbox = self._streams.get(stream)
        if outbox is not None and not outbox.stands:
            outbox.awaits -= 1
            if outbox.awaits <= 0:
                outbox.close()
                del self._streams[stream]

    def _time(self, call: int) -> asyncio.TimerHandle | None:
        """The timer after which the answer to `call` is waited for no longer, if there is such a time."""
        if self._conversation.waits(call):
            return None
        patience = self._start_within if self._conversation.opens(call) else self._policy.request_timeout
        return self._loop.call_later(patience, self._expire, call, patience)

    def _expire(self, call: int, patience: float) -> None:
        if self._conversation.opens(call):
            self.end(Reason.START_TIMEOUT)
            return
        error = GatewayError(
            Reason.REQUEST_TIMEOUT, f"the server did not answer within {patience:g} seconds", server=self._server
        )
        self._perform(self._conversation.expire(call, error))

    def _expire_question(self, question: bytes) -> None:
        self._perform(self._conversation.expire_question(question))

    def _on_level(self, outbox: Outbox, full: bool) -> None:
        """Stop reading the child while any stream is full; a client that takes nothing for STALL seconds is cut off."""
        if full:
            self._full[outbox] = self._loop.call_later(STALL, self._stalled, outbox, outbox.taken)
            self._channel.pause()
        elif (timer := self._full.pop(outbox, None)) is not None:
            timer.cancel()
        if not self._full:
            self._channel.resume()

    def _stalled(self, outbox: Outbox, taken: int) -> None:
        if outbox.taken > taken:
            self._full[outbox] = self._loop.call_later(STALL, self._stalled, outbox, outbox.taken)
            return
        logger.warning("{!r}: its client took nothing from a stream for {} seconds; closing it", self, STALL)
        self.hang_up(outbox)
