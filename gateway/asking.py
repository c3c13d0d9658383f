"""One request to a child that is answered here, and its result."""

from typing import Final

import anyio
import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Malformed, Message, Request, Response, decode
from gateway.relay import Relay
from gateway.specification import INVALID_PARAMS

MAX_QUOTED: Final = 1000
"""Characters of a child's error message that a caller gets."""

_NO_BOUND: Final = 1e8
"""The relay answers every request within its own bound, so waiting for the answer needs none."""


class _RpcError(msgspec.Struct):
    code: int
    message: str = ""


async def ask(relay: Relay, server: str, message: Request, *, who: Who | None) -> bytes:
    """The result of `message`, which is of `who`, or the gateway's own.

    Raises GatewayError for an error, the child's or our own.

    Cancellation drops the result; what becomes of the request itself is the conversation's to say.
    """
    outbox = relay.new_outbox()
    relay.request(message, outbox, who=who, can_carry_more=False)
    try:
        answer = await outbox.take(_NO_BOUND)
    except anyio.EndOfStream:
        answer = None
    finally:
        relay.hang_up(outbox)
    if outbox.failure is not None:
        raise outbox.failure
    response = _read(answer) if answer is not None else None
    if not isinstance(response, Response):
        raise GatewayError(Reason.INTERNAL_ERROR, "the call ended without an answer")
    if response.error:
        raise _as_gateway_error(response.error, server)
    return response.result


def _read(answer: bytes) -> Message:
    """What the relay has read before; but it reads nearer to the bottom of the stack, so deeper into the JSON."""
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
