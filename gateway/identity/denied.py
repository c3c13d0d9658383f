"""That nobody was proved: what the client is told, and what the operator is told, which is more.

A client must not learn which check failed. Nor does any sentence for it hold what LibreChat looks for in error texts,
such as "401" or "authentication".
"""

from typing import Literal

from common.reasons import Reason
from gateway.errors import GatewayError

Told = Literal["", "invalid_token", "insufficient_scope"]
"""What the challenge says besides where to log in (RFC 6750, section 3.1); nothing where nothing was presented."""


class Denied(GatewayError):
    """`why` is for the log; it names no secret, and of a token's content only what the operator has to compare."""

    def __init__(
        self, reason: Reason, message: str, /, why: str, told: Told = "", retry_after: float | None = None
    ) -> None:
        super().__init__(reason, message, **({} if retry_after is None else {"retryAfter": max(1, round(retry_after))}))
        self.why = why
        self.told = told


def unproved(why: str, told: Told = "") -> Denied:
    """There are no credentials, or they are not good."""
    message = "expected valid credentials in the header Authorization"
    return Denied(Reason.UNAUTHENTICATED, message, why=why, told=told)


def bad_token(why: str) -> Denied:
    """The token is not good."""
    return unproved(f"the token {why}", "invalid_token")
