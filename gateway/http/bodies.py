"""Request bodies, bounded and checked, and what a JSON answer looks like."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Final

import anyio
from quart import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.large import Data, Result, pieces

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"


DISCARDED: Final = 4 * 1024 * 1024
"""Bytes over the largest limit that are still read after an answer is decided upon, and thrown away.

A connection with an unread request can carry no other one, and whoever is still sending when it closes loses the answer
(RFC 9112, section 9.6).
"""

DISCARDING: Final = 2.0
"""Seconds that this may take."""


PARTS_AT_ONCE: Final = 4
"""Parts of a long answer that are sent in one go."""


async def read_json(limit: int) -> bytes:
    """The body, which claims to be JSON and is no longer than `limit` bytes.

    Raises GatewayError: 415 for another type, which a browser could send without asking; 413 for a longer one, as soon
    as it is known to be.
    """
    peeked: bytes | None = g.pop("body", None)
    if peeked is not None:
        return peeked
    if request.mimetype != JSON:
        raise GatewayError(
            Reason.UNSUPPORTED_MEDIA_TYPE, f"expected a body with Content-Type: {JSON}", received=request.mimetype[:255]
        )
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.body:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def peek_json(limit: int) -> bytes:
    """The same, for somebody who only looks: whoever calls `read_json` afterwards gets it, too, and once."""
    body = g.body = await read_json(limit)
    return body


async def discard_rest() -> None:
    """Read what no door has read of the request, for DISCARDING seconds at most; Quart bounds how much that may be."""
    with anyio.move_on_after(DISCARDING), suppress(RequestEntityTooLarge):
        async for _ in request.body:
            pass


def too_large(limit: int) -> GatewayError:
    """The body is over the limit."""
    return GatewayError(Reason.MESSAGE_TOO_LARGE, f"expected a body of at most {limit} bytes", maxMessageBytes=limit)


def accepts(kind: str) -> bool:
    """Whether the client takes answers of this type. One that sends no Accept, or `*/*`, takes all of them."""
    accepted = request.accept_mimetypes
    return not accepted or bool(accepted[kind])


def json_response(data: Data | Result, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is the JSON `data`, which is sent as the client takes it."""
    if isinstance(data, bytes):
        return Response(data, status=status, content_type=JSON, headers=dict(headers or {}))
    response = Response(paced(pieces(data)), status=status, content_type=JSON, headers=dict(headers or {}))
    response.content_length = len(data)
    return response


async def paced(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """`parts`, one after another, and others get their turn in between.

    Who sends them waits only where the connection is full. One that takes megabytes at once would have all of them.
    """
    for number, part in enumerate(parts, start=1):
        yield part
        if number % PARTS_AT_ONCE == 0:
            await asyncio.sleep(0)


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body."""
    response = Response(b"", status=status, headers=dict(headers or {}))
    del response.headers["Content-Type"]
    return response
