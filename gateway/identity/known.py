"""The secrets that the configuration has: passwords, tokens and keys.

Every one that has a fast hash is compared with what was presented, whichever of them matches, in constant time; digests
of equal length are compared instead of texts. So neither the time nor a length tells how near a guess was. Those that
have a slow hash alone come after them.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence

from common.config.auth import Auth, BearerToken
from common.hashes import is_argon2
from gateway.identity.credentials import Credentials, Kind, digest, digest_of, is_text
from gateway.identity.principal import Principal
from gateway.identity.slow import Candidate, SlowChecks

_ACCEPTED: dict[Kind, tuple[Kind, ...]] = {
    "basic": ("basic",),
    "bearer": ("bearer", "apikey"),  # many a client can send a key only so
    "apikey": ("apikey",),
}


class Known:
    """Finds out whose secret was presented."""

    def __init__(self, auth: Auth) -> None:
        self._fast: list[tuple[bytes, Principal]] = []
        self._slow: dict[tuple[Kind, str], list[Candidate]] = {}
        self._checks = SlowChecks()
        for kind, username, hashed, principal in _configured(auth):
            if is_argon2(hashed):
                self._slow.setdefault((kind, username), []).append((hashed, principal))
            else:
                self._fast.append((digest(kind, username, hashed), principal))
        slow = (principal for candidates in self._slow.values() for _, principal in candidates)
        self.principals = frozenset((*(principal for _, principal in self._fast), *slow))
        """All whom these secrets prove."""

    def quickly(self, credentials: Credentials) -> Principal | None:
        """Whom they prove, by a secret with a fast hash."""
        presented = [digest_of(credentials, kind) for kind in _ACCEPTED[credentials.kind]]
        found: Principal | None = None
        for known, principal in self._fast:
            for each in presented:
                if hmac.compare_digest(known, each):
                    found = principal
        return found

    async def slowly(self, credentials: Credentials, address: str) -> Principal | None:
        """The same by one with a slow hash. Raises Denied where too many were wrong that came from `address`."""
        kinds = _ACCEPTED[credentials.kind]
        if not any(kind in kinds for kind, _ in self._slow) or not is_text(credentials.secret + credentials.username):
            return None
        candidates: Sequence[Candidate] = [
            each for kind in kinds for each in self._slow.get((kind, credentials.username), ())
        ]
        return await self._checks.find(digest_of(credentials), credentials.secret, candidates, address)


def _configured(auth: Auth) -> Iterator[tuple[Kind, str, str, Principal]]:
    """Each secret: how it is presented, with which name, its hash, and whom it proves."""
    for user in auth.users:
        yield "basic", user.username, user.hashed, Principal("basic", user.username)
    for token in auth.tokens:
        yield "bearer", "", token.hashed, Principal("bearer", token.name or _name_of(token))
    for key in auth.keys:
        yield "apikey", "", key.hashed, Principal("apikey", key.name)


def _name_of(token: BearerToken) -> str:
    """A part of its hash names the principal of a token without a name; not its place in the list, which moves."""
    return hashlib.sha256(f"principal\0{token.hashed}".encode()).hexdigest()[:16]
