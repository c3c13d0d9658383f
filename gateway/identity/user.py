"""The user whom a trusted front names in a header: what it sent, as the one text that stands for that user. No I/O.

What comes here is LibreChat's, mostly (`encodeHeaderValue`, and its placeholders): a value of characters up to U+00FF
comes raw, one with others as `b64:` and the base64 of its UTF-8; a field that is null is empty; a placeholder that it
does not know stays as it was written. Whoever took such a literal for a user would put all users into one.
"""

import base64
import binascii
import unicodedata
from collections.abc import Sequence
from typing import Final

from common.reasons import Reason
from gateway.errors import GatewayError

MAX_USER: Final = 256
"""Characters."""

_ENCODED: Final = "b64:"
_PLACEHOLDERS: Final = ("{{", "${")
_CONTROLS: Final = frozenset({"Cc", "Zl", "Zp"})
"""Control characters, and the two other things that end a line (Unicode's general categories)."""


def read_user(header: str, values: Sequence[str]) -> str:
    """The user whom `values` name, each of them one sending of `header`, decoded as latin-1 as HTTP has it.

    No two texts are the same user. So nothing is normalised (to Unicode's NFC the sign for Kelvin is a K, and whoever may
    choose how he is called could be called like somebody else), and it is never guessed whether raw bytes are UTF-8
    perhaps. Raises GatewayError, whose text says what to write where, and quotes no value.
    """
    if len(values) != 1:
        raise denied(header, f"was sent {len(values)} times")
    user = _decoded(header, values[0])
    if not user.strip():
        raise denied(header, "is empty: the field that it is filled from has no value for this user")
    if any(each in user for each in _PLACEHOLDERS):
        raise denied(header, "still holds a placeholder, which the front did not fill")
    if any(unicodedata.category(each) in _CONTROLS for each in user):
        raise denied(header, "holds control characters")
    if len(user) > MAX_USER:
        raise denied(header, f"has {len(user)} characters, and a user may have {MAX_USER}")
    return user


def denied(header: str, what: str, remedy: str = "") -> GatewayError:
    """The front named no user that could be one: `what` is wrong with its header, and `remedy` what to do about it."""
    remedy = remedy or f"write {header}: '{{{{LIBRECHAT_USER_ID}}}}' under this server's 'headers' in librechat.yaml"
    return GatewayError(Reason.USER_DENIED, f"the header {header} {what}; {remedy}", header=header)


def _decoded(header: str, value: str) -> str:
    if not value.startswith(_ENCODED):
        return value
    try:
        return base64.b64decode(value.removeprefix(_ENCODED).encode("latin-1"), validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise denied(header, f"begins with '{_ENCODED}', and the rest is not the base64 of a text in UTF-8") from None
