"""What a caller wants of a call beside its result: how soon, in which form, and once at most. No I/O."""

import math
import re
from enum import Enum
from typing import Final

import msgspec

from common.units import seconds
from gateway.errors import GatewayError, bad_request

TIMEOUT: Final = "timeout"
"""The query parameter."""
KEY: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
"""Headers."""

LONGEST_KEY: Final = 255
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PLAIN: Final = re.compile(r"[!#-~]+")
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


class Form(Enum):
    """How the answer is given."""

    JSON = "one JSON document"
    EVENTS = "a stream of events"


class Wishes(msgspec.Struct, frozen=True):
    """What one request wants. `timeout` is in seconds; `key` is empty where it may be repeated as if it were another."""

    form: Form = Form.JSON
    timeout: float | None = None
    key: str = ""


def timeout_of(values: list[str]) -> float | None:
    """What `?timeout=` says, in seconds: a number of them, or a duration such as 500ms. Raises GatewayError."""
    if not values:
        return None
    text = values[0].strip()
    try:
        if len(values) > 1 or not text.isascii():
            raise ValueError
        found = float(text) if _NUMBER.fullmatch(text) else seconds(text[:32])
    except ValueError:
        raise _no_timeout() from None
    if not 0 < found < math.inf:
        raise _no_timeout()
    return found


def key_of(values: list[str]) -> str:
    """What `Idempotency-Key` says, with or without quotes (RFC 8941, section 3.3.3); empty where it is not there.

    Raises GatewayError.
    """
    if not values:
        return ""
    text = values[0].strip()
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted is not None else text
    if len(values) > 1 or not key or len(key) > LONGEST_KEY or (quoted is None and not _PLAIN.fullmatch(text)):
        message = f"expected one {KEY}, a text in quotes of 1 to {LONGEST_KEY} printable ASCII characters"
        raise bad_request(message, header=KEY)
    return key


def _no_timeout() -> GatewayError:
    message = f"expected '?{TIMEOUT}=' with seconds above zero, or a duration such as 500ms, 10s or 2m"
    return bad_request(message, parameter=TIMEOUT)
