"""The cookie by which an anonymous client without a session can be known again: for a choice among children, no more.

It proves nothing about anybody: credentials are asked for whether it is there or not, and whoever has some is told apart
by them. It bears a signature only so that a key is always a random one that this gateway gave out, for this server, never
one that somebody made up. Whoever can put cookies into another's browser can still put one there that they were given
themselves, and share their own child. The signing key is this process's own; after a restart a client is given another
cookie. No I/O.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

NAME: Final = "mcp-gateway-affinity"
_RANDOM_BYTES: Final = 24
_VALUE: Final = re.compile(r"([A-Za-z0-9_-]{32})\.([0-9a-f]{64})")


class Cookies:
    """The cookies of one run of the gateway."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def __repr__(self) -> str:
        return "<Cookies>"

    def new(self, server: str) -> str:
        """The value of a new cookie, for one server."""
        random = secrets.token_urlsafe(_RANDOM_BYTES)
        return f"{random}.{self._sign(server, random)}"

    def known(self, server: str, value: str | None) -> str | None:
        """What keys a child, of a cookie that was given out for this server; None of any other, or of none."""
        match = _VALUE.fullmatch(value or "")
        if match is None or not hmac.compare_digest(self._sign(server, match[1]), match[2]):
            return None
        return match[1]

    def _sign(self, server: str, random: str) -> str:
        return hmac.new(self._key, f"{server}\0{random}".encode(), hashlib.sha256).hexdigest()
