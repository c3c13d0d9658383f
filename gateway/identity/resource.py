"""The gateway as a protected resource of OAuth 2.1: where a client learns whom to ask for a token (RFC 9728). No I/O.

The whole gateway is one resource, so a token for it is good for every server. Clients that look below a server's own
path find the same document there.
"""

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from common.config.auth import Auth
from common.config.tokens import OAuth
from gateway.identity.denied import Told

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


class ProtectedResource:
    """What clients are told, for one configuration."""

    def __init__(self, oauth: OAuth, required_scopes: Sequence[str]) -> None:
        self._scopes = tuple(dict.fromkeys(required_scopes))
        parts = urlsplit(oauth.resource)
        self._path = parts.path
        self._metadata_url = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
        offered = tuple(dict.fromkeys((*oauth.scopes_supported, *self._scopes)))
        self.document = msgspec.json.encode(
            {
                "resource": oauth.resource,
                "authorization_servers": oauth.authorization_servers,
                "bearer_methods_supported": ["header"],
                "resource_name": "mcp-gateway",
                **({"scopes_supported": offered} if offered else {}),
            }
        )

    def is_described_at(self, path: str, servers: Collection[str]) -> bool:
        """Whether the document is at `path`: of the gateway itself, or of one of its `servers`."""
        if path != WELL_KNOWN and not path.startswith(f"{WELL_KNOWN}/"):
            return False
        rest = path.removeprefix(WELL_KNOWN).rstrip("/")
        if self._path and (rest == self._path or rest.startswith(f"{self._path}/")):
            rest = rest.removeprefix(self._path)
        return not rest or rest.split("/")[1] in servers

    def challenge(self, told: Told) -> str:
        """What `WWW-Authenticate` says (RFC 6750, section 3; RFC 9728, section 5.1)."""
        said = {"error": told, "scope": " ".join(self._scopes), "resource_metadata": self._metadata_url}
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in said.items() if value)


def resource_of(auth: Auth) -> ProtectedResource | None:
    """The resource, where `auth.oauth` says that there is one."""
    if auth.oauth is None:
        return None
    return ProtectedResource(auth.oauth, [scope for each in auth.jwt for scope in each.required_scopes])
