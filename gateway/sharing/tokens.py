"""Progress tokens: two sessions may use the same one, so towards a shared child it is the call's number. No I/O."""

from typing import Final

import msgspec
from msgspec import Raw

from gateway.jsonrpc import Notification, Request

_LONGEST: Final = 18
"""Digits."""


def with_token(message: Request, token: bytes) -> Request:
    """The same request, which has a token, under the JSON `token`; unchanged where it is nested too deeply to tell."""
    try:
        params = _members(message.params)
        meta = _members(bytes(params["_meta"]))
    except (msgspec.MsgspecError, RecursionError, KeyError):
        return message
    meta["progressToken"] = Raw(token)
    params["_meta"] = Raw(msgspec.json.encode(meta))
    return Request(message.id, message.method, msgspec.json.encode(params))


def reported_under(message: Notification, token: bytes) -> Notification:
    """The same `notifications/progress`, under the JSON `token`."""
    try:
        params = _members(message.params)
    except (msgspec.MsgspecError, RecursionError):
        return message
    params["progressToken"] = Raw(token)
    return Notification(message.method, msgspec.json.encode(params))


def number(id_: bytes) -> int | None:
    """The number that the JSON `id_` is, where it can be one that the gateway has given out."""
    return int(id_) if id_.isdigit() and len(id_) <= _LONGEST else None


def _members(data: bytes) -> dict[str, Raw]:
    return msgspec.json.decode(data, type=dict[str, Raw])
