"""What is checked of a request of the revision 2026-07-28 before anybody acts on it. No I/O.

Headers repeat what stands in the body so that whatever stands in between need not read the body; who reads both must see
that they agree (specification: basic/transports, Streamable HTTP, Server Validation). The checks themselves are the
SDK's pure ones; here they stand in their order: duplicated headers, the envelope in `_meta`, headers against body, the
version, the method. Those of `Mcp-Param-*` need the tool's schema: `gateway.modern.toolheaders`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundLadderRejection,
    InboundModernRoute,
    classify_inbound_request,
    find_duplicated_routing_header,
    unsupported_protocol_version_rejection,
)
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway.jsonrpc import Malformed, Message, Notification, NotJson, Request, Response, decode
from gateway.rawjson import Members, members

Headers = list[tuple[str, str]]
"""As they came: two of one name are two."""

REMOVED: Final = frozenset({"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Methods of earlier revisions that this one has not (specification: changelog, 2026-07-28)."""


_CHECKED: Final = ("_meta", "name", "uri")
"""Members of the params that a header repeats, or that say what the headers must. The others may be large."""


class Rejected(Exception):
    """The request may not pass: a JSON-RPC error for its client, and the HTTP status that goes with it."""

    def __init__(self, code: int, message: str, data: object = None, id_: bytes = b"null") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.id = id_
        """The JSON of the request's id."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return ERROR_CODE_HTTP_STATUS.get(self.code, 200)

    def body(self) -> bytes:
        """The JSON-RPC error response."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (self.id, msgspec.json.encode(error))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request that passed: its message, and the members of its params as they were written."""

    message: Request
    params: Members
    capabilities: Any
    """What its client declares that it can be asked."""
    headers: Headers

    def value(self, name: str) -> Any:
        """What the params say under `name`; None where they say nothing."""
        return _value(self.params, name)


def has_modern_header(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a header says that the request is of this revision."""
    return any(
        name.lower() == MCP_PROTOCOL_VERSION_HEADER and value in MODERN_PROTOCOL_VERSIONS for name, value in headers
    )


def has_envelope(body: bytes) -> bool:
    """Whether the body names a protocol version in `_meta`, as only requests of this revision do."""
    if PROTOCOL_VERSION_META_KEY.encode() not in body:
        return False
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return False
    try:
        return PROTOCOL_VERSION_META_KEY in decoded["params"]["_meta"]
    except (KeyError, TypeError, IndexError):
        return False


def read(body: bytes) -> Request | Notification:
    """The request or notification in `body`. Raises Rejected."""
    message = _read(body)
    if isinstance(message, Response):
        raise Rejected(INVALID_REQUEST, "expected a request; in this revision nobody is asked, so nobody answers")
    return message


def check_notification(headers: Headers) -> None:
    """Raises Rejected for a version that is not served; nothing else is asked of a notification."""
    version = dict(_lower(headers)).get(MCP_PROTOCOL_VERSION_HEADER, "")
    if (rejection := unsupported_protocol_version_rejection(version)) is not None:
        raise as_rejected(rejection, b"null")


def check(message: Request, headers: Headers) -> Envelope:
    """What `message` is when all its checks are passed. Raises Rejected, with its id, for the first that is not."""
    if (name := find_duplicated_routing_header(headers)) is not None:
        raise Rejected(HEADER_MISMATCH, f"the header {name} was sent more than once", id_=message.id)
    params = members(message.params)
    known = {name: _value(params, name) for name in _CHECKED if name in params}
    body = {"method": message.method, "params": known}
    verdict = classify_inbound_request(body, headers=dict(_lower(headers)))
    if isinstance(verdict, InboundLadderRejection):
        raise as_rejected(verdict, message.id)
    _check_shapes(verdict, message.id)
    if message.method in REMOVED:
        raise Rejected(METHOD_NOT_FOUND, f"this revision has no method '{message.method}'", id_=message.id)
    return Envelope(message, params, verdict.client_capabilities, headers)


def as_rejected(rejection: InboundLadderRejection, id_: bytes) -> Rejected:
    """What the SDK's checks say, for the request with this id."""
    return Rejected(rejection.code, rejection.message, rejection.data, id_)


def _read(body: bytes) -> Message:
    try:
        return decode(body)
    except NotJson as error:
        raise Rejected(PARSE_ERROR, f"expected one JSON-RPC message, but {error}") from None
    except Malformed as error:
        raise Rejected(INVALID_REQUEST, f"expected one JSON-RPC message, but {error}") from None


def _value(params: Members, name: str) -> Any:
    try:
        return msgspec.json.decode(params[name]) if name in params else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _check_shapes(verdict: InboundModernRoute, id_: bytes) -> None:
    if not isinstance(verdict.client_capabilities, dict):
        raise Rejected(INVALID_PARAMS, "the client's capabilities must be an object", id_=id_)


def _lower(headers: Headers) -> Iterable[tuple[str, str]]:
    return ((name.lower(), value.strip(" \t")) for name, value in headers)
