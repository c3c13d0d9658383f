"""What a child is given of its user's own: values that its server's configuration asks for, by placeholder. No I/O.

The gateway knows the names of the placeholders, and nothing of where they stand; the supervisor fills them in. They come
with each request: with the one that opens a session they say what its child is given, and with each later one they are
compared with that. No error here quotes a value.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from common.config.model import ServerPolicy
from common.personal import CLAIM, HEADER, MAX_TOGETHER, MAX_VALUE, are_too_long, fault, said
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who

FAULTS: Final = frozenset({Reason.CREDENTIAL_MISSING, Reason.CREDENTIAL_MALFORMED})
"""Why a request is refused for what it bears, or does not bear, of its user's own."""

_UNRESOLVED: Final = re.compile(r"\{\{[^{}]*\}\}|\$\{[^{}]*\}")
"""What a client leaves of a variable that it does not know: all its users would share it."""

_BASE64: Final = "b64:"
"""How LibreChat sends what is no Latin-1: base64 of UTF-8."""

_LONGEST_ENCODED: Final = len(_BASE64) + (MAX_VALUE + 2) // 3 * 4

_NOBODY: Final = frozenset({"anonymous", "bearer", "apikey"})
"""Issuers whose subjects are no users: a key's name, if that."""


@dataclass(frozen=True, slots=True)
class Personal:
    """The `values` of the placeholders, such as `header:X-GitHub-Token` or `user.id`. No `repr` shows one."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    known: bytes = field(default=b"", repr=False)
    """The digest alone, of what an earlier gateway knew."""

    @property
    def digest(self) -> bytes:
        """What two of them have in common where they are the same; empty where there is nothing of a user's own."""
        if not self.values:
            return self.known
        parts = (part for pair in sorted(self.values.items()) for part in pair)
        return hashlib.sha256("\0".join(parts).encode()).digest()


NOTHING: Final = Personal()
"""A child that is the same for everybody."""


def remembered(digest: bytes) -> Personal:
    """What an earlier gateway's session was opened with: to compare with, not to start a child with."""
    return Personal(known=digest)


class Session(Protocol):
    """What is needed of a session."""

    policy: ServerPolicy
    personal: Personal

    def heed(self, own: Personal) -> None:
        """Its user's own values are others now: these."""


def compare(session: Session, who: Who) -> None:
    """Have `session` heed what `who` bears with this request, where its child was started with something else.

    To be called for each request to the child, and for no other: a stream that is opened again may still bear what was
    right when it was first opened, and whoever ends a session need bear nothing. And right before it is passed on:
    whatever is awaited in between, another request of the session may bear something else.

    Raises GatewayError where something is missing or malformed, and what `heed` raises.
    """
    own = personal(who, session.policy)
    if own.digest != session.personal.digest:
        session.heed(own)
    elif own.values and not session.personal.values:
        session.personal = own  # which an earlier gateway knew, and of which this one had the digest alone


def personal(who: Who, policy: ServerPolicy) -> Personal:
    """What `policy` says that a child is given of its user's own, as `who` asks with this request.

    Raises GatewayError for what is missing or malformed, by the name of the header and without its value.
    """
    if not policy.personal:
        return NOTHING
    values = {name: _value(name, who) for name in policy.personal}
    if are_too_long(values.values()):
        message = f"what the server asks for of its user's own is longer than {MAX_TOGETHER} bytes together"
        raise GatewayError(Reason.CREDENTIAL_MALFORMED, message)
    return Personal(values)


def _value(name: str, who: Who) -> str:
    if name.startswith(HEADER):
        value = _of_header(name, who.header(name.removeprefix(HEADER)))
    elif name.startswith(CLAIM):
        value = _of_claim(name, who.claims.get(name.removeprefix(CLAIM)))
    else:
        value = _of_user(name, who.principal)
    if (wrong := fault(value)) is not None:
        raise _malformed(name, wrong)
    return value


def _of_header(name: str, sent: object) -> str:
    match sent:
        case []:
            raise _missing(name, "it must come with each request to this server")
        case [str() as value]:
            return _decoded(name, value.strip(" \t"))
    raise _malformed(name, "was sent more than once")


def _decoded(name: str, value: str) -> str:
    if value.startswith(_BASE64) and len(value) <= _LONGEST_ENCODED:
        try:
            value = base64.b64decode(value.removeprefix(_BASE64), validate=True).decode()
        except (binascii.Error, ValueError):
            raise _malformed(name, f"begins with '{_BASE64}', and what follows is no base64 of UTF-8") from None
    if _UNRESOLVED.search(value):
        remedy = "in librechat.yaml, or wherever it is written, name a variable that this user has a value for"
        raise _malformed(name, f"still holds a placeholder in place of its value; {remedy}")
    return value


def _of_claim(name: str, claim: object) -> str:
    match claim:
        case None:
            raise _missing(name, "the caller's token has no such claim")
        case bool():
            return "true" if claim else "false"
        case str():
            return claim
        case int() | float():
            return str(claim)
    raise _malformed(name, "is neither a text nor a number")


def user_of(principal: Principal) -> str:
    """The person whom `principal` stands for; empty where that is a key that many may share, or nobody."""
    return principal.user or ("" if principal.issuer in _NOBODY else principal.subject)


def _of_user(name: str, principal: Principal) -> str:
    user = user_of(principal)
    if not user:
        raise _missing(name, "the request does not say on which user's behalf it comes")
    return user


def _missing(name: str, why: str) -> GatewayError:
    return GatewayError(Reason.CREDENTIAL_MISSING, f"{said(name)} is missing: {why}", **_about(name))


def _malformed(name: str, wrong: str) -> GatewayError:
    return GatewayError(Reason.CREDENTIAL_MALFORMED, f"{said(name)} {wrong}", **_about(name))


def _about(name: str) -> dict[str, str]:
    return {"header": name.removeprefix(HEADER)} if name.startswith(HEADER) else {"placeholder": name}
