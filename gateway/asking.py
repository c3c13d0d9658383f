"""One request to a child that is answered here, and its result."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Malformed, Message, Notification, Request, Response, decode
from gateway.large import Data, LargeAnswer, Result
from gateway.relay import Relay
from gateway.specification import INVALID_PARAMS

MAX_QUOTED: Final = 1000
"""Characters of a child's error message that a caller gets."""

_NO_BOUND: Final = 1e8
"""The relay answers every request within its own bound, so waiting for the answer needs none."""


Asks = Callable[[Request], None]
"""Called with a question that a child asks before it answers a request; it is to be answered."""


class _RpcError(msgspec.Struct):
    code: int
    message: str = ""


class Listener(Protocol):
    """Who wants to know of a request what its child says before it answers."""

    def asked(self) -> None:
        """The child has been asked. No error comes any more that could be told without asking it."""

    async def hear(self, message: Notification) -> None:
        """The child says `message` meanwhile. While this takes its time, more waits, and then the child does."""


def _never() -> bool:
    return False


class Asking:
    """A request that is on its way to a child; `answer` waits for what comes of it.

    It is `message`, which is of `who`, or the gateway's own; the child has `within` seconds, and `request_timeout`. What
    the child asks before it answers goes to `asks`, if that is there; else it takes another way. Whoever stops waiting
    cancels the request, unless `cancels` leaves it to the conversation. Raises GatewayError where the session has ended.
    """

    def __init__(
        self,
        relay: Relay,
        server: str,
        message: Request,
        *,
        who: Who | None,
        within: float | None = None,
        listener: Listener | None = None,
        asks: Asks | None = None,
        cancels: bool = True,
    ) -> None:
        self._relay = relay
        self._server = server
        self._id = message.id
        self._listener = listener
        self._asks = asks
        self._cancels = cancels
        self._turn = 0
        """Whose it is to wait: each who does has another number."""
        self._outbox = outbox = relay.new_outbox()
        wants_more, only_questions = bool(listener or asks), listener is None
        relay.request(message, outbox, who=who, can_carry_more=wants_more, only_questions=only_questions, within=within)
        self._stale = outbox.waiting
        """What the child said when nobody listened: it is about no request of ours."""

    def __repr__(self) -> str:
        return f"<Asking {self._server}: {self._outbox!r}>"

    async def answer(self) -> Result:
        """The result. Raises GatewayError for an error, the child's or our own. Cancellation gives it up."""
        result = await self.answer_until(_never)
        assert result is not None
        return result

    async def answer_until(self, is_left: Callable[[], bool]) -> Result | None:
        """The same; None as soon as nothing is there and it `is_left`, or was handed on."""
        self._turn += 1
        turn = self._turn
        try:
            response = await self._response(is_left, turn)
        except BaseException:
            if turn == self._turn:
                self.give_up()
            raise
        if response is None:
            return None
        self._relay.hang_up(self._outbox)
        return self._result(response)

    def hand_on(self) -> None:
        """Whoever waits is to stop, for somebody else is going to wait."""
        self._turn += 1
        self._outbox.wake()

    def give_up(self) -> None:
        """Nobody waits any more. To be called as often as one likes, also when it is answered."""
        self._relay.hang_up(self._outbox)
        if self._cancels:
            self._relay.cancel(self._id, "nobody waits for the answer")

    async def _response(self, is_left: Callable[[], bool], turn: int) -> Response | LargeAnswer | None:
        """What comes in the end, after all that `listener` and `asks` hear."""
        outbox, listener = self._outbox, self._listener
        if listener is not None and outbox.failure is None:
            listener.asked()
        while True:
            while not outbox.waiting:
                if is_left():
                    return None
                if outbox.at_end:
                    raise outbox.failure or GatewayError(Reason.INTERNAL_ERROR, "the call ended without an answer")
                await outbox.news(_NO_BOUND)
                if turn != self._turn:
                    return None
            message = _read(await outbox.take(0) or b"")
            if isinstance(message, Response | LargeAnswer):
                return message
            if isinstance(message, Request) and self._asks is not None:
                self._asks(message)
            elif isinstance(message, Notification) and listener is not None and outbox.taken > self._stale:
                await listener.hear(message)

    def _result(self, response: Response | LargeAnswer) -> Result:
        if self._outbox.failure is not None:
            raise self._outbox.failure
        if isinstance(response, LargeAnswer):
            if response.is_error:
                raise _as_gateway_error(bytes(response.body), self._server)
            return response.body
        if response.error:
            raise _as_gateway_error(response.error, self._server)
        return response.result


def _read(answer: Data) -> Message | LargeAnswer:
    """What the relay has read before; but it reads nearer to the bottom of the stack, so deeper into the JSON."""
    if isinstance(answer, LargeAnswer):
        return answer
    try:
        return decode(answer)
    except Malformed:
        raise GatewayError(Reason.CHILD_ERROR, "the server's answer is nested too deeply") from None


def _as_gateway_error(data: bytes, server: str) -> GatewayError:
    """The child's own error."""
    try:
        error = msgspec.json.decode(data, type=_RpcError)
    except msgspec.ValidationError:
        return GatewayError(Reason.CHILD_ERROR, "the server answered with a malformed error", server=server)
    reason = Reason.BAD_REQUEST if error.code == INVALID_PARAMS else Reason.CHILD_ERROR
    return GatewayError(reason, error.message[:MAX_QUOTED], server=server, code=error.code)
