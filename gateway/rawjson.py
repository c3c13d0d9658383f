"""JSON objects taken apart one level deep: what stands in them stays the bytes that it was. No I/O.

A member that stands twice comes out once, the later one: what was checked here is what the other side reads.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

Members = dict[str, Raw]
"""The members of a JSON object, each as its JSON."""

_decoder: Final = msgspec.json.Decoder(Members)


def members(data: bytes | Raw) -> Members:
    """The members of the JSON object `data`; none, where it is empty or no object."""
    data = bytes(data)
    if not data:
        return {}
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def is_object(data: bytes | Raw) -> bool:
    """Whether the JSON `data` is an object."""
    return bytes(data).lstrip()[:1] == b"{"


def text(data: bytes | Raw) -> str | None:
    """The string that the JSON `data` is; None where it is none."""
    try:
        return msgspec.json.decode(bytes(data), type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def put(value: object) -> Raw:
    """`value` as JSON."""
    return Raw(msgspec.json.encode(value))


def put_together(parts: Mapping[str, object]) -> bytes:
    """The JSON object with these members."""
    return msgspec.json.encode(parts)


def spliced(data: bytes, added: bytes) -> bytes:
    """The object `data` with the members `added`, which it has not got, in front."""
    rest = data.lstrip()[1:].lstrip()
    return b"{" + added + (b"," if rest[:1] != b"}" else b"") + rest
