"""Does what a conversation decides: between the client's streams and the child's side.

It keeps what the conversation, which has no clock, leaves to others: how long each request and each question is waited
for, and that the session is held meanwhile (`inflight`, `questions`). `effects` says what there is to do.
"""

from collections.abc import Callable
from dataclasses import dataclass

from common.reasons import Reason
from gateway.drain import Calls
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errands import Errands
from gateway.errors import GatewayError
from gateway.hotstate import Notes
from gateway.inflight import InFlight
from gateway.questions import OpenQuestions
from gateway.streams import Streams
from gateway.talk import Talk


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds an answer is waited for.

    `start` is for the first one of a child of `server`, `request` for any other, and for a client's to a question.
    """

    server: str
    start: float
    request: float


class Performer:
    """Performs the effects of `talk`.

    `say(line)` tells the child, and may have more effects performed before it returns. `end(reason)` ends the session,
    because the child did not start; it may be called again. `hold` and `unhold`, as often as each other, keep the idle
    clock from running. `calls` counts the requests of all sessions, `notes` are for the gateway after this one; `errands`
    know who has sent which request.
    """

    def __init__(
        self,
        talk: Talk,
        streams: Streams,
        patience: Patience,
        *,
        say: Callable[[bytes], None],
        end: Callable[[Reason], None],
        hold: Callable[[], None],
        unhold: Callable[[], None],
        calls: Calls,
        notes: Notes,
        errands: Errands | None = None,
    ) -> None:
        self._errands = errands or Errands()
        self._talk = talk
        self._streams = streams
        self._patience = patience
        self._say = say
        self._end = end
        self._in_flight = InFlight(expire=self._expire, hold=hold, unhold=unhold, calls=calls, notes=notes)
        self._questions = OpenQuestions(
            patience.request, expire=self._expire_question, hold=hold, unhold=unhold, notes=notes
        )

    def __repr__(self) -> str:
        return f"<Performer {self._in_flight!r}, {self._questions!r}>"

    def begin(self, call: int, within: float | None = None, *, of_tool: bool = False) -> None:
        """The request `call`, perhaps `of_tool`, is in flight from now on; `perform` what comes of it next.

        Its sender wants to wait `within` seconds at most, where that is less than the patience for it.
        """
        seconds = self._seconds(call)
        patience = seconds if within is None or seconds is None else min(seconds, within)
        self._in_flight.begin(call, patience, of_tool=of_tool)

    def perform(self, effects: list[Effect]) -> None:
        """Do `effects`, in order."""
        for effect in effects:
            match effect:
                case ToChild(line=line):
                    self._say(line)
                case ToStream(stream=stream, data=data):
                    self._streams.put(stream, data)
                case Answered(stream=stream, data=data, call=call, failure=failure):
                    self._streams.answer(stream, self._errands.answered(call, data, failure), failure)
                    self._finish(stream, call)
                case Cancelled(stream=stream, call=call):
                    self._errands.cancelled(call)
                    self._finish(stream, call)
                case Over():
                    self._end(Reason.START_FAILED)
        self._questions.follow(self._talk.questions)

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return len(self._in_flight)

    def leave(self) -> None:
        """The requests that are in flight now stay noted: another gateway goes on with the child, and cancels them."""
        self._in_flight.leave()

    def close(self) -> None:
        """The lease has ended, and its notes with it. What was in flight is to have been answered by now."""
        self._in_flight.close()

    def _finish(self, stream: int, call: int) -> None:
        self._in_flight.finish(call)
        self._streams.finish(stream)

    def _seconds(self, call: int) -> float | None:
        """For which the answer to `call` is waited; None is for as long as it takes."""
        if self._talk.waits(call):
            return None
        return self._patience.start if self._talk.opens(call) else self._patience.request

    def _expire(self, call: int, patience: float) -> None:
        if self._talk.opens(call):
            self._end(Reason.START_TIMEOUT)
            return
        message = f"the server did not answer within {patience:g} seconds"
        error = GatewayError(Reason.REQUEST_TIMEOUT, message, server=self._patience.server)
        self.perform(self._talk.expire(call, error))

    def _expire_question(self, question: bytes) -> None:
        self.perform(self._talk.expire_question(question))
