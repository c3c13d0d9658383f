"""Which child a client without a session gets. No I/O.

The protocol leaves it to whoever bridges HTTP to one process for each session (SEP-2567, Backward Compatibility). Here
it is a list of sources of a key, asked in order; the first that knows decides, and another source is another line in
it. Whatever the key, it is one among those of the same principal and server: nobody reaches anybody else's child by it.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import ANONYMOUS
from gateway.identity.telling import told_by
from gateway.identity.who import Who
from gateway.personal import Personal, personal
from gateway.sharing.whose import key_of_values


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of whose it is. No `repr` shows it: a value may be as good as a secret."""

    who: Who
    policy: ServerPolicy
    handle: str | None = field(default=None, repr=False)
    """The session that the model has opened, and names; proved to be this principal's."""
    cookie: str | None = field(default=None, repr=False)
    """The gateway's own cookie; proved to be one that it has set."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """Requests of one principal to one server with the same `key` share a child."""

    key: str = field(repr=False)
    ephemeral: bool = False
    """There is no key: the child is for this request alone."""


Source = Callable[[Asked], str | None]
"""A source of keys: the key, None where it has none. Raises GatewayError where it may not be gone on without."""


def by_handle(asked: Asked) -> str | None:
    """The handle that the model has been given, by whomever the header says that it works for, if it says so.

    Models write handles into conversations, and people show those to each other.
    """
    return None if asked.handle is None else f"{asked.handle}\0{by_header(asked) or ''}"


def by_header(asked: Asked) -> str | None:
    """The header that the operator trusts to tell one principal's conversations, or users, apart.

    Those of `isolation` tell other sessions apart in the same way.
    """
    own = asked.policy.affinity_header
    value = told_by(asked.who, own) if own is not None else None
    others = [told_by(asked.who, name) for name in asked.policy.sharing_headers]
    if all(each is None for each in others):
        return value
    return "\0".join([value or "", key_of_values(others)])


def by_principal(asked: Asked) -> str | None:
    """Whoever has a name has one child with each server."""
    return "" if asked.who.principal != ANONYMOUS else None


def by_cookie(asked: Asked) -> str | None:
    """The cookie that an anonymous client was given and has sent back."""
    return asked.cookie if heeds_cookies(asked.policy) else None


def heeds_cookies(policy: ServerPolicy) -> bool:
    """Whether anonymous clients are given cookies: not where all are to share a child, or none may have one."""
    return policy.affinity_cookie and policy.anonymous == "ephemeral"


def for_anonymous(asked: Asked) -> str | None:
    """All anonymous clients share one child, if the operator says so."""
    if asked.policy.anonymous == "reject":
        raise GatewayError(
            Reason.UNAUTHENTICATED,
            "this server gives no child to a client that nothing tells apart from others; expected credentials, or a "
            "revision with sessions",
            key="anonymous",
        )
    return "" if asked.policy.anonymous == "shared" else None


SOURCES: Final[Mapping[str, Source]] = {
    "handle": by_handle,
    "header": by_header,
    "principal": by_principal,
    "cookie": by_cookie,
    "anonymous": for_anonymous,
}
"""In the order in which they are asked. The name is part of the key, so that no source can speak for another."""


def affinity(asked: Asked, sources: Mapping[str, Source] = SOURCES) -> Affinity:
    """Which child the request is for. Raises GatewayError where it may have none."""
    own = personal(asked.who, asked.policy)
    for name, source in sources.items():
        value = source(asked)
        if value is not None:
            key = f"{name}:{hashlib.sha256(value.encode()).hexdigest()}" if value else name
            return Affinity(for_credentials(key, own))
    return Affinity("", ephemeral=True)


def for_credentials(key: str, own: Personal) -> str:
    """The key of a child that is given something of its user's own: whoever bears something else needs another one.

    One principal may stand for many users, and need not say for which.
    """
    return f"{key} {own.digest.hex()}" if own.digest else key


def for_capabilities(key: str, capabilities: bytes) -> str:
    """The key of a child with a handshake: it is told once what its client can do, so whoever can do something else
    needs another one. `capabilities` is JSON.
    """
    return f"{key} {hashlib.sha256(capabilities).hexdigest()[:16]}"
