"""Headers that the operator trusts to tell one principal's users, or conversations, apart. No I/O."""

from typing import Final

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.who import Who

MAX_VALUE: Final = 256
"""Characters of such a header, or of a cookie, that may key a child."""

_PLACEHOLDER: Final = "{{"
"""What LibreChat leaves of a variable that it does not know; all users would share it."""


def told_by(who: Who, header: str) -> str | None:
    """The value of `header`, None where it was not sent.

    Sent twice it says nothing: whatever stands in front has added its own to the client's. Raises GatewayError for that,
    for an empty one, and for one that cannot be meant.
    """
    values = who.header(header)
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or not value.strip() or _PLACEHOLDER in value or len(value) > MAX_VALUE:
        raise GatewayError(
            Reason.BAD_REQUEST,
            f"expected the header {header} once, with a value of 1 to {MAX_VALUE} characters without placeholders",
            header=header,
        )
    return value
