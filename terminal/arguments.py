"""What a person types, `key=value`, as a tool's arguments: each value is of the type that the tool's schema has. Pure.

The schema is the server's own, so anything may be in it: what is not understood leaves the value a text, or what it is as
JSON where nothing is known of it. Whether the arguments are right, the gateway says.
"""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

ANYTHING: Final = frozenset({"array", "object", "boolean", "null", "integer", "number", "string"})
_DEPTH: Final = 8
"""References that are followed: one may lead in a circle."""

_EXPECTED: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "a JSON object",
    "array": "a JSON list",
}


class Mistyped(Exception):
    """An argument cannot be what the tool wants; the text names it."""


def arguments(words: Iterable[str], schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that `words`, each `key=value`, and `given` make together; the words win. Raises Mistyped.

    `schema` is the tool's input schema, or None where nobody knows it. A key that stands several times is a list.
    """
    values: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Mistyped(f"expected KEY=VALUE in place of '{word}'; what is no text may also be given with --json")
        values.setdefault(key, []).append(value)
    properties = _properties(schema)
    if properties is not None:
        for key in values:
            _check_name(key, properties, schema or {})
    known = properties or {}
    return {**given, **{key: _value(key, each, known.get(key), schema or {}) for key, each in values.items()}}


def _properties(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    found = schema.get("properties") if schema is not None else None
    return found if isinstance(found, Mapping) else None


def _check_name(key: str, properties: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    if (
        key not in properties
        and schema.get("additionalProperties") in (None, False)
        and not schema.get("patternProperties")
    ):
        nearest = get_close_matches(key, properties, n=1)
        meant = f"did you mean '{nearest[0]}'?" if nearest else f"there is {', '.join(properties) or 'none'}"
        raise Mistyped(f"the tool has no argument '{key}'; {meant}")


def _value(key: str, texts: list[str], schema: Any, root: Mapping[str, Any]) -> Any:
    types = _types(schema, root)
    if "array" in types and not (len(texts) == 1 and types == ANYTHING):
        return _list(key, texts, schema, root, types)
    if len(texts) > 1 and types != ANYTHING:
        raise Mistyped(f"'{key}' stands here {len(texts)} times, and is no list")
    return [_single(key, each, types) for each in texts] if len(texts) > 1 else _single(key, texts[0], types)


def _list(key: str, texts: list[str], schema: Any, root: Mapping[str, Any], types: frozenset[str]) -> Any:
    """A list: one written as JSON, or its elements one by one; one alone may be what the argument is beside a list."""
    if len(texts) == 1:
        decoded = _json(texts[0])
        if isinstance(decoded, list):
            return decoded
        if types != {"array"}:
            return _single(key, texts[0], types - {"array"})
    items = _followed(schema, root).get("items")
    wanted = _types(items, root)
    return [_single(key, each, wanted) for each in texts]


def _single(key: str, text: str, types: frozenset[str]) -> Any:
    """`text` as the first of `types` that it can be; a text where it may be one. Raises Mistyped."""
    if types == {"string"}:
        return text
    decoded = _json(text)
    if decoded is not _NO_JSON and _type_of(decoded) & types and not isinstance(decoded, str):
        return int(decoded) if isinstance(decoded, float) and types == {"integer"} else decoded
    if "string" in types:
        return text
    expected = " or ".join(_EXPECTED[each] for each in sorted(types))
    raise Mistyped(f"'{key}': expected {expected}")


_NO_JSON: Final = object()


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _NO_JSON


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _type_of(value: Any) -> frozenset[str]:
    """The types that a decoded value is of."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return frozenset({"integer", "number"})
    kinds: dict[type, str] = {float: "number", list: "array", dict: "object", str: "string", type(None): "null"}
    return frozenset({kinds[type(value)]})


def _types(schema: Any, root: Mapping[str, Any], depth: int = _DEPTH) -> frozenset[str]:
    """What a value may be by `schema`; anything, where it does not say."""
    found = _followed(schema, root)
    own = found.get("type")
    if isinstance(own, str):
        return frozenset({own}) & ANYTHING or ANYTHING
    if isinstance(own, list):
        return frozenset(each for each in own if isinstance(each, str)) & ANYTHING or ANYTHING
    several: list[Any] = next((found[key] for key in ("anyOf", "oneOf") if isinstance(found.get(key), list)), [])
    if several and depth > 0:
        return frozenset().union(*(_types(each, root, depth - 1) for each in several)) or ANYTHING
    values = found.get("enum", [found["const"]] if "const" in found else None)
    if isinstance(values, list) and values:
        return frozenset().union(*(_type_of(each) for each in values))
    return ANYTHING


def _followed(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema`, or what it refers to within `root`."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        schema = _at(root, reference)
    return schema if isinstance(schema, Mapping) else {}


def _at(root: Mapping[str, Any], reference: str) -> Any:
    """What a JSON pointer (RFC 6901) in a fragment points to."""
    node: Any = root
    for part in reference.removeprefix("#/").split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node
