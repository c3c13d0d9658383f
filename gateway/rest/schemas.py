"""The schemas that arguments can be checked against. No I/O.

A child's schema is hostile input, and much of what is written by hand is no schema at all. What is looked at here: its
size and its depth; that nothing in it leads elsewhere, for nothing is ever fetched; and that the keywords have values
that they can have, for a misspelled one would refuse what the child takes. A schema that fails checks nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

LONGEST: Final = 64 * 1024
"""Bytes of a schema."""

DEEPEST: Final = 48
"""Objects and arrays of a schema within one another."""

_SIBLINGS_COUNT: Final = {
    "json-schema.org/draft/2020-12/schema": True,
    "json-schema.org/draft/2019-09/schema": True,
    "json-schema.org/draft-07/schema": False,
    "json-schema.org/draft-06/schema": False,
    "json-schema.org/draft-04/schema": False,
}
"""The dialects that `$schema` may name, and whether what stands beside a `$ref` counts in them."""
_LEADS_ELSEWHERE: Final = frozenset({"$schema", "$dynamicRef", "$recursiveRef"})
_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

_Object = dict[str, Any]


class Unusable(Exception):
    """Nothing can be checked against it; the text says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One against which something can be checked; `siblings_count` says whether what stands beside a `$ref` does."""

    root: dict[str, Any]
    siblings_count: bool


def read(schema: bytes) -> Schema:
    """The schema in this JSON. Raises Unusable."""
    if len(schema) > LONGEST:
        raise Unusable(f"it is longer than {LONGEST} bytes")
    try:
        root = msgspec.json.decode(schema, type=_Object)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unusable("it is no JSON object") from None
    named = root.pop("$schema", None)
    _look(root, DEEPEST)
    _check(root)
    return Schema(root, _siblings_count(named))


def _siblings_count(named: object) -> bool:
    """In the dialect of that name; where there is none, it is 2020-12 (specification 2025-11-25: basic, JSON Schema)."""
    if named is None:
        return True
    plain = named.removesuffix("#").partition("://")[2] if isinstance(named, str) else ""
    if plain not in _SIBLINGS_COUNT:
        raise Unusable("its $schema is none that is known here")
    return _SIBLINGS_COUNT[plain]


def _look(value: object, depth: int) -> None:
    """Anywhere, also where no schema should stand: a reference may lead there."""
    if isinstance(value, dict):
        _look_at_keys(value)
    if isinstance(value, dict | list):
        if not depth:
            raise Unusable(f"it is nested more than {DEEPEST} deep")
        for each in value.values() if isinstance(value, dict) else value:
            _look(each, depth - 1)


def _look_at_keys(value: _Object) -> None:
    elsewhere = _LEADS_ELSEWHERE.intersection(value)
    if elsewhere:
        raise Unusable(f"it has a {min(elsewhere)} within")
    reference = value.get("$ref")
    if isinstance(reference, str) and reference != "#" and not reference.startswith("#/"):
        raise Unusable("it has a $ref that does not point into itself")


# What a keyword's value may be.


def _is_schema(value: object) -> bool:
    if isinstance(value, dict):
        _check(value)
    return isinstance(value, dict | bool)


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _are_named_schemas(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and _is_number(value) and value >= 0  # type: ignore[operator]


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


_VALUES: Final[Mapping[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _are_schemas),
    **dict.fromkeys(("not", "if", "then", "else", "contains", "propertyNames"), _is_schema),
    **dict.fromkeys(("additionalItems", "additionalProperties"), _is_schema),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), _are_named_schemas),
    "dependentSchemas": _are_named_schemas,
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_are_texts, value.values())),
    "dependencies": lambda value: (
        isinstance(value, dict) and all(_are_texts(each) or _is_schema(each) for each in value.values())
    ),
    "items": lambda value: _is_schema(value) or _are_schemas(value),
    "type": _is_type,
    "enum": _is_list,
    "required": _are_texts,
    "uniqueItems": _is_truth,
    "pattern": _is_text,
    "$ref": _is_text,
    "multipleOf": lambda value: _is_number(value) and value > 0,  # type: ignore[operator]
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), lambda value: _is_number(value) or _is_truth(value)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _is_count),
}


def _check(schema: _Object) -> None:
    for keyword, value in schema.items():
        may_be = _VALUES.get(keyword)
        if may_be is not None and not may_be(value):
            raise Unusable(f"its '{keyword}' is not what that can be")
