"""What a child's answer holds that can be had as bytes, and which of it a client wants. No I/O.

A block is found without a copy of it: an image of many megabytes stays the base64 that it came as, until it is sent
(`gateway.rest.decoding`). What a child says of a block is not believed: a type that is none is `OCTETS`, and
parameters of a type, such as a charset, are dropped.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.errors import GatewayError

JSON: Final = "application/json"
TEXT: Final = "text/plain"
OCTETS: Final = "application/octet-stream"

MOST: Final = 1000
"""Blocks of one answer that are looked for."""

MAX_NAMED: Final = 100
"""Blocks that an error names."""

_LONGEST_TYPE: Final = 127 * 2 + 1
"""Characters (RFC 6838, section 4.2)."""

_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_ABSENT: Final = Raw(b"")
_Known = TypeVar("_Known", bound=msgspec.Struct)

Quality = Callable[[str], float]
"""How much a client would like an answer of that type, from 0 for not at all to 1."""


@dataclass(frozen=True, slots=True)
class Block:
    """One thing that can be had as bytes: number `index` of its answer."""

    index: int
    kind: str
    """`text`, `image`, `audio` or `resource`."""
    type: str
    data: Raw = field(repr=False)
    """A JSON string, not yet read: of base64, or of text."""
    is_base64: bool
    uri: str = ""


class _Resource(msgspec.Struct, rename="camel"):
    uri: str = ""
    mime_type: str | None = None
    text: Raw = _ABSENT
    blob: Raw = _ABSENT


class _Content(msgspec.Struct, rename="camel"):
    type: str = ""
    mime_type: str | None = None
    text: Raw = _ABSENT
    data: Raw = _ABSENT
    resource: Raw = _ABSENT


class _Answer(msgspec.Struct, rename="camel"):
    content: list[Raw] = []
    contents: list[Raw] = []
    is_error: bool = False


def blocks(answer: bytes) -> list[Block]:
    """What can be had of the result of a `tools/call` or a `resources/read`; nothing of one that cannot be read.

    It is of the first MOST of its contents. Nothing either of a call that the tool says has failed: then its words are
    the answer.
    """
    read = _read(answer, _Answer)
    if read is None or read.is_error:
        return []
    of_call = [_of_call(index, item) for index, item in enumerate(read.content[:MOST])]
    of_reading = [_of_resource(index, item) for index, item in enumerate(read.contents[:MOST])]
    return [each for each in (*of_call, *of_reading) if each is not None]


def failed(answer: bytes) -> bool:
    """Whether a result says of itself that the tool has failed."""
    read = _read(answer, _Answer)
    return read is not None and read.is_error


def is_json(quality: Quality, index: int | None = None, *, raw: bool = False) -> bool:
    """Whether the whole answer is wanted as JSON, whatever is in it. Then nothing in it need be looked for."""
    return index is None and not raw and quality(JSON) >= 1


def chosen(found: Sequence[Block], quality: Quality, index: int | None = None, *, raw: bool = False) -> Block | None:
    """The block that a client wants as bytes, most of all; None for the whole answer as JSON.

    That is the answer unless something else is wanted more. With an `index`, or `raw`, it is never. Raises GatewayError
    where there is nothing of a type that the client takes.
    """
    wanted = [each for each in found if index is None or each.index == index]
    best = max(wanted, key=lambda block: _quality(block, quality), default=None)
    liking = _quality(best, quality) if best is not None else 0.0
    if index is None and not raw and quality(JSON) >= liking and quality(JSON) > 0:
        return None
    if best is None or not liking:
        raise _not_acceptable(found, index)
    return best


def sent_as(block: Block, quality: Quality) -> str:
    """The type under which `block` is sent to a client who takes it: its own, unless that alone is not wanted."""
    return block.type if quality(block.type) > 0 else OCTETS


def media_type(said: str | None, otherwise: str = OCTETS) -> str:
    """What a child says of a type, without parameters and in lower case; `otherwise` where it says nothing.

    What is no type is `OCTETS`.
    """
    if said is None:
        return otherwise
    bare = said.partition(";")[0].strip(" \t")
    return bare.lower() if len(bare) <= _LONGEST_TYPE and _TYPE.fullmatch(bare) else OCTETS


def _quality(block: Block, quality: Quality) -> float:
    return max(quality(block.type), quality(OCTETS))


def _of_call(index: int, item: Raw) -> Block | None:
    content = _read(item, _Content)
    if content is None:
        return None
    if content.type == "resource":
        return _of_resource(index, content.resource)
    if content.type == "text" and _is_string(content.text):
        return Block(index, "text", TEXT, content.text, is_base64=False)
    if content.type in ("image", "audio") and _is_string(content.data):
        return Block(index, content.type, media_type(content.mime_type), content.data, is_base64=True)
    return None


def _of_resource(index: int, item: Raw) -> Block | None:
    resource = _read(item, _Resource)
    if resource is None:
        return None
    if _is_string(resource.blob):
        return Block(index, "resource", media_type(resource.mime_type), resource.blob, is_base64=True, uri=resource.uri)
    if _is_string(resource.text):
        kind = media_type(resource.mime_type, TEXT)
        return Block(index, "resource", kind, resource.text, is_base64=False, uri=resource.uri)
    return None


def _is_string(raw: Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b'"'


def _read(data: bytes | Raw, known: type[_Known]) -> _Known | None:
    try:
        return msgspec.json.decode(data, type=known)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _not_acceptable(found: Sequence[Block], index: int | None) -> GatewayError:
    there = [{"content": each.index, "type": each.kind, "mimeType": each.type} for each in found[:MAX_NAMED]]
    which = "nothing" if index is None else f"no content {index}"
    message = f"the answer holds {which} of a type that 'Accept' names; ask for what there is, or for {JSON}"
    return GatewayError(Reason.NOT_ACCEPTABLE, message, content=there)
