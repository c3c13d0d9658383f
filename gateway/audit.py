"""The audit log: who did what, on whose behalf, where, and what came of it; a line of JSON for each event.

`session_open` and `session_end`, `call` once it is over, and `refused`. Nothing of a request's headers is ever in it,
and of its body no more than a method and a tool's name, unless the operator wants the arguments. Every text is bounded,
and escaped to ASCII, so a name can neither break a line nor play tricks on a terminal.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Raw

from common.logs import masked
from common.redact import REDACTED, SHORTEST
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.jsonrpc import Request
from gateway.rawjson import members, text
from gateway.toollists import CALL

LONGEST: Final = 384
"""Bytes of one text, as they are written: ten of them stay under the 4 KiB of a line."""

LONGEST_ARGUMENTS: Final = 4096
"""Bytes of a call's arguments that are recorded."""

Value = str | int | float | Raw | None
Outcome = Mapping[str, Value]
Write = Callable[[bytes], None]


class _Result(msgspec.Struct):
    isError: bool = False  # noqa: N815 - the protocol's spelling


class _Error(msgspec.Struct):
    code: int = 0


class _Answer(msgspec.Struct):
    result: _Result | None = None
    error: _Error | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class Audit:
    """Writes events by `write`, which takes a line; None is for none. With `arguments`, those of calls are in it."""

    def __init__(
        self, write: Write | None = None, *, arguments: bool = False, now: Callable[[], datetime] = _now
    ) -> None:
        self.is_on = write is not None
        self.arguments = arguments
        self._write = write
        self._now = now

    def __repr__(self) -> str:
        return f"<Audit {'on' if self.is_on else 'off'}>"

    def record(self, event: str, principal: Principal | None, about: Mapping[str, Value]) -> None:
        """One event; what `about` has as None is left out."""
        if self._write is None:
            return
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts: dict[str, Value] = {"time": time, "event": event}
        if principal is not None:
            facts |= {"issuer": principal.issuer, "subject": principal.subject, "user": principal.user or None}
        self._write(_line({**facts, **about}))

    def refused(self, principal: Principal | None, error: GatewayError, **about: Value) -> None:
        """Somebody may not, or not now, do what they asked for."""
        self.record("refused", principal, {**about, "reason": error.reason})

    def of_session(
        self, id_: str, server: str, door: str, pid: Callable[[], int], secrets: Iterable[str]
    ) -> "SessionAudit":
        """For a call of one session, which goes to the child `pid()`. None of the `secrets` is in any line."""
        about = {"session": masked(id_), "door": door, "server": server}
        return SessionAudit(self, about, pid, tuple(each for each in secrets if len(each) >= SHORTEST))


@dataclass(frozen=True, slots=True)
class SessionAudit:
    """The audit log, as one session writes it of a request."""

    audit: Audit
    about: Mapping[str, Value]
    pid: Callable[[], int]
    secrets: tuple[str, ...] = field(repr=False)

    def called(self, principal: Principal, message: Request, call: int, came: Outcome, ms: float) -> None:
        """The request `message`, known to the child as `call`, is over, and this `came` of it."""
        parts = members(message.params) if message.method == CALL else {}
        facts: dict[str, Value] = {
            "method": message.method,
            "tool": _name_in(parts),
            "pid": self.pid(),
            "request": call,
        }
        facts |= {**came, "ms": round(ms, 1)}
        if self.audit.arguments and "arguments" in parts:
            facts["arguments"] = self._shown(bytes(parts["arguments"]))
        self.audit.record("call", principal, {**self.about, **facts})

    def denied(self, principal: Principal, message: Request, error: GatewayError) -> None:
        """The request may not be made, or not now, so it never was."""
        parts = members(message.params) if message.method == CALL else {}
        self.audit.refused(principal, error, **self.about, method=message.method, tool=_name_in(parts))

    def _shown(self, arguments: bytes) -> Value:
        """The arguments as JSON in ASCII; as the beginning of their text, where they are longer than that may be."""
        try:
            shown = json.dumps(msgspec.json.decode(arguments), separators=(",", ":"))
        except (msgspec.MsgspecError, RecursionError):
            return "unreadable"
        for secret in self.secrets:
            shown = shown.replace(json.dumps(secret)[1:-1], REDACTED)
        return Raw(shown.encode()) if len(shown) <= LONGEST_ARGUMENTS else shown


def outcome(answer: bytes, failure: GatewayError | None) -> Outcome:
    """What came of a call: the gateway's own `failure`, where there is one, else what the child answered."""
    if failure is not None:
        return {"outcome": failure.reason}
    if b'"error"' not in answer and b'"isError"' not in answer:
        return {"outcome": "ok"}
    try:
        read = msgspec.json.decode(answer, type=_Answer)
    except (msgspec.MsgspecError, RecursionError):
        return {"outcome": "error"}
    if read.error is not None:
        return {"outcome": "error", "code": read.error.code}
    return {"outcome": "tool_error" if read.result is not None and read.result.isError else "ok"}


def _name_in(parts: Mapping[str, Raw]) -> str | None:
    return text(parts["name"]) if "name" in parts else None


def _line(facts: Mapping[str, Value]) -> bytes:
    written = (f"{json.dumps(name)}:{_value(value)}" for name, value in facts.items() if value is not None)
    return f"{{{','.join(written)}}}\n".encode()


def _value(value: Value) -> str:
    if isinstance(value, Raw):
        return bytes(value).decode()
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    """`value` in quotes, as ASCII; only its beginning, where it is long."""
    whole = _escaped(value[:LONGEST])
    if len(whole) <= LONGEST and len(value) <= LONGEST:
        return whole
    kept = value[: LONGEST // 12]  # a character takes 12 bytes at most
    while len(longer := value[: len(kept) + 8]) > len(kept) and len(_escaped(longer)) <= LONGEST - 6:
        kept = longer
    return _escaped(f"{kept}…")


def _escaped(value: str) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")
