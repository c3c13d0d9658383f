"""Request bodies, bounded and checked, and what a JSON answer looks like."""

from collections.abc import Mapping
from typing import Final

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Parts, Reply
from gateway.http.asked import Asked
from gateway.large import Data, Result, pieces

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"


DISCARDED: Final = 4 * 1024 * 1024
"""Bytes over the largest limit that are still read after an answer is decided upon, and thrown away.

A connection with an unread request can carry no other one, and whoever is still sending when it closes loses the answer
(RFC 9112, section 9.6).
"""


async def read_json(asked: Asked, limit: int) -> bytes:
    """The body, which claims to be JSON and is no longer than `limit` bytes. It may be read again.

    Raises GatewayError: 415 for another type, which a browser could send without asking; 413 for a longer one, as soon
    as it is known to be.
    """
    if asked.mimetype != JSON:
        raise GatewayError(
            Reason.UNSUPPORTED_MEDIA_TYPE, f"expected a body with Content-Type: {JSON}", received=asked.mimetype[:255]
        )
    if not isinstance(asked.body, bytes):
        asked.body = await _read(asked, limit)
    if len(asked.body) > limit:
        raise too_large(limit)
    return asked.body


async def _read(asked: Asked, limit: int) -> bytes:
    assert not isinstance(asked.body, bytes)
    if (asked.content_length or 0) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in asked.body:
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        chunks.clear()  # whoever hangs up before the end is an exception, which keeps this frame for a while


def too_large(limit: int) -> GatewayError:
    """The body is over the limit."""
    return GatewayError(Reason.MESSAGE_TOO_LARGE, f"expected a body of at most {limit} bytes", maxMessageBytes=limit)


def json_reply(data: Data | Result, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer whose body is the JSON `data`, which is sent as the client takes it."""
    named = [("Content-Type", JSON), *(headers or {}).items()]
    if isinstance(data, bytes):
        return Reply(status, data, named)
    return Reply(status, Parts(pieces(data)), named, len(data))


def empty(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer without a body."""
    return Reply(status, b"", [*(headers or {}).items()])
