"""Sessions that a model opens and names itself, where the protocol has none (SEP-2567 commends explicit handles).

With `handles: inject` every tool of a server gets one more argument, `gateway_session`, and there are two more tools,
which the gateway answers itself: `session_open` gives a handle, `session_close` takes it back. A call with a handle
reaches the child of that handle, a call without one the child that it would reach anyway. The argument says of itself,
by `x-mcp-header`, that it is repeated in a header, so that whatever stands in front can route by it, too.

A tool or an argument of the child's own with such a name is hidden behind ours: what is listed is what works.

A handle is random, bound to a principal, a server and the affinity header, and ends with its session; one that is not
known any more is told to the model as a tool's error, with the way out, for it is the model that has to open another.
No I/O.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Raw

from gateway.identity.principal import Principal
from gateway.modern.repeated import decoded
from gateway.rawjson import Members, is_object, members, put, put_together, text

ARGUMENT: Final = "gateway_session"
HEADER: Final = "Gateway-Session"
OPEN: Final = "session_open"
CLOSE: Final = "session_close"

MAX_HANDLES: Final = 10_000
"""Handles that exist at once; the oldest goes of whoever has not used any for longest."""

MAX_OF_ONE: Final = 100
"""Handles of one principal with one server; all that are anonymous are one principal."""

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
_OF_ANOTHER: Final = f"the session was begun by a client that can be asked other things; open another with '{OPEN}'"


class Gone(Exception):
    """There is no such handle (any more). The text is for the model."""


class TooMany(Exception):
    """One more handle is not to be had. The text is for the model."""


@dataclass(frozen=True, slots=True)
class Whose:
    """A principal's use of one server; of one who speaks for others, that of whom its header names."""

    principal: Principal
    server: str
    header: str = field(default="", repr=False)


class Handles:
    """The handles that are open, of each owner those first that were not used for longest."""

    def __init__(self) -> None:
        self._open: OrderedDict[Whose, OrderedDict[str, str]] = OrderedDict()
        """Of each handle the key of the session that it was used with; empty for one that was not used yet."""
        self._count = 0

    def __repr__(self) -> str:
        return f"<Handles: {self._count} open>"

    def open(self, whose: Whose, is_live: Callable[[str], bool]) -> str:
        """A new handle. Raises TooMany where all that they have are in use: `is_live` says so of a session's key.

        One that was never used, or whose session has ended, gives way. A model forgets names as it forgets anything.
        """
        own = self._open.get(whose, OrderedDict())
        if len(own) >= MAX_OF_ONE:
            idle = next((handle for handle, key in own.items() if not key or not is_live(key)), None)
            if idle is None:
                raise TooMany(f"{MAX_OF_ONE} sessions are open; close one with '{CLOSE}' first")
            self.close(idle, whose)
        handle = secrets.token_urlsafe(_HANDLE_BYTES)
        self._keep(handle, whose, "")
        if self._count > MAX_HANDLES:
            oldest = next(iter(self._open))
            self.close(next(iter(self._open[oldest])), oldest)
        return handle

    def check(self, handle: str, whose: Whose, key: str, *, is_live: bool) -> str:
        """The handle, if it is open and theirs; from now on it is used. Raises Gone, the same for one that never was.

        `key` is that of their session of that handle, and `is_live` whether there is one. One that was used and has none
        any more has ended, and its state with it; one that has one is theirs, though an earlier gateway may have given
        it out. Where the key was another, somebody goes on with a handle who cannot go on with its child.
        """
        used_with = self._open.get(whose, OrderedDict()).get(handle)
        if not is_live:
            if used_with and used_with != key:
                raise Gone(_OF_ANOTHER)
            if used_with is None or used_with:
                self.close(handle, whose)
                raise Gone(_GONE)
        self._keep(handle, whose, key)
        return handle

    def close(self, handle: str, whose: Whose) -> None:
        """It is open no longer. Nothing happens where it was not."""
        own = self._open.get(whose)
        if own is not None and own.pop(handle, None) is not None:
            self._count -= 1
            if not own:
                del self._open[whose]

    def _keep(self, handle: str, whose: Whose, key: str) -> None:
        """It was used last."""
        own = self._open.setdefault(whose, OrderedDict())
        self._count += handle not in own
        own[handle] = key
        own.move_to_end(handle)
        self._open.move_to_end(whose)


def with_handles(result: Members, permits: Callable[[str], bool], *, first_page: bool) -> Members:
    """The result of `tools/list` with the argument in every schema, and on its first page, in front, those of the two
    tools that its reader `permits`.
    """
    try:
        tools = msgspec.json.decode(bytes(result.get("tools", b"[]")), type=list[Members])
    except (msgspec.MsgspecError, RecursionError):
        return result
    theirs = [_with_argument(tool) for tool in tools if text(tool.get("name", b"")) not in (OPEN, CLOSE)]
    own = [tool for tool in _OWN_TOOLS if first_page and permits(tool["name"])]
    return {**result, "tools": put([*own, *theirs])}


def _with_argument(tool: Members) -> Members:
    schema = tool.get("inputSchema", Raw(b""))
    properties = members(schema).get("properties", Raw(b"{}"))
    if not (is_object(schema) and is_object(properties)):
        return tool
    argument = put({**members(properties), ARGUMENT: _ARGUMENT_SCHEMA})
    return {**tool, "inputSchema": put({**members(schema), "properties": argument})}


@dataclass(frozen=True, slots=True)
class Call:
    """A `tools/call`, as far as handles are concerned."""

    tool: str
    handle: str | None = field(repr=False)
    """What the argument holds, as a header would repeat it; None where there is none, or null."""
    params: bytes = field(repr=False)
    """The params without it."""


def read(params: bytes) -> Call:
    """What a `tools/call` with these params says."""
    outer = members(params)
    arguments = members(outer.get("arguments", b""))
    said = arguments.pop(ARGUMENT, None)
    if said is not None:
        outer["arguments"] = put(arguments)
        params = put_together(outer)
    return Call(text(outer.get("name", b"")) or "", _as_header(said), params)


def _as_header(said: Raw | None) -> str | None:
    if said is None or bytes(said) == b"null":
        return None
    string = text(said)
    return string if string is not None else bytes(said).decode(errors="replace")


def agrees(call: Call, headers: list[str]) -> bool:
    """Whether the headers that repeat the argument do repeat it (specification: server/tools, x-mcp-header)."""
    expected = [] if call.handle is None else [call.handle]
    return [decoded(each) for each in headers] == expected


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
