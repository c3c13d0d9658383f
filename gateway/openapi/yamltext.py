"""A document as YAML: PyYAML's emitter, told of one thing after another, in time that grows with the document alone.

`yaml.dump` would make a graph of the whole document first. That takes thrice as long, and while Python's collector walks
through a graph of that size, all that the gateway relays stands still for up to a second, though this is a thread.

Imports PyYAML, so it is imported late.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import yaml
from yaml import events
from yaml.representer import SafeRepresenter
from yaml.resolver import Resolver

_WIDTH: Final = 1000
"""Characters after which a text goes on in another line."""

_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+")
"""Numbers in YAML 1.2, of which 1.1 knows some (section 10.3.2)."""

_LETTERS: Final = frozenset("yYnN")
"""Texts that are true or false in YAML 1.1, though PyYAML takes them for texts."""

_PLAIN: Final = (True, False)
_QUOTED: Final = (False, True)
_TEXT: Final = "tag:yaml.org,2002:str"


def dump(value: object) -> bytes:
    """`value` as a document; a text in it is one for readers of YAML 1.1 and 1.2, and no part refers to another."""
    text: str = yaml.emit(_document(value), Dumper=yaml.CDumper, allow_unicode=True, width=_WIDTH)
    return text.encode()


def _document(value: object) -> Iterator[events.Event]:
    yield events.StreamStartEvent()
    yield events.DocumentStartEvent(explicit=False)
    yield from _events(value, Resolver())
    yield events.DocumentEndEvent(explicit=False)
    yield events.StreamEndEvent()


def _events(value: object, resolver: Resolver) -> Iterator[events.Event]:
    if isinstance(value, Mapping):
        yield events.MappingStartEvent(None, None, implicit=True, flow_style=not value)
        for key, each in value.items():
            yield _text(str(key), resolver)
            yield from _events(each, resolver)
        yield events.MappingEndEvent()
    elif isinstance(value, list | tuple):
        yield events.SequenceStartEvent(None, None, implicit=True, flow_style=not value)
        for each in value:
            yield from _events(each, resolver)
        yield events.SequenceEndEvent()
    elif isinstance(value, str):
        yield _text(value, resolver)
    else:
        yield events.ScalarEvent(None, None, _PLAIN, SafeRepresenter().represent_data(value).value)


def _text(value: str, resolver: Resolver) -> events.Event:
    seems = resolver.resolve(yaml.ScalarNode, value, _PLAIN)  # type: ignore[no-untyped-call]
    is_clear = seems == _TEXT and value not in _LETTERS and not _NUMBER.fullmatch(value)
    style = "|" if "\n" in value else None  # where it cannot be so, the emitter finds another
    return events.ScalarEvent(None, None, (True, True) if is_clear else _QUOTED, value, style=style)
