"""The arguments of a call: the body of a request, which is to be the JSON of one object. No I/O."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.errors import GatewayError, bad_request
from gateway.rest.checking import is_moderate

NONE: Final = b"{}"

_EXPECTED: Final = "expected a JSON object with the tool's arguments"
_NO_NUMBER: Final = re.compile(rb"[\s:,\[]-?(?:NaN|Infinity)\b")
_LOOKED_AT: Final = 64 * 1024
"""Bytes of a body that is no JSON in which such a word is looked for."""
_KINDS: Final = {b"[": "an array", b'"': "a string", b"n": "null", b"t": "true", b"f": "false"}


class _Twice(Exception):
    """A member stands twice in one object."""


def read(body: bytes) -> bytes:
    """The arguments in `body`; none where that is empty. Raises GatewayError, which says what is wrong with it.

    No member may stand twice, for one reader takes the first, and another the last: what is checked here is to be what
    the child reads. That is looked at in a body of moderate size.
    """
    if not body.strip():
        return NONE
    _check_encoding(body)
    try:
        msgspec.json.decode(body, type=dict[str, Raw])
        if is_moderate(body):
            _ONCE.decode(body.decode())
    except msgspec.ValidationError:
        kind = _KINDS.get(body.lstrip()[:1], "a number")
        raise bad_request(f"{_EXPECTED}, and the body is {kind}") from None
    except msgspec.DecodeError as error:
        raise _not_json(_why(body, error)) from None
    except RecursionError:
        raise _not_json("the body is nested too deeply") from None
    except _Twice:
        raise _not_json("a member stands twice in one of its objects") from None
    except ValueError:
        raise _not_json("it holds a number that is too long") from None
    return body


def _check_encoding(body: bytes) -> None:
    if body.startswith(b"\xef\xbb\xbf"):
        raise _not_json("the body begins with a byte order mark")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_json(f"the body is not UTF-8 (byte {error.start})") from None


def _why(body: bytes, error: msgspec.DecodeError) -> str:
    if _NO_NUMBER.search(body, 0, _LOOKED_AT):
        return "the body is not JSON, which has no NaN and no Infinity"
    # The library quotes nothing of what it reads.
    return "the body is not JSON: " + str(error).removeprefix("JSON is malformed: ")


def _once(pairs: Sequence[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Twice


_ONCE: Final = json.JSONDecoder(object_pairs_hook=_once)


def _not_json(why: str) -> GatewayError:
    return GatewayError(Reason.INVALID_JSON, f"{_EXPECTED}, but {why}")
