"""The gateway as a protected resource of OAuth 2.1: where a client learns whom to ask for a token (RFC 9728). No I/O.

The whole gateway is one resource, so a token for it is good for every server. Clients that look below a server's own
path find the same document there, and so they do below any other: else nobody's question would tell which servers
there are.
"""

from collections.abc import Sequence
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

    def challenge(self, told: Told) -> str:
        """What `WWW-Authenticate` says (RFC 6750, section 3; RFC 9728, section 5.1)."""
        said = {"error": told, "scope": " ".join(self._scopes), "resource_metadata": self._metadata_url}
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in said.items() if value)


def is_described_at(path: str) -> bool:
    """Whether a document is at `path`, where there is any."""
    return path == WELL_KNOWN or path.startswith(f"{WELL_KNOWN}/")


def resource_of(auth: Auth) -> ProtectedResource | None:
    """The resource, where `auth.oauth` says that there is one."""
    if auth.oauth is None:
        return None
    return ProtectedResource(auth.oauth, [scope for each in auth.jwt for scope in each.required_scopes])
