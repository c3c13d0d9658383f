"""What the two MCP doors share: parsing one message, and finding out what it is."""

from quart import request

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.bodies import read_json
from gateway.jsonrpc import Batch, Malformed, Message, NotJson, decode, decode_batch

SESSION_HEADER = "Mcp-Session-Id"
SESSION_QUERY = "sessionId"
LAST_EVENT_ID = "Last-Event-ID"


async def read_message(limit: int) -> Message:
    """The one JSON-RPC message of the body. Raises GatewayError where it is none, or longer than `limit` bytes."""
    return parse(await read_json(limit))


def parse(body: bytes) -> Message:
    """The one JSON-RPC message in `body`. Raises GatewayError."""
    try:
        return decode(body)
    except NotJson as error:
        raise GatewayError(Reason.INVALID_JSON, f"expected one JSON-RPC message, but {error}") from None
    except Batch:
        raise GatewayError(Reason.INVALID_MESSAGE, "expected one JSON-RPC message, not an array of them") from None
    except Malformed as error:
        raise GatewayError(Reason.INVALID_MESSAGE, f"expected one JSON-RPC message, but {error}") from None


def parse_batch(body: bytes) -> list[Message]:
    """The JSON-RPC messages in the array `body`. Raises GatewayError."""
    try:
        return decode_batch(body)
    except NotJson as error:
        raise GatewayError(Reason.INVALID_JSON, f"expected JSON-RPC messages, but {error}") from None
    except Malformed as error:
        raise GatewayError(Reason.INVALID_MESSAGE, f"expected a batch of JSON-RPC messages, but {error}") from None


def header_id() -> str | None:
    """The session id in the header, where Streamable HTTP has it."""
    return request.headers.get(SESSION_HEADER)


def query_id() -> str | None:
    """The session id in the query, where HTTP+SSE has it."""
    return request.args.get(SESSION_QUERY) or None
