"""Answers of a modern child in the words of the revisions before it. No I/O."""

from typing import Final

import msgspec
from msgspec import Raw

from gateway.jsonrpc import ABSENT
from gateway.rawjson import Members, is_object, members, put_together, text
from gateway.specification import INTERNAL_ERROR, INVALID_PARAMS, SERVER_INFO_META_KEY

INPUT_REQUIRED: Final = "input_required"
_COMPLETE: Final = "complete"
_RESOURCE_NOT_FOUND: Final = -32002
_OF_THE_MODERN_ERA: Final = range(-32099, -32019)
"""Codes that mean something to modern clients alone."""

_ADDED: Final = ("resultType", "ttlMs", "cacheScope")


class Unknown(Exception):
    """The result is of a kind that nobody knows."""


def read(result: bytes) -> Members:
    """The members of `result`. Raises Unknown where it is no object, which the client would take for an empty one."""
    said = members(result)
    if not said and result.split() != [b"{}"] and result.split() != [b"{", b"}"]:
        raise Unknown("the server's answer is not an object, or goes too deep")
    return said


def kind(result: Members) -> str:
    """The result's `resultType`. Raises Unknown where it is none of the specification's."""
    said = result.get("resultType", ABSENT)
    found = text(said) if bytes(said) else _COMPLETE
    if found not in (_COMPLETE, INPUT_REQUIRED):
        raise Unknown("the server answered with a result of an unknown type")
    return found


def plain(method: str, result: Members) -> bytes:
    """The complete `result` of `method` without what only the modern era knows."""
    for name in _ADDED:
        result.pop(name, None)
    meta = members(result.get("_meta", ABSENT))
    if meta.pop(SERVER_INFO_META_KEY, None) is not None:
        if meta:
            result["_meta"] = Raw(put_together(meta))
        else:
            del result["_meta"]
    if method == "tools/call" and "structuredContent" in result and not is_object(result["structuredContent"]):
        del result[
            "structuredContent"
        ]  # the same stands in `content` as text, as SEP-2106 obliges the server to see to
    elif method == "tools/list":
        _leave_out_schemas(result)
    return put_together(result)


def _leave_out_schemas(result: Members) -> None:
    """Before 2026-07-28 an `outputSchema` describes an object; a tool with another one is listed without."""
    try:
        tools = msgspec.json.decode(bytes(result.get("tools", b"[]")), type=list[Members])
    except msgspec.MsgspecError:
        return  # the client's own check finds the same
    odd = [tool for tool in tools if "outputSchema" in tool and not _describes_an_object(tool["outputSchema"])]
    for tool in odd:
        del tool["outputSchema"]
    if odd:
        result["tools"] = Raw(msgspec.json.encode(tools))


def _describes_an_object(schema: Raw) -> bool:
    return text(members(schema).get("type", ABSENT)) == "object"


def plain_error(method: str, error: bytes) -> bytes:
    """The error as a legacy client knows it: with another code for a missing resource, and no code of the modern era."""
    said = members(error)
    code = _number(said.get("code", ABSENT))
    if code == INVALID_PARAMS and method == "resources/read" and "uri" in members(said.get("data", ABSENT)):
        said["code"] = Raw(b"%d" % _RESOURCE_NOT_FOUND)
    elif code in _OF_THE_MODERN_ERA:
        said["code"] = Raw(b"%d" % INTERNAL_ERROR)
    else:
        return error
    return put_together(said)


def error(message: str) -> bytes:
    """An error of ours, in the child's place."""
    return put_together({"code": INTERNAL_ERROR, "message": message})


def error_code(error_: bytes) -> int:
    """The code of a JSON-RPC error; 0 where it has none."""
    return _number(members(error_).get("code", ABSENT))


def _number(data: Raw) -> int:
    try:
        return msgspec.json.decode(bytes(data), type=int)
    except msgspec.MsgspecError:
        return 0
