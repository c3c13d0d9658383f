"""What a modern request says beside what it asks for, and what is left of it for a legacy child. No I/O."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway import meta, rawjson
from gateway.jsonrpc import Request, progress_token
from gateway.meta import ENVELOPE_KEYS
from gateway.rawjson import Members
from gateway.specification import CLIENT_CAPABILITIES_META_KEY, INPUT_REQUIRED_METHODS, LOG_LEVEL_META_KEY
from gateway.translation.legacy_child.handshake import Askable, askable

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""The log levels, the most talkative first."""

_ABSENT: Final = (b"", b"null")


class Unreadable(Exception):
    """The client's request is not what it should be; the text says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A modern request, taken apart. `legacy` is what the child gets of it, with the same number."""

    legacy: Request
    capabilities: Askable
    level: str
    token: bytes
    state: str | None
    """The `requestState` that it bears; None where it is no retry."""
    responses: Members
    subject: str
    """The name of the tool or prompt, or the URI of the resource."""
    arguments: bytes

    @property
    def can_be_asked(self) -> bool:
        """Whether the child may ask something while it does this."""
        return self.legacy.method in INPUT_REQUIRED_METHODS

    @property
    def interactive(self) -> bool:
        """Whether its client would answer."""
        return self.can_be_asked and bool(self.capabilities)

    def without_body(self) -> "Asked":
        """The same without what the child was sent: who waits for minutes, and on no connection, must not cost much."""
        return replace(self, legacy=msgspec.structs.replace(self.legacy, params=b""), responses={}, arguments=b"")

    def digest(self) -> bytes:
        """What a retry must have in common with the first try; the order of members is none of it."""
        hash_ = hashlib.sha256()
        for part in (self.legacy.method.encode(), self.subject.encode(errors="replace"), _canonical(self.arguments)):
            hash_.update(b"%d:" % len(part) + part)
        return hash_.digest()


def read(request: Request) -> Asked:
    """Take `request` apart. Raises Unreadable."""
    params = rawjson.members(request.params)
    if not params and request.params not in (b"", b"{}"):
        raise Unreadable("params is no object, or goes too deep")
    taken = meta.take_meta(params, ENVELOPE_KEYS)
    state, responses = _take_retry(params)
    level = rawjson.text(taken.get(LOG_LEVEL_META_KEY, b"")) or ""
    legacy = Request(request.id, request.method, msgspec.json.encode(params) if request.params else b"")
    return Asked(
        legacy=legacy,
        capabilities=askable(_object(bytes(taken.get(CLIENT_CAPABILITIES_META_KEY, b"")))),
        level=level if level in LEVELS else "",
        token=progress_token(legacy),
        state=state if request.method in INPUT_REQUIRED_METHODS else None,
        responses=responses,
        subject=rawjson.text(params.get("uri" if request.method == "resources/read" else "name", b"")) or "",
        arguments=bytes(params.get("arguments", b"")),
    )


def _take_retry(params: Members) -> tuple[str | None, Members]:
    """Take what makes a request a retry out of `params`."""
    raw_state, raw_responses = bytes(params.pop("requestState", b"")), bytes(params.pop("inputResponses", b""))
    state = rawjson.text(raw_state)
    if state is None and raw_state not in _ABSENT:
        raise Unreadable("requestState is no string")
    if raw_responses not in _ABSENT and not rawjson.is_object(raw_responses):
        raise Unreadable("inputResponses is no object")
    return state, rawjson.members(raw_responses)


def _object(data: bytes) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(data, type=dict[str, object]) if data else {}
    except (msgspec.MsgspecError, RecursionError):
        return {}


def _canonical(data: bytes) -> bytes:
    """The same JSON for the same value, where that can be had."""
    try:
        return msgspec.json.encode(msgspec.json.decode(data), order="sorted") if data else b""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return data
