"""What a legacy child answers, as a modern server would say it. No I/O."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from gateway import meta, rawjson
from gateway.jsonrpc import Response
from gateway.rawjson import Members
from gateway.specification import (
    CACHEABLE_METHODS,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    SERVER_INFO_META_KEY,
    URL_ELICITATION_REQUIRED,
)

MODERN_VERSIONS: Final = ("2026-07-28",)

RESOURCE_NOT_FOUND: Final = -32002
"""What legacy servers answer for a resource that they have not got; modern ones must not."""

_OF_THE_MODERN_ERA: Final = range(-32099, -32019)
"""Codes that are the modern specification's own. Whatever a legacy server means by one, a client would read another
thing into it."""

_COMPLETE: Final = b'"resultType":"complete"'
_NEVER_CACHED: Final = b'"ttlMs":0,"cacheScope":"private"'
_OURS: Final = (b'"resultType"', b'"_meta"', b'"ttlMs"', b'"cacheScope"')
_SPELT_OUT: Final = re.compile(rb"\\u00[3-7]")
"""How a name in ASCII may be written so that it is not found by its bytes."""
_NOT_A_RESULT: Final = "the server's answer is not an object, or goes too deep"


class Completer:
    """Adds to results what modern ones have: their type, who made them, and how long they may be cached."""

    def __init__(self, server_info: Raw) -> None:
        """`server_info` is the child's own, empty where it gave none."""
        self._meta = {SERVER_INFO_META_KEY: server_info} if bytes(server_info) else {}
        meta_ = b',"_meta":' + msgspec.json.encode(self._meta) if self._meta else b""
        self._added = _COMPLETE + meta_
        self._added_to_cacheable = _COMPLETE + b"," + _NEVER_CACHED + meta_

    def complete(self, result: bytes, method: str) -> bytes:
        """The result of a request of `method`; empty where `result` is no object."""
        if not result.startswith(b"{"):
            return b""
        if not any(name in result for name in _OURS) and not _SPELT_OUT.search(result):
            return rawjson.spliced(result, self._added_to_cacheable if method in CACHEABLE_METHODS else self._added)
        members = rawjson.members(result)
        return self._put_into(members, method) if members else b""

    def _put_into(self, members: Members, method: str) -> bytes:
        """Of what is there already only `_meta` counts: this child does not know what the rest means."""
        members["resultType"] = Raw(b'"complete"')
        if self._meta:
            meta.put_meta(members, self._meta)
        if method in CACHEABLE_METHODS:
            members["ttlMs"], members["cacheScope"] = Raw(b"0"), Raw(b'"private"')
        return msgspec.json.encode(members)

    def answer(self, id_: bytes, message: Response, method: str, uri: str = "") -> Response:
        """What the child answered to a request of `method`, for the request `id_`."""
        if message.error:
            return Response(id_, b"", modern_error(message.error, method, uri))
        result = self.complete(message.result, method)
        return Response(id_, result, b"") if result else error(id_, INTERNAL_ERROR, _NOT_A_RESULT)


class _Error(msgspec.Struct):
    code: int = INTERNAL_ERROR
    message: str = ""
    data: Raw = Raw(b"")


def modern_error(data: bytes, method: str, uri: str) -> bytes:
    """The error `data`, without the codes that modern servers must not use."""
    try:
        found = msgspec.json.decode(data, type=_Error)
    except msgspec.MsgspecError:
        return _encoded(INTERNAL_ERROR, "the server's error is none", None)
    if found.code == RESOURCE_NOT_FOUND:
        about = rawjson.members(found.data)
        if method == "resources/read":
            about.setdefault("uri", rawjson.put(uri))
        return _encoded(INVALID_PARAMS, found.message, about)
    if found.code == URL_ELICITATION_REQUIRED:
        return _encoded(INTERNAL_ERROR, found.message, {})
    if found.code in _OF_THE_MODERN_ERA:
        return _encoded(INTERNAL_ERROR, found.message, found.data if bytes(found.data) else None)
    return data


def wanted_urls(data: bytes) -> list[Members]:
    """The elicitations that a child wants to have been gone through first, where the error `data` says so; else none."""
    if b"%d" % URL_ELICITATION_REQUIRED not in data:
        return []
    error_ = rawjson.members(data)
    if bytes(error_.get("code", b"")) != b"%d" % URL_ELICITATION_REQUIRED:
        return []
    listed = rawjson.members(error_.get("data", b"")).get("elicitations", Raw(b"[]"))
    try:
        each = msgspec.json.decode(bytes(listed), type=list[Members])
    except msgspec.MsgspecError:
        return []
    return [elicitation for elicitation in each if rawjson.text(elicitation.get("url", b"")) is not None]


def error(id_: bytes, code: int, message: str, data: object = None) -> Response:
    """An error of our own, in the child's place."""
    return Response(id_, b"", _encoded(code, message, data))


def lacking(id_: bytes, required: Mapping[str, object]) -> Response:
    """The error for a client that has not declared the `required` ClientCapabilities."""
    text = "the server asks for what the client has not declared"
    return error(id_, MISSING_REQUIRED_CLIENT_CAPABILITY, text, {"requiredCapabilities": required})


def _encoded(code: int, message: str, data: object) -> bytes:
    about = {"data": data} if data else {}
    return msgspec.json.encode({"code": code, "message": message, **about})
