"""One request to a child that is answered here, and its result."""

from collections.abc import Callable
from typing import Final, Protocol

import anyio
import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Malformed, Message, Notification, Request, Response, decode
from gateway.large import Data, LargeAnswer, Result
from gateway.outbox import Outbox
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


async def ask(
    relay: Relay,
    server: str,
    message: Request,
    *,
    who: Who | None,
    within: float | None = None,
    listener: Listener | None = None,
    asks: Asks | None = None,
) -> Result:
    """The result of `message`, which is of `who`, or the gateway's own; `within` seconds, and `request_timeout`.

    What the child asks before it answers goes to `asks`, if that is there; else it takes another way. Raises GatewayError
    for an error, the child's or our own.

    Cancellation drops the result; what becomes of the request itself is the conversation's to say.
    """
    outbox = relay.new_outbox()
    wants_more, only_questions = bool(listener or asks), listener is None
    relay.request(message, outbox, who=who, can_carry_more=wants_more, only_questions=only_questions, within=within)
    try:
        response = await _response(outbox, listener, asks)
    finally:
        relay.hang_up(outbox)
    if outbox.failure is not None:
        raise outbox.failure
    if response is None:
        raise GatewayError(Reason.INTERNAL_ERROR, "the call ended without an answer")
    if isinstance(response, LargeAnswer):
        if response.is_error:
            raise _as_gateway_error(bytes(response.body), server)
        return response.body
    if response.error:
        raise _as_gateway_error(response.error, server)
    return response.result


async def _response(outbox: Outbox, listener: Listener | None, asks: Asks | None) -> Response | LargeAnswer | None:
    """What comes in the end, after all that `listener` and `asks` hear; None where the outbox ends without it."""
    stale = outbox.waiting  # what the child said when nobody listened: it is about no request of ours
    if listener is not None and outbox.failure is None:
        listener.asked()
    while True:
        try:
            message = _read(await outbox.take(_NO_BOUND) or b"")
        except anyio.EndOfStream:
            return None
        if isinstance(message, Response | LargeAnswer):
            return message
        if isinstance(message, Request) and asks is not None:
            asks(message)
        elif isinstance(message, Notification) and listener is not None and outbox.taken > stale:
            await listener.hear(message)


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
