"""JSON-RPC envelopes, read no deeper than routing needs. No I/O.

`params`, `result` and `error` stay the bytes that they came in (`msgspec.Raw`); only the envelope is taken apart and put
together again, so that nothing outside the known members passes, and a member that stands twice means the same to us and
to whom we forward it.
"""

import re
from typing import Final

import msgspec
from msgspec import Raw

ABSENT: Final = Raw(b"")

LONGEST_ID: Final = 16 * 1024
"""Bytes of an id or a progress token: they are kept for as long as something is open, so they must not be large."""


class Malformed(Exception):
    """Not one JSON-RPC message; the text says why, without quoting it."""


class NotJson(Malformed):
    """Not even JSON."""


class Batch(Malformed):
    """An array of messages, which only the revision 2025-03-26 knows."""


class Request(msgspec.Struct, frozen=True):
    """`id` is the JSON of a number or a string: `1` and `"1"` are two ids."""

    id: bytes
    method: str
    params: bytes


class Notification(msgspec.Struct, frozen=True):
    """`params` is empty where there are none."""

    method: str
    params: bytes


class Response(msgspec.Struct, frozen=True):
    """One of `result` and `error` is empty."""

    id: bytes
    result: bytes
    error: bytes


Message = Request | Notification | Response


class _Envelope(msgspec.Struct):
    jsonrpc: str = ""
    id: Raw = ABSENT
    method: str | None = None
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT


_decoder = msgspec.json.Decoder(_Envelope)

MAX_BATCH: Final = 100
"""Messages in one array."""

_Members = msgspec.defstruct(
    "_Members",
    [(f"member{number}", Raw, ABSENT) for number in range(MAX_BATCH)],
    array_like=True,
    forbid_unknown_fields=True,
)
"""An array that is given up at its first member too many, for each of millions would cost memory."""

_batch_decoder = msgspec.json.Decoder(_Members)
_FIRST_OF_ID = frozenset(b'-0123456789"')


def decode(data: bytes) -> Message:
    """The message in `data`. Raises NotJson, Batch or Malformed.

    msgspec checks the syntax of what it leaves raw, but not that it is UTF-8, so that is checked here.
    """
    try:
        if not data.isascii():
            data.decode("utf-8")
        envelope = _decoder.decode(data)
    except (UnicodeDecodeError, RecursionError):
        raise NotJson("it is not JSON in UTF-8") from None
    except msgspec.ValidationError:
        if is_batch(data):
            raise Batch("it is an array of messages") from None
        raise Malformed("it is JSON, but not a JSON-RPC message") from None
    except msgspec.DecodeError:
        raise NotJson("it is not JSON") from None
    return _classify(envelope)


def is_batch(data: bytes) -> bool:
    """Whether `data`, if it is JSON at all, is an array."""
    return data.lstrip(b" \t\r\n").startswith(b"[")


def decode_batch(data: bytes) -> list[Message]:
    """The messages in the array `data`. Raises NotJson, Batch or Malformed.

    They are requests and notifications, or responses; one at least, and MAX_BATCH at most (revision 2025-03-26).
    """
    try:
        members = msgspec.structs.astuple(_batch_decoder.decode(data))
    except msgspec.ValidationError:
        raise Malformed(f"it is an array of more than {MAX_BATCH} messages") from None
    except (msgspec.DecodeError, RecursionError):
        raise NotJson("it is not JSON") from None
    messages = [decode(bytes(member)) for member in members if bytes(member)]
    if not messages:
        raise Malformed("it is an array of none")
    if len({isinstance(message, Response) for message in messages}) > 1:
        raise Malformed("it is an array of responses and others")
    return messages


_VERSION = rb'"jsonrpc"\s*:\s*"2\.0"'
_OUTCOME = rb'"(?:result|error)"\s*:'
_ID = rb'"id"\s*:\s*(\d{1,18})'
_ID_FIRST: Final = re.compile(rb"\s*\{\s*(?:%b\s*,\s*)?%b\s*,\s*(?:%b\s*,\s*)?%b" % (_VERSION, _ID, _VERSION, _OUTCOME))
_OUTCOME_FIRST: Final = re.compile(rb"\s*\{\s*(?:%b\s*,\s*)?%b" % (_VERSION, _OUTCOME))
_ID_LAST: Final = re.compile(rb",\s*(?:%b\s*,\s*)?%b\s*(?:,\s*%b\s*)?\}\s*\Z" % (_VERSION, _ID, _VERSION))


ENDS: Final = 256
"""Bytes of either end of a long line that are looked at: its envelope, as most libraries write one."""


def answered_id(head: bytes, tail: bytes) -> bytes:
    """The id of the response that begins with `head` and ends with `tail`, where that is certain; else nothing.

    In JSON no text holds a quotation mark without a backslash before it, so what stands at either end is the envelope.
    """
    first = _ID_FIRST.match(head)
    if first is not None:
        return first[1]
    last = _ID_LAST.search(tail) if _OUTCOME_FIRST.match(head) else None
    return last[1] if last is not None else b""


def _classify(envelope: _Envelope) -> Message:
    if envelope.jsonrpc != "2.0":
        raise Malformed('it lacks "jsonrpc": "2.0"')
    id_, result = canonical(envelope.id), bytes(envelope.result)
    params, error = _unless_null(envelope.params), _unless_null(envelope.error)
    if id_ and id_[0] not in _FIRST_OF_ID:
        raise Malformed("its id is neither a number nor a string")
    if len(id_) > LONGEST_ID:
        raise Malformed(f"its id is longer than {LONGEST_ID} bytes")
    if envelope.method is not None:
        if params and params[:1] not in (b"{", b"["):
            raise Malformed("its params are neither an object nor an array")
        return Request(id_, envelope.method, params) if id_ else Notification(envelope.method, params)
    if error and result == b"null":
        result = b""
    if not id_ or bool(result) == bool(error):
        raise Malformed("it is neither a request, a notification nor a response")
    return Response(id_, result, error)


def canonical(id_: Raw) -> bytes:
    """The JSON of an id or a token as everybody finds it who compares bytes; `decode` has checked it.

    One library writes `"a\\/b"` or `"\\u00e9"`, and another sends that back as `"a/b"` or `"é"`: it is the same text.
    """
    data = bytes(id_)
    if data[:1] != b'"' or b"\\" not in data:
        return data
    return msgspec.json.encode(msgspec.json.decode(data, type=str))


def _unless_null(raw: Raw) -> bytes:
    """Some libraries write `null` for a member that they have not got."""
    data = bytes(raw)
    return b"" if data == b"null" else data


def encode(message: Message) -> bytes:
    """The message on one line, without a newline at its end."""
    match message:
        case Request(id=id_, method=method):
            line = b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (id_, _text(method), _params(message.params))
        case Notification(method=method):
            line = b'{"jsonrpc":"2.0","method":%b%b}' % (_text(method), _params(message.params))
        case Response(id=id_, result=result, error=error):
            member = b'"result":' + result if result else b'"error":' + error
            line = b'{"jsonrpc":"2.0","id":%b,%b}' % (id_, member)
    return on_one_line(line)


def on_one_line(data: bytes) -> bytes:
    """JSON without line breaks: in JSON they can only stand between tokens (RFC 8259, section 7)."""
    return data.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in data or b"\r" in data else data


def request(id_: int, method: str, params: object = None) -> Request:
    """A request of our own."""
    return Request(b"%d" % id_, method, b"" if params is None else msgspec.json.encode(params))


def notification(method: str, params: object = None) -> Notification:
    """A notification of our own."""
    return Notification(method, b"" if params is None else msgspec.json.encode(params))


def _text(value: str) -> bytes:
    return msgspec.json.encode(value)


def _params(params: bytes) -> bytes:
    return b',"params":' + params if params else b""


class _Token(msgspec.Struct):
    progressToken: Raw = ABSENT  # noqa: N815 - the protocol's spelling


class _Params(msgspec.Struct):
    _meta: _Token | None = None
    progressToken: Raw = ABSENT  # noqa: N815
    requestId: Raw = ABSENT  # noqa: N815


_params_decoder = msgspec.json.Decoder(_Params)


def _known_params(params: bytes) -> _Params:
    """How deep msgspec goes depends on how deep the caller stands, so what `decode` took may still be too deep here."""
    try:
        return _params_decoder.decode(params)
    except (msgspec.MsgspecError, RecursionError):
        return _Params()


def _token(raw: Raw) -> bytes:
    token = canonical(raw)
    return token if len(token) <= LONGEST_ID else b""


def progress_token(message: Request) -> bytes:
    """The JSON of the token under which the sender of `message` wants progress; empty for none, or one too long."""
    if b"progressToken" not in message.params:
        return b""
    meta = _known_params(message.params)._meta
    return _token(meta.progressToken) if meta is not None else b""


def reported_token(message: Notification) -> bytes:
    """The JSON of the token of a `notifications/progress`; empty for none."""
    return _token(_known_params(message.params).progressToken)


def cancelled_id(message: Notification) -> bytes:
    """The JSON of the id that a `notifications/cancelled` names; empty for none."""
    return canonical(_known_params(message.params).requestId)


def with_cancelled_id(message: Notification, id_: int) -> Notification:
    """The same `notifications/cancelled`, for the request `id_`."""
    members = msgspec.json.decode(message.params, type=dict[str, Raw])
    members["requestId"] = Raw(b"%d" % id_)
    return Notification(message.method, msgspec.json.encode(members))
