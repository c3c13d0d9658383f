"""Basic and Bearer credentials from the configuration, compared in constant time.

Every configured credential is compared with what was presented, whichever of them matches, and digests of equal length
are compared instead of texts: neither the time nor a length tells how near a guess was.
"""

import hashlib
import hmac

from werkzeug.datastructures import Authorization

from common.config.model import Auth
from gateway.identity.principal import ANONYMOUS, Principal


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


class Authenticator:
    """Decides who presents an `Authorization` header."""

    def __init__(self, auth: Auth) -> None:
        self.is_on = auth.is_on
        self.challenge = 'Basic realm="mcp-gateway"' if auth.basic_is_on else 'ApiKey realm="mcp-gateway"'
        """What `WWW-Authenticate` says. Never Bearer without OAuth: a client would go and look for a login."""
        self._known: list[tuple[bytes, Principal]] = []
        if auth.basic is not None and auth.basic_is_on:
            for each in auth.basic.credentials:
                digest = _digest("basic", each.username, each.password.get_secret_value())
                self._known.append((digest, Principal("basic", each.username)))
        if auth.bearer is not None and auth.bearer_is_on:
            for token in auth.bearer.tokens:
                digest = _digest("bearer", token.get_secret_value())
                # A token has no name: a part of its hash names its principal, not its place in the list, which moves.
                name = hashlib.sha256(b"principal\0" + digest).hexdigest()[:16]
                self._known.append((digest, Principal("bearer", name)))

    def authenticate(self, header: str | None) -> Principal | None:
        """The principal that `header` proves, ANONYMOUS where nobody has to prove anything, None where it fails."""
        if not self.is_on:
            return ANONYMOUS
        presented = _presented(header)
        found: Principal | None = None
        for digest, principal in self._known:
            if hmac.compare_digest(digest, presented):
                found = principal
        return found


def _presented(header: str | None) -> bytes:
    """A digest of what the header holds; of nothing that could be configured, where it holds no such thing."""
    scheme, _, rest = (header or "").partition(" ")
    if scheme.lower() == "bearer":
        return _digest("bearer", rest.strip())
    parsed = Authorization.from_header(header)
    if parsed is not None and parsed.type == "basic":
        return _digest("basic", parsed.username or "", parsed.password or "")
    return _digest("none")
