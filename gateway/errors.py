"""What can go wrong, and the one place that turns it into bytes.

Every error body has the same three members: `code`, a reason that a program may act on; `message`, a sentence for a
person; `about`, what it is about. REST puts them under `error`. The MCP doors speak JSON-RPC, whose `error.code` is a
number: there the reason and `about` stand in `error.data`.

A message never holds a session id, a credential, a command line or what a child wrote to stderr. LibreChat searches
error texts for words such as "401" and acts on them, so ids stay out for that reason, too.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from common.reasons import Reason
from gateway.specification import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR

SESSION_NOT_FOUND: Final = -32001
"""What the TypeScript SDK answers for a session that it does not know; the specification leaves the number open."""
CHILD_LOST: Final = -32000
"""The SDKs' own code for a connection that closed."""
REFUSED: Final = -32003
TIMED_OUT: Final = -32005

_TO_MODERN: Final = {CHILD_LOST: 1000, SESSION_NOT_FOUND: 1001, REFUSED: 1003, TIMED_OUT: 1005}
"""The same for clients of 2026-07-28, which must not see a new use of the codes from -32000 down to -32099
(specification: basic, Error codes)."""

_REQUEST = {
    Reason.BAD_REQUEST: (400, INVALID_PARAMS),
    Reason.INVALID_ARGUMENTS: (400, INVALID_PARAMS),
    Reason.INVALID_JSON: (400, PARSE_ERROR),
    Reason.INVALID_MESSAGE: (400, INVALID_REQUEST),
    Reason.UNSUPPORTED_VERSION: (400, INVALID_REQUEST),
    Reason.SESSION_ID_MISSING: (400, INVALID_REQUEST),
    Reason.SESSION_ID_TWICE: (400, INVALID_REQUEST),
    Reason.CREDENTIAL_MISSING: (400, INVALID_PARAMS),
    Reason.CREDENTIAL_MALFORMED: (400, INVALID_PARAMS),
    Reason.UNAUTHENTICATED: (401, INVALID_REQUEST),
    Reason.ORIGIN_DENIED: (403, INVALID_REQUEST),
    Reason.SCOPE_MISSING: (403, INVALID_REQUEST),
    # Not 400: at `initialize` that would make the same circuit breaker refuse everybody for the empty field of one.
    Reason.USER_DENIED: (403, INVALID_REQUEST),
    Reason.SESSION_NOT_FOUND: (404, SESSION_NOT_FOUND),
    Reason.SERVER_NOT_FOUND: (404, INVALID_REQUEST),
    Reason.TOOL_NOT_FOUND: (404, INVALID_PARAMS),
    Reason.AMBIGUOUS_TOOL: (409, INVALID_PARAMS),
    Reason.CERTIFICATE_NOT_FOUND: (404, INVALID_REQUEST),
    Reason.RESOURCE_NOT_FOUND: (404, INVALID_PARAMS),
    Reason.PROMPT_NOT_FOUND: (404, INVALID_PARAMS),
    Reason.QUESTION_NOT_FOUND: (404, INVALID_REQUEST),
    Reason.ROUTE_NOT_FOUND: (404, INVALID_REQUEST),
    Reason.IDEMPOTENCY_CONFLICT: (409, INVALID_REQUEST),
    Reason.METHOD_NOT_ALLOWED: (405, INVALID_REQUEST),
    Reason.NOT_ACCEPTABLE: (406, INVALID_REQUEST),
    Reason.QUESTION_OPEN: (409, INVALID_REQUEST),
    Reason.MESSAGE_TOO_LARGE: (413, INVALID_REQUEST),
    Reason.UNSUPPORTED_MEDIA_TYPE: (415, INVALID_REQUEST),
    Reason.HOST_DENIED: (421, INVALID_REQUEST),
    # Not 503: that makes LibreChat's circuit breaker refuse every user of the server for half a minute.
    Reason.MAX_SESSIONS: (429, REFUSED),
    Reason.MAX_USER_SESSIONS: (429, REFUSED),
    Reason.MAX_KEY_SESSIONS: (429, REFUSED),
    Reason.MAX_USER_CALLS: (429, REFUSED),
    Reason.MAX_KEY_CALLS: (429, REFUSED),
    Reason.MAX_CONCURRENCY: (429, REFUSED),
    Reason.RATE_LIMITED: (429, REFUSED),
    Reason.RATE_LIMITS_UNKNOWN: (429, REFUSED),
    Reason.MAX_IN_FLIGHT: (429, REFUSED),
    Reason.TOO_MANY_ATTEMPTS: (429, REFUSED),
    Reason.ISSUER_UNREACHABLE: (503, REFUSED),
    Reason.INSTALLING: (503, REFUSED),
}
_CALL = {
    Reason.INTERNAL_ERROR: (500, INTERNAL_ERROR),
    Reason.SUPERVISOR_LOST: (503, CHILD_LOST),
    Reason.GATEWAY_RESTARTED: (503, CHILD_LOST),
    Reason.SHUTDOWN: (503, CHILD_LOST),
    Reason.REQUEST_TIMEOUT: (504, TIMED_OUT),
    Reason.START_TIMEOUT: (504, TIMED_OUT),
}
_ANY_OTHER: Final = (502, CHILD_LOST)
"""The child is to blame: it could not be started, it ended, it answered with an error."""

_STATUS: Final = {**_REQUEST, **_CALL}

_RETRY_AFTER: Final = "retryAfter"


class GatewayError(Exception):
    """An answer that is not the one that was asked for. Raised anywhere below a route, turned into bytes by the app."""

    def __init__(self, reason: Reason, message: str, /, **about: object) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.about = about

    @property
    def status(self) -> int:
        """The HTTP status where it is an answer of its own."""
        return _STATUS.get(self.reason, _ANY_OTHER)[0]

    @property
    def rpc_code(self) -> int:
        """The JSON-RPC error code."""
        return _STATUS.get(self.reason, _ANY_OTHER)[1]

    @property
    def modern_code(self) -> int:
        """The JSON-RPC error code for a client of 2026-07-28."""
        return _TO_MODERN.get(self.rpc_code, self.rpc_code)

    @property
    def modern_status(self) -> int:
        """The HTTP status for a client of 2026-07-28: 200 where it is the child that failed, as for its own errors."""
        return self.status if self.reason in _REQUEST or self.status == 503 else 200

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an answer with this error bears, whatever its status (RFC 9110, section 10.2.3)."""
        seconds = self.about.get(_RETRY_AFTER)
        return {} if seconds is None else {"Retry-After": str(seconds)}

    def rest_body(self) -> bytes:
        """The body on REST and on health."""
        return msgspec.json.encode({"error": {"code": self.reason, "message": self.message, "about": self.about}})

    def rpc_body(self, request_id: bytes = b"null") -> bytes:
        """The JSON-RPC error response to the request whose id is the JSON `request_id`."""
        return self._body(request_id, self.rpc_code)

    def modern_body(self, request_id: bytes = b"null") -> bytes:
        """The same for a client of 2026-07-28."""
        return self._body(request_id, self.modern_code)

    def _body(self, request_id: bytes, code: int) -> bytes:
        error = {"code": code, "message": self.message, "data": self._data()}
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, msgspec.json.encode(error))

    def _data(self) -> Mapping[str, object]:
        return {"code": self.reason, "about": self.about}


def mebibytes(size: int) -> str:
    """A size in bytes, for an error's message: as "12.34 MiB", in which no LibreChat finds a status."""
    return f"{size / (1 << 20):.2f} MiB"


def oversized(request_id: bytes, size: int, limit: int) -> bytes:
    """What stands for an answer of the child that is over the limit."""
    message = f"the server's answer has {mebibytes(size)}, and max_message_bytes is {limit}"
    error = msgspec.json.encode({"code": INTERNAL_ERROR, "message": message})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, error)


def unreadable(request_id: bytes) -> bytes:
    """What stands for an answer of the child that is no JSON, or that is nested too deep to be read."""
    error = msgspec.json.encode({"code": INTERNAL_ERROR, "message": "the server's answer cannot be read"})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, error)


def too_deep(request_id: bytes) -> bytes:
    """What stands for an answer to a request that cannot be translated for the child."""
    error = msgspec.json.encode({"code": INVALID_PARAMS, "message": "params is no object, or goes too deep"})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, error)


def no_server(server: str) -> GatewayError:
    """There is no server of that name, or none that whoever asks may know of."""
    return GatewayError(Reason.SERVER_NOT_FOUND, f"there is no server '{server[:64]}'", server=server[:64])


def bad_request(message: str, /, **about: object) -> GatewayError:
    """The client's request is not what the door expects."""
    return GatewayError(Reason.BAD_REQUEST, message, **about)


def refused(reason: Reason, message: str, /, retry_after: float | None = None, **about: object) -> GatewayError:
    """There is no child to be had now; in `retry_after` seconds, if anybody knows, it may be worth another try."""
    if retry_after is not None:
        about[_RETRY_AFTER] = max(1, math.ceil(retry_after))
    return GatewayError(reason, message, **about)


def ended(reason: Reason, /, server: str, remedy: str = "", **about: object) -> GatewayError:
    """What a call in flight is told when its session ends for `reason`; `remedy` is the end of the sentence."""
    sentences = {
        Reason.CHILD_EXITED: "the server's process ended",
        Reason.CHILD_CLOSED_STDOUT: "the server's process closed its output",
        Reason.CHILD_NOT_READING: "the server's process does not read its input",
        Reason.START_FAILED: "the server refused its first request",
        Reason.START_TIMEOUT: "the server did not answer 'initialize' in time",
        Reason.MEMORY_MAX: "the server used more memory than memory_max allows",
        Reason.TASKS_MAX: "the server had more processes and threads than tasks_max allows",
        Reason.FILE_SIZE_MAX: "the server wrote a larger file than file_size_max allows",
        Reason.DIR_SIZE_MAX: "the server filled its session's directory beyond dir_size_max",
        Reason.MAX_SESSIONS: "somebody else needed its place",
        Reason.MAX_LIFETIME: "the session reached its maximum lifetime",
        Reason.CREDENTIALS_EXPIRED: "the token with which it was opened has expired",
        Reason.CREDENTIALS_REMOVED: "its owner's credentials are no longer in the configuration",
        Reason.SHUTDOWN: "the gateway is shutting down",
        Reason.SUPERVISOR_LOST: "the gateway lost its supervisor",
        Reason.GATEWAY_RESTARTED: "the gateway restarted before the answer came; the session goes on",
    }
    return GatewayError(reason, sentences.get(reason, "the session ended") + remedy, server=server, **about)
