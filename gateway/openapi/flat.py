"""A schema as LibreChat's Actions take it: plain, with nothing to be looked up, and of one type each. No I/O.

Its converter makes arguments of the properties of an object, and knows `type`, `properties`, `required`, `items`, `enum`
of texts, lengths and bounds; whatever else there is it takes for anything at all. What is lost here of a schema, its
description says where that is short.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.openapi.schemas import DEEPEST, PREFIX

Schema = dict[str, Any]

MOST: Final = 1_000
"""Schemas that one may become, for what is referred to stands wherever it is."""

_KEPT: Final = ("title", "description", "format", "default", "uniqueItems", "minItems", "maxItems")
_OF_TYPE: Final = {
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum", "multipleOf"),
    "integer": ("minimum", "maximum", "multipleOf"),
}
_LONGEST_CHOICE: Final = 300


class Flattening:
    """Flattens schemas that refer to `components`, MOST of them."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components
        self._left = MOST
        self._depth = 0

    def flat(self, schema: object, above: frozenset[str] = frozenset()) -> Schema:
        """`schema`, which stands within what it refers to as `above`. What has no end ends as any object or text."""
        self._left -= 1
        merged, above = self._merged(schema, above)
        found: Schema = {key: merged[key] for key in _KEPT if key in merged}
        kind = found["type"] = _type(merged)
        if self._left < 0 or self._depth > DEEPEST:
            return {"type": kind, **({"items": {"type": "string"}} if kind == "array" else {})}
        found |= {key: merged[key] for key in _OF_TYPE.get(kind, ()) if key in merged}
        self._depth += 1
        if kind == "array":
            found["items"] = self.flat(_items(merged), above)
        elif kind == "object":
            found |= self._properties(merged, above)
        self._depth -= 1
        _choose(merged, found)
        if "description" not in found and "title" in found:
            found["description"] = found["title"]
        return found

    def _properties(self, merged: Schema, above: frozenset[str]) -> Schema:
        properties = {name: self.flat(each, above) for name, each in merged.get("properties", {}).items()}
        required = [name for name in merged.get("required", ()) if name in properties]
        return {"properties": properties, **({"required": required} if required else {})}

    def _merged(self, schema: object, above: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """`schema` with all that holds in the same place: what it refers to, all of `allOf`, the first of a choice."""
        if not isinstance(schema, dict):
            return {}, above
        found = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
        parts = [*schema.get("allOf", ()), *(_first(schema[key]) for key in ("anyOf", "oneOf") if key in schema)]
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(PREFIX)
            if name in above or self._left < 0:
                return {**found, "type": _type(self._components.get(name, {}))}, above
            parts.insert(0, self._components[name])
            above |= {name}
        for part in parts:
            other, above = self._merged(part, above)
            found = _joined(found, other)
        return found, above


def _joined(one: Schema, other: Schema) -> Schema:
    """Both, of which `one` goes before where only one can be."""
    found = {**other, **one}
    if "properties" in one and "properties" in other:
        found["properties"] = {**other["properties"], **one["properties"]}
    if "required" in one and "required" in other:
        found["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return found


def _first(members: list[Any]) -> object:
    """What stands for a choice: the first that is not null; of several that are single texts, all of these."""
    others = [each for each in members if isinstance(each, dict) and each.get("type") != "null"]
    texts = [text for each in others for text in (each.get("enum") or [each.get("const")])]
    if len(others) > 1 and all(isinstance(text, str) for text in texts):
        return {"type": "string", "enum": list(dict.fromkeys(texts))}
    return others[0] if others else {}


def _type(schema: Mapping[str, Any]) -> str:
    """The one type that stands for all that it may be."""
    types = schema.get("type", [])
    named = [each for each in (types if isinstance(types, list) else [types]) if each != "null"]
    if named:
        return str(named[0])
    if schema.keys() & {"properties", "additionalProperties"}:
        return "object"
    if schema.keys() & {"items", "prefixItems"}:
        return "array"
    return _type_of(schema["const"] if "const" in schema else next(iter(schema.get("enum", ())), ""))


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "string"


def _items(schema: Mapping[str, Any]) -> object:
    items = schema.get("items")
    first: object = next(iter(schema.get("prefixItems", ())), {})
    return items if isinstance(items, dict) and items else first


def _choose(schema: Mapping[str, Any], found: Schema) -> None:
    """Only texts may be chosen from; of other values it is told which there are."""
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if not choices:
        return
    texts = [each for each in choices if isinstance(each, str)]
    if found["type"] == "string" and texts:
        found["enum"] = texts
        return
    told = ", ".join(str(each) for each in choices)
    if len(told) <= _LONGEST_CHOICE:
        found["description"] = f"{found.get('description', '')} One of: {told}".strip()
