"""CORS: what a browser is told of pages of other sites, for the origins that the configuration lists. No I/O.

(Fetch standard, "CORS protocol".) Without a list, nothing is said, and such a page is refused before anything else.

There is no wildcard, and `Access-Control-Allow-Credentials` is never said: a listed page sends its token by itself, and
what a browser would add to its requests unasked, cookies and remembered passwords, stays out of it. Which request
headers a listed page may send is no boundary, so it may send those that it asks for: `Authorization` and
`Mcp-Session-Id`, and whatever a server of the configuration wants of its users.
"""

import re
from collections.abc import Callable
from typing import Final

from common.config.cors import Cors, normal_origin

METHODS: Final = "GET, POST, DELETE"

EXPOSED: Final = ", ".join(
    """Mcp-Session-Id Mcp-Protocol-Version WWW-Authenticate Retry-After X-RateLimit-Limit X-RateLimit-Remaining
    X-RateLimit-Reset X-RateLimit-Policy Idempotency-Replayed Mcp-Session-New Mcp-Server ETag
    Content-Disposition""".split()
)
"""What a page may read of an answer's headers, beside the few that it always may."""

MAX_NAMES: Final = 50
"""Headers that a page may ask for at once."""

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_ORIGIN: Final = "Origin"
_METHOD, _HEADERS, _PRIVATE = (f"access-control-request-{each}" for each in ("method", "headers", "private-network"))


class CrossOrigin:
    """The answers, for one configuration; None is no list."""

    def __init__(self, settings: Cors | None) -> None:
        self._origins = frozenset(settings.origins if settings is not None else ())
        self._max_age = int(settings.max_age) if settings is not None else 0

    def lists(self, origin: str | None) -> bool:
        """Whether pages of `origin` may use the gateway."""
        try:
            return bool(self._origins) and origin is not None and normal_origin(origin) in self._origins
        except ValueError:
            return False

    def preflight(self, method: str, header: Callable[[str], str | None]) -> dict[str, str] | None:
        """The headers of the answer to a browser that asks before it lets a listed page ask; None for other requests.

        `header` gives the first value of a header of the request, by its name in lower case.
        """
        if method != "OPTIONS" or header(_METHOD) is None or not self.lists(header(_ORIGIN.lower())):
            return None
        said = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(self._max_age)}
        wanted = [name.strip() for name in (header(_HEADERS) or "").split(",")]
        if allowed := [name for name in wanted if _NAME.fullmatch(name)][:MAX_NAMES]:
            said["Access-Control-Allow-Headers"] = ", ".join(allowed)
        if header(_PRIVATE) == "true":
            said["Access-Control-Allow-Private-Network"] = "true"
        return said

    def answer(self, origin: str | None) -> dict[str, str]:
        """The headers that every answer bears, errors and event streams too, to a request from `origin`."""
        if not self._origins:
            return {}
        if not self.lists(origin):
            return {"Vary": _ORIGIN}
        return {"Vary": _ORIGIN, "Access-Control-Allow-Origin": origin or "", "Access-Control-Expose-Headers": EXPOSED}
