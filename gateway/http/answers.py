"""How a request of Streamable HTTP is answered: with JSON when the answer is quick and comes alone, else as a stream."""

from collections.abc import Callable
from typing import Final

import anyio

from gateway import sse
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies
from gateway.http.asked import Asked
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.streams import EventStream, ended_stream, event_stream
from gateway.jsonrpc import Message, Notification, Request, decode
from gateway.jsonrpc import Response as Answer
from gateway.outbox import Outbox
from gateway.relay import Relay
from gateway.sizes import Fit
from gateway.specification import is_at_least

QUICK: Final = 1.0
"""Seconds within which an answer is plain JSON."""

_PATIENT: Final = 1e8
"""For a client that takes no event stream: as long as the request's own timeout lets it wait."""

_PRIMED_SINCE: Final = "2025-11-25"
"""The first revision in which a stream begins with an event without data; clients of older ones fail on it."""


def opening(relay: Relay, event_id: bytes, *, comes_back: bool = False) -> bytes:
    """What a stream begins with: where it begins, if the client is to know, else something that it does not see.

    One that `comes_back` with an event id is to know it, whatever its revision.
    """
    if event_id and is_at_least(relay.version, _PRIMED_SINCE):
        return sse.priming(event_id)
    return sse.place(event_id) if event_id and comes_back else sse.COMMENT


async def answer(
    asked: Asked,
    relay: Relay,
    outbox: Outbox,
    request: bytes = b"",
    *,
    on_hang_up: Callable[[], None] = lambda: None,
    quick: float = QUICK,
) -> Reply:
    """The answer to `asked` in `outbox`: a stream, if it takes longer than `quick`.

    `request` is the JSON of the request's id.

    `on_hang_up` is called when the stream ends, by whomever. Cancellation means that the client hung up.
    """
    takes_stream = asked.accepts(EVENT_STREAM)
    patience = quick if asked.accepts(JSON) else 0.0
    try:
        settled = await outbox.settle(patience if takes_stream else _PATIENT)
        if settled or not takes_stream:
            return bodies.json_reply(relay.fit().alone(await outbox.take(0) or b""))
    except anyio.EndOfStream:
        # The client cancelled the request, and has stopped waiting for an answer.
        return bodies.empty(202)
    except BaseException:
        relay.hang_up(outbox)
        raise
    return stream(relay, outbox, request, on_hang_up=on_hang_up)


async def answer_batch(
    asked: Asked, relay: Relay, messages: list[Message], refused: list[GatewayError | None]
) -> Reply:
    """The answers to all of `messages`, as one array if they are quick and come alone, else on one stream.

    `refused` has for each of them the error that is its answer, or None.

    Raises GatewayError where the session has ended. Cancellation means that the client hung up.
    """
    requests = [message for message in messages if isinstance(message, Request)]
    takes_stream = asked.accepts(EVENT_STREAM)
    outbox = relay.new_outbox()
    outbox.awaits = len(requests)
    for message, error in zip(messages, refused, strict=True):
        if isinstance(message, Request):
            admitted.request(asked, relay, message, outbox, error, can_carry_more=takes_stream)
        elif isinstance(message, Notification):
            relay.notify(message)
        else:
            relay.respond(message)
    if not requests:
        return bodies.empty(202)
    patience = QUICK if asked.accepts(JSON) else 0.0
    try:
        ended = await outbox.end(patience if takes_stream else _PATIENT)
        if (ended and outbox.waiting <= len(requests)) or not takes_stream:
            return await _all_at_once(outbox, relay.fit())
    except BaseException:
        relay.hang_up(outbox)
        raise
    return stream(relay, outbox)


async def _all_at_once(outbox: Outbox, fit: Fit) -> Reply:
    """What is in an outbox that has ended: an array, unless there is more than answers, where a member was cancelled."""
    messages: list[bytes] = []
    while outbox.waiting:
        messages.append(bytes(fit.alone(await outbox.take(0) or b"")))
    if not messages:
        return bodies.empty(202)
    if all(isinstance(decode(each), Answer) for each in messages):
        return bodies.json_reply(b"[%b]" % b",".join(messages))
    return ended_stream(b"".join(map(sse.message, messages)))


def stream(
    relay: Relay, outbox: Outbox, request: bytes = b"", *, on_hang_up: Callable[[], None] = lambda: None
) -> Reply:
    """What is in `outbox`, and what will be, as an event stream to which the client may come back."""

    def close() -> None:
        relay.hang_up(outbox)
        on_hang_up()

    begins = relay.record(outbox, request) if relay.initialized else b""
    return event_stream(EventStream(outbox, close, opening(relay, begins), through=relay.fit().event))
