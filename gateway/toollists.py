"""What a request says of tools, and what its answer may say of them, where not all tools are its sender's. No I/O.

Of a list no more is read than the tools' names; each tool that stays is the bytes that it was. What cannot be read
names no tool that anybody may use: it is taken for nothing, never for everything.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.access import Permission
from gateway.errors import GatewayError, no_server
from gateway.jsonrpc import Malformed, Request, Response, decode, encode
from gateway.rawjson import Members, members, put, put_together, text
from gateway.specification import INTERNAL_ERROR

CALL: Final = "tools/call"
LIST: Final = "tools/list"

LONGEST_NAME: Final = 128
"""Characters of a tool's name that an error repeats."""

_TOOLS: Final = "tools"
_NAME: Final = "name"
_SCOPE: Final = "cacheScope"
_PRIVATE: Final = put("private")

_TOO_DEEP: Final = b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":"the list of tools is nested too deeply"}}'

_list_decoder: Final = msgspec.json.Decoder(list[Raw])


def called(params: bytes) -> tuple[str | None, bytes]:
    """The tool that a `tools/call` with these params names, if it names one; the params, in which it stands once.

    To some who read JSON, `Name` is `name`, and of two that are the same either counts. So one is left, and where
    anything else could be taken for it, none is.
    """
    parts = members(params)
    return (None, params) if _is_doubtful(parts) else (text(parts.get(_NAME, b"")), put_together(parts))


def tool_named(params: bytes) -> str | None:
    """The tool that a `tools/call` with these params names, where everybody who reads them takes it for the same."""
    parts = members(params)
    return None if _is_doubtful(parts) else text(parts.get(_NAME, b""))


def _is_doubtful(parts: Members) -> bool:
    return any(key != _NAME and key.casefold() == _NAME for key in parts)


class UnknownTool(GatewayError):
    """Nobody is to learn whether there is a tool of that name: it is told as the specification tells of none."""

    def __init__(self, name: str | None) -> None:
        super().__init__(Reason.TOOL_NOT_FOUND, f"Unknown tool: {(name or '')[:LONGEST_NAME]}")

    def _body(self, request_id: bytes, code: int) -> bytes:
        error = msgspec.json.encode({"code": code, "message": self.message})
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, error)


def permitted(message: Request, permission: Permission, server: str) -> Request:
    """`message` as the child of `server` may get it. Raises GatewayError where there is no permission for it."""
    if permission.every_tool:
        return message
    if not permission.server:
        raise no_server(server)
    if message.method != CALL:
        return message
    name, params = called(message.params)
    if name is None or not permission.tool(name):
        raise UnknownTool(name)
    return Request(message.id, message.method, params)


def filtered(answer: bytes, id_: bytes, permits: Callable[[str], object]) -> bytes:
    """The answer to the `tools/list` with this id, with those tools that `permits`, in the order in which they were.

    Whoever keeps answers for others must not keep this one, so it says that it is for its client alone, where it says
    anything about that.
    """
    try:
        message = decode(answer)
    except Malformed:  # it was read before, with more of the stack left
        return _TOO_DEEP % (id_, INTERNAL_ERROR)
    if not isinstance(message, Response) or not message.result:
        return answer
    result = members(message.result)
    if _TOOLS in result:
        result[_TOOLS] = put([tool for tool in _each(result[_TOOLS]) if _is_permitted(tool, permits)])
    if _SCOPE in result:
        result[_SCOPE] = _PRIVATE
    return encode(Response(message.id, put_together(result), b""))


def _each(tools: Raw) -> list[Raw]:
    try:
        return _list_decoder.decode(tools)
    except (msgspec.MsgspecError, RecursionError):
        return []


def _is_permitted(tool: Raw, permits: Callable[[str], object]) -> bool:
    name = text(members(tool).get(_NAME, b""))
    return name is not None and bool(permits(name))
