"""YAML of what JSON can hold: indented blocks, texts in quotes wherever there is doubt. No I/O.

A document of a thousand tools takes a general writer of YAML many seconds, and this one a fraction of one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

_PLAIN: Final = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./ -]*[A-Za-z0-9_/.]|[A-Za-z]")
"""Texts that need no quotes."""

_MEANING: Final = frozenset("true false yes no on off y n null none".split())
"""Plain texts that some readers take for something else."""

_LONGEST_KEY: Final = 1024
"""Characters of a key, with its quotes, that a reader looks for its colon behind (YAML 1.2.2, section 7.4.2)."""

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def dump(value: object) -> bytes:
    """`value` as a document."""
    return ("\n".join(_lines(value, "")) + "\n").encode()


def _lines(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _member(_scalar(str(key)), each, indent)
    elif isinstance(value, list | tuple) and value:
        for each in value:
            first, *others = _lines(each, f"{indent}  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from others
    else:
        yield indent + _scalar(value)


def _member(key: str, value: object, indent: str) -> Iterator[str]:
    if len(key) > _LONGEST_KEY:
        yield f"{indent}? {key}"
        key = ""
    if value and isinstance(value, Mapping | list | tuple):
        yield f"{indent}{key}:"
        yield from _lines(value, f"{indent}  ")
    else:
        yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _MEANING:
            return value
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", msgspec.json.encode(value).decode())
    return msgspec.json.encode(value).decode()
