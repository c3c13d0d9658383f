"""Request bodies, bounded and checked, and what a JSON answer looks like."""

from typing import Final

from quart import Response, request

from common.reasons import Reason
from gateway.errors import GatewayError

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"


async def read_json(limit: int) -> bytes:
    """The body, which claims to be JSON and is no longer than `limit` bytes.

    Raises GatewayError: 415 for another type, which a browser could send without asking; 413 as soon as it is known to
    be longer, before it is read whole.
    """
    if request.mimetype != JSON:
        raise GatewayError(
            Reason.UNSUPPORTED_MEDIA_TYPE, f"expected a body with Content-Type: {JSON}", received=request.mimetype[:255]
        )
    if request.content_length is not None and request.content_length > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.body:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(limit: int) -> GatewayError:
    """The body is over the limit."""
    return GatewayError(Reason.MESSAGE_TOO_LARGE, f"expected a body of at most {limit} bytes", maxMessageBytes=limit)


def accepts(kind: str) -> bool:
    """Whether the client takes answers of this type. One that sends no Accept, or `*/*`, takes all of them."""
    accepted = request.accept_mimetypes
    return not accepted or bool(accepted[kind])


def json_response(data: bytes, status: int = 200) -> Response:
    """An answer whose body is the JSON `data`."""
    return Response(data, status=status, content_type=JSON)


def empty(status: int) -> Response:
    """An answer without a body."""
    response = Response(b"", status=status)
    del response.headers["Content-Type"]
    return response
