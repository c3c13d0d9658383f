"""What is checked of a request of the revision 2026-07-28 before anybody acts on it. No I/O.

Headers repeat what stands in the body so that whatever stands in between need not read the body; who reads both must see
that they agree (specification: basic/transports, Streamable HTTP, Server Validation). The checks, in their order:
duplicated headers, the envelope in `_meta`, headers against body, the version, the method. Those of `Mcp-Param-*` need
the tool's schema: `gateway.modern.toolheaders`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.jsonrpc import Malformed, Message, Notification, NotJson, Request, Response, decode
from gateway.modern.repeated import decoded
from gateway.rawjson import Members, members
from gateway.specification import (
    CLIENT_CAPABILITIES_META_KEY,
    ERROR_CODE_HTTP_STATUS,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    METHOD_NOT_FOUND,
    MODERN_PROTOCOL_VERSIONS,
    NAMED_BY,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)

Headers = list[tuple[str, str]]
"""As they came: two of one name are two."""

REMOVED: Final = frozenset({"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Methods of earlier revisions that this one has not (specification: changelog, 2026-07-28)."""

_REQUIRED: Final = (PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY)
_ROUTING: Final = (MCP_PROTOCOL_VERSION_HEADER, MCP_METHOD_HEADER, MCP_NAME_HEADER)


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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
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
    _check_version(dict(_lower(headers)).get(MCP_PROTOCOL_VERSION_HEADER, ""), b"null")


def check(message: Request, headers: Headers) -> Envelope:
    """What `message` is when all its checks are passed. Raises Rejected, with its id, for the first that is not."""
    _check_none_twice(headers, message.id)
    params = members(message.params)
    meta = members(params.get("_meta", b""))
    if missing := [key for key in _REQUIRED if key not in meta]:
        raise Rejected(INVALID_PARAMS, f"'_meta' in the params has no {' and no '.join(missing)}", id_=message.id)
    version = _value(meta, PROTOCOL_VERSION_META_KEY)
    _check_agreement(dict(_lower(headers)), version, message, params)
    _check_version(version, message.id)
    capabilities = _value(meta, CLIENT_CAPABILITIES_META_KEY)
    if not isinstance(capabilities, dict):
        raise Rejected(INVALID_PARAMS, "the client's capabilities must be an object", id_=message.id)
    if message.method in REMOVED:
        raise Rejected(METHOD_NOT_FOUND, f"this revision has no method '{message.method}'", id_=message.id)
    return Envelope(message, params, capabilities, headers)


def _check_none_twice(headers: Headers, id_: bytes) -> None:
    """Raises Rejected for a header that somebody may route by, and that different readers would read differently."""
    names = [name for name, _ in _lower(headers)]
    for name in _ROUTING:
        if names.count(name) > 1:
            raise Rejected(HEADER_MISMATCH, f"the header {name} was sent more than once", id_=id_)


def _check_agreement(sent: Mapping[str, str], version: object, message: Request, params: Members) -> None:
    """Raises Rejected for a header that does not repeat what stands in the body."""
    expected = [
        (MCP_PROTOCOL_VERSION_HEADER, sent.get(MCP_PROTOCOL_VERSION_HEADER), version, PROTOCOL_VERSION_META_KEY),
        (MCP_METHOD_HEADER, sent.get(MCP_METHOD_HEADER), message.method, "method"),
    ]
    named_by = NAMED_BY.get(message.method)
    if named_by is not None and (name := _value(params, named_by)) is not None:
        expected.append((MCP_NAME_HEADER, decoded(sent.get(MCP_NAME_HEADER)), name, named_by))
    for header, value, repeated, where in expected:
        if value is None or value != repeated:
            text = f"the header {header} does not repeat '{where}' of the request's body"
            raise Rejected(HEADER_MISMATCH, text, id_=message.id)


def _check_version(version: str, id_: bytes) -> None:
    """Raises Rejected for a version that is not served; it says which ones are."""
    if version not in MODERN_PROTOCOL_VERSIONS:
        data = {"supported": MODERN_PROTOCOL_VERSIONS, "requested": version}
        raise Rejected(UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data, id_)


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


def _lower(headers: Headers) -> Iterable[tuple[str, str]]:
    return ((name.lower(), value.strip(" \t")) for name, value in headers)
