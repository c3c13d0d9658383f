"""What the two MCP doors share: parsing one message, and finding out what it is."""

from http import HTTPStatus

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http.asked import Asked
from gateway.http.bodies import json_reply, read_json
from gateway.jsonrpc import Batch, Malformed, Message, NotJson, decode, decode_batch

SESSION_HEADER = "Mcp-Session-Id"
SESSION_QUERY = "sessionId"
LAST_EVENT_ID = "last-event-id"
_SESSION_HEADER = SESSION_HEADER.lower()


async def read_message(asked: Asked, limit: int) -> Message:
    """The one JSON-RPC message of the body. Raises GatewayError where it is none, or longer than `limit` bytes."""
    return parse(await read_json(asked, limit))


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


def is_leaving(error: GatewayError) -> bool:
    """Whether there is no new session because this gateway is about to end."""
    return error.reason in (Reason.SHUTDOWN, Reason.GATEWAY_RESTARTED)


def is_to_come(error: GatewayError) -> bool:
    """Whether there is no new session now, and will be one for whoever comes again a little later."""
    return is_leaving(error) or error.reason is Reason.INSTALLING


def come_again(error: GatewayError, request_id: bytes = b"null") -> Reply:
    """The answer to who wants a session and gets none. Where the gateway is leaving, or the server's package is still
    being installed, it is a 429, too.

    LibreChat takes a 503 here for the failure of the whole server, and keeps all its users away from it for half a
    minute or more; after a 429 it tries again with the next call. Raises `error` in all other cases.
    """
    if not is_to_come(error):
        raise error
    return json_reply(error.rpc_body(request_id), HTTPStatus.TOO_MANY_REQUESTS, error.headers)


def header_id(asked: Asked) -> str | None:
    """The session id in the header, where Streamable HTTP has it."""
    return asked.header(_SESSION_HEADER)


def query_id(asked: Asked) -> str | None:
    """The session id in the query, where HTTP+SSE has it."""
    return asked.query.get(SESSION_QUERY) or None


def optional_id(asked: Asked) -> str | None:
    """The same where a request may name none. Raises GatewayError for an empty one, which an empty variable leaves."""
    if asked.query.get(SESSION_QUERY) == "":
        raise GatewayError(Reason.SESSION_ID_MISSING, f"'?{SESSION_QUERY}=' is empty", parameter=SESSION_QUERY)
    return query_id(asked)
