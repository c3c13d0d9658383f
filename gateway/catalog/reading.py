"""One page of a list, as a child gives it: what can be understood of it, and what cannot. No I/O.

A thing that is malformed is left out, and the rest stays. Nothing here keeps the page itself alive.
"""

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw

from gateway.catalog.offers import ANY_OBJECT

MAX_BYTES: Final = 8 << 20
"""What all pages of one list may have together, in bytes; and what is kept of all that a child offers."""

OVERHEAD: Final = 256
"""Bytes that a thing of a list costs, besides its own."""

_OBJECTS: Final = ("input_schema", "output_schema", "annotations")
"""Fields of which only an object can be made anything."""

_NAMES: Final = ("name", "uri", "uri_template")

_Item = TypeVar("_Item", bound=msgspec.Struct)


class TooLarge(Exception):
    """A list has more than MAX_BYTES."""


class Malformed(Exception):
    """It is no page of a list at all."""


@dataclass(slots=True)
class Collected(Generic[_Item]):
    """The pages of one list, one after the other; of several things with one name the first is kept."""

    key: str
    """By which member of a page its things are found."""
    kind: type[_Item]
    found: dict[str, _Item] = field(default_factory=dict)
    malformed: int = 0
    why: str = ""
    """What is wrong with the first that is malformed; nothing of what stands in it."""
    size: int = 0
    """In bytes."""

    def add(self, page: bytes) -> str | None:
        """Take in what `page` has; the cursor of the next one. Raises Malformed and TooLarge."""
        self.size += len(page)
        if self.size > MAX_BYTES:
            raise TooLarge
        try:
            parts = msgspec.json.decode(page, type=dict[str, Raw])
            items = msgspec.json.decode(parts[self.key], type=list[Raw])
            cursor = msgspec.json.decode(parts.get("nextCursor", Raw(b"null")), type=str | None)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
            raise Malformed from None
        self.size += OVERHEAD * len(items)
        if self.size > MAX_BYTES:
            raise TooLarge
        for item in items:
            self._take(item)
        return cursor

    def losses(self, *, more: bool) -> set[str]:
        """What is missing in the list, in words; `more` is whether there are pages that nobody asked for."""
        said = set()
        if self.malformed:
            said.add(f"{self.malformed} of its {self.key} are malformed, the first: {self.why}")
        if more:
            said.add(f"its list of {self.key} has too many pages")
        return said

    def _take(self, item: Raw) -> None:
        try:
            thing = _understood(msgspec.json.decode(item, type=self.kind))
            self.found.setdefault(_name_of(thing), thing)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
            self.malformed += 1
            self.why = self.why or str(error)


def size_of(thing: msgspec.Struct) -> int:
    """About how many bytes it takes to keep it."""
    return OVERHEAD + sum(_size(getattr(thing, name)) for name in thing.__struct_fields__)


def _size(value: object) -> int:
    if isinstance(value, Raw):
        return len(bytes(value))
    if isinstance(value, dict):
        return sum(len(name) + _size(each) for name, each in value.items())
    return len(str(value))


def detached(raw: Raw) -> Raw:
    """The same bytes, without the message that they came in. Raises where they are no JSON."""
    msgspec.json.decode(raw)
    return raw.copy()


def _understood(thing: _Item) -> _Item:
    """`thing`, its own bytes copied. Raises for what nobody could use."""
    for name in thing.__struct_fields__:
        value = getattr(thing, name)
        if not isinstance(value, Raw) or not bytes(value):
            continue
        if name in _OBJECTS and bytes(value) == b"null":
            msgspec.structs.force_setattr(thing, name, ANY_OBJECT if name == "input_schema" else Raw(b""))
            continue
        if name in _OBJECTS and not bytes(value).startswith(b"{"):
            raise ValueError(f"`{name}` is no object")
        msgspec.structs.force_setattr(thing, name, detached(value))
    return thing


def _name_of(thing: msgspec.Struct) -> str:
    """By what it is told from the others. Raises ValueError where it has no name."""
    name = next(str(getattr(thing, each)) for each in _NAMES[::-1] if each in thing.__struct_fields__)
    if not name:
        raise ValueError("it has no name")
    return name
