"""Sessions that a model opens and names itself, where the protocol has none (SEP-2567 commends explicit handles).

With `handles: inject` every tool of a server gets one more argument, `gateway_session`, and there are two more tools,
which the gateway answers itself: `session_open` gives a handle, `session_close` takes it back. A call with a handle
reaches the child of that handle, a call without one the child that it would reach anyway. The argument says of itself,
by `x-mcp-header`, that it is repeated in a header, so that whatever stands in front can route by it, too.

A handle is random, bound to a principal and a server, and ends with its session; one that is not known any more is told
to the model as a tool's error, with the way out, for it is the model that has to open another. No I/O.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Raw

from gateway.identity.principal import Principal

ARGUMENT: Final = "gateway_session"
HEADER: Final = "Gateway-Session"
OPEN: Final = "session_open"
CLOSE: Final = "session_close"

MAX_HANDLES: Final = 10_000
"""Handles that exist at once; the one that was not used for longest goes first."""

MAX_OF_ONE: Final = 100
"""Handles of one principal with one server."""

_HANDLE_BYTES: Final = 24
_ARGUMENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "description": f"A session that was opened with '{OPEN}'. Calls with the same one share their state.",
    "x-mcp-header": HEADER,
}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_OWN_TOOLS: Final[list[dict[str, Any]]] = [
    {
        "name": OPEN,
        "description": (
            f"Open a session of its own with this server, and get its name for the argument '{ARGUMENT}' of the other "
            f"tools. It ends with '{CLOSE}', or when it is not used for a while; its state goes with it."
        ),
        "inputSchema": _OBJECT,
    },
    {
        "name": CLOSE,
        "description": f"End a session that was opened with '{OPEN}', and with it all its state.",
        "inputSchema": {**_OBJECT, "properties": {ARGUMENT: _ARGUMENT_SCHEMA}, "required": [ARGUMENT]},
    },
]


_GONE: Final = f"the session has ended, or there never was one of that name; open another with '{OPEN}'"


class Gone(Exception):
    """There is no such handle (any more). The text is for the model."""


class TooMany(Exception):
    """One more handle is not to be had. The text is for the model."""


@dataclass(frozen=True, slots=True)
class Whose:
    """A principal's use of one server."""

    principal: Principal
    server: str


@dataclass(slots=True)
class _Handle:
    whose: Whose
    used: bool = False


class Handles:
    """The handles that are open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Handle] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Handles: {len(self._open)} open>"

    def open(self, whose: Whose) -> str:
        """A new handle. Raises TooMany."""
        if sum(each.whose == whose for each in self._open.values()) >= MAX_OF_ONE:
            raise TooMany(f"{MAX_OF_ONE} sessions are open; close one with '{CLOSE}' first")
        handle = secrets.token_urlsafe(_HANDLE_BYTES)
        self._open[handle] = _Handle(whose)
        if len(self._open) > MAX_HANDLES:
            self._open.popitem(last=False)
        return handle

    def check(self, handle: str, whose: Whose, *, is_live: bool) -> str:
        """The handle, if it is open and theirs; from now on it is used. Raises Gone, the same for one that never was.

        `is_live` is whether their session of that handle has a child. One that was used and has none any more has ended,
        and its state with it; one that has one is theirs, though an earlier gateway may have given it out.
        """
        known = self._open.get(handle)
        if known is not None and known.whose != whose:
            raise Gone(_GONE)
        if not is_live and (known is None or known.used):
            self._open.pop(handle, None)
            raise Gone(_GONE)
        self._open[handle] = _Handle(whose, used=True)
        self._open.move_to_end(handle)
        return handle

    def close(self, handle: str) -> None:
        """It is open no longer. Nothing happens where it was not."""
        self._open.pop(handle, None)


def with_handles(result: dict[str, Raw], *, first_page: bool) -> dict[str, Raw]:
    """The result of `tools/list` with the argument in every schema, and on its first page the two tools in front.

    A tool that has such an argument itself is left as it is.
    """
    try:
        tools = msgspec.json.decode(bytes(result.get("tools", b"[]")), type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        return result
    listed = [*(_OWN_TOOLS if first_page else ()), *(_with_argument(tool) for tool in tools)]
    return {**result, "tools": Raw(msgspec.json.encode(listed))}


def _with_argument(tool: dict[str, Any]) -> dict[str, Any]:
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict):
        return tool
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or ARGUMENT in properties or tool.get("name") in (OPEN, CLOSE):
        return tool
    return {**tool, "inputSchema": {**schema, "properties": {**properties, ARGUMENT: _ARGUMENT_SCHEMA}}}


@dataclass(frozen=True, slots=True)
class Call:
    """A `tools/call`, as far as handles are concerned."""

    tool: str
    handle: object
    """What the argument holds; None where it was not given."""
    params: bytes
    """The params without it."""


def read(params: bytes) -> Call:
    """What a `tools/call` with these params says."""
    members = _members(params)
    arguments = _members(bytes(members.get("arguments", b"")))
    tool = _plain(members.get("name"))
    handle = _plain(arguments.pop(ARGUMENT, None))
    if handle is not None:
        members["arguments"] = Raw(msgspec.json.encode(arguments))
        params = msgspec.json.encode(members)
    return Call(tool if isinstance(tool, str) else "", handle, params)


def agrees(call: Call, header: str | None) -> bool:
    """Whether the header that repeats the argument does repeat it (specification: server/tools, x-mcp-header)."""
    return header == call.handle


def opened(handle: str) -> dict[str, Any]:
    """The result of `session_open`."""
    return _result(handle, {ARGUMENT: handle})


def closed() -> dict[str, Any]:
    """The result of `session_close`."""
    return _result("the session has ended")


def failed(error: Gone | TooMany) -> dict[str, Any]:
    """The result that tells the model what went wrong."""
    return {**_result(str(error)), "isError": True}


def _result(text: str, structured: dict[str, Any] | None = None) -> dict[str, Any]:
    result: dict[str, Any] = {"resultType": "complete", "content": [{"type": "text", "text": text}]}
    return result if structured is None else {**result, "structuredContent": structured}


def _members(data: bytes) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(data, type=dict[str, Raw])
    except msgspec.MsgspecError:
        return {}


def _plain(data: Raw | None) -> object:
    return None if data is None else msgspec.json.decode(bytes(data))
