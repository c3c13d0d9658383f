"""What a request presents to prove who sends it. No I/O.

Nothing is decided here: `known` and `tokens` do.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal

from werkzeug.datastructures import Authorization

from common.hashes import sha256_of

API_KEY_HEADER: Final = "X-API-Key"

Kind = Literal["basic", "bearer", "apikey"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """One secret, how it was presented, and with which name, where it has one. No `repr` shows the secret."""

    kind: Kind
    secret: str = field(repr=False)
    username: str = ""


def from_authorization(header: str | None) -> Credentials | None:
    """What the header `Authorization` holds; None where it holds nothing that could be configured."""
    scheme, _, rest = (header or "").partition(" ")
    if scheme.lower() == "bearer":
        return Credentials("bearer", rest.strip()) if rest.strip() else None
    parsed = Authorization.from_header(header)
    if parsed is not None and parsed.type == "basic":
        return Credentials("basic", parsed.password or "", parsed.username or "")
    return None


def from_api_key(header: str | None) -> Credentials | None:
    """What the header `X-API-Key` holds."""
    return Credentials("apikey", header.strip()) if header and header.strip() else None


def digest(kind: Kind, username: str, hashed: str) -> bytes:
    """What stands for a secret whose fast hash is `hashed`: of equal length for all, and another for each kind."""
    return hashlib.sha256("\0".join((kind, username, hashed)).encode()).digest()


def digest_of(credentials: Credentials, kind: Kind | None = None) -> bytes:
    """The same for what was presented, as though it had been presented as `kind`."""
    hashed = sha256_of(credentials.secret) if is_text(credentials.secret + credentials.username) else ""
    return digest(kind or credentials.kind, credentials.username if hashed else "", hashed)


def is_text(text: str) -> bool:
    """Whether UTF-8 has all of it: a header may be anything."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def looks_like_a_token(secret: str) -> bool:
    """Whether `secret` has the three parts of a signed token (RFC 7519); what they are worth is another question."""
    return secret.count(".") == 2 and secret.startswith("ey")
