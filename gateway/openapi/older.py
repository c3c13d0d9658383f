"""OpenAPI 3.0's schemas, from those of 3.1: what the older one has no words for is left out. No I/O."""

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

_DROPPED: Final = frozenset(
    """const examples prefixItems contains minContains maxContains patternProperties propertyNames dependentRequired
    dependentSchemas unevaluatedItems unevaluatedProperties if then else contentEncoding contentMediaType
    exclusiveMinimum exclusiveMaximum type items additionalProperties properties not allOf anyOf oneOf enum""".split()
)
"""Keywords of 3.1 that are not taken over as they are."""


def as_3_0(schema: object) -> Schema:
    """`schema`, which is clean (`schemas`), in the words of OpenAPI 3.0."""
    if not isinstance(schema, dict):
        return {"not": {}} if schema is False else {}
    if "$ref" in schema:
        return _referring(schema)
    found = {keyword: value for keyword, value in schema.items() if keyword not in _DROPPED}
    found |= {**_typed(schema), **_of_objects(schema), **_of_arrays(schema), **_combined(schema), **_bounds(schema)}
    _choose(schema, found)
    if schema.get("examples"):
        found["example"] = schema["examples"][0]
    if schema.get("contentEncoding") == "base64":
        found.setdefault("format", "byte")
    if found.get("readOnly") and found.get("writeOnly"):
        del found["writeOnly"]
    return found


def _referring(schema: Mapping[str, Any]) -> Schema:
    """Beside a `$ref` there is nothing in 3.0; what a person reads of it goes round it."""
    told = {key: schema[key] for key in ("title", "description") if key in schema}
    reference = {"$ref": schema["$ref"]}
    return {**told, "anyOf": [reference]} if told else reference


def _typed(schema: Mapping[str, Any]) -> Schema:
    types = schema.get("type", [])
    types = types if isinstance(types, list) else [types]
    others = [each for each in types if each != "null"]
    found: Schema = {}
    if "null" in types:
        found["nullable"] = True
        if not others:
            found["enum"] = [None]
    if len(others) == 1:
        found["type"] = others[0]
    elif len(others) > 1 and not schema.keys() & {"anyOf", "oneOf"}:
        found["anyOf"] = [{"type": each, **({"items": {}} if each == "array" else {})} for each in others]
        if "null" in types:
            found["anyOf"].append({"nullable": True, "enum": [None]})
            del found["nullable"]
    return found


def _of_objects(schema: Mapping[str, Any]) -> Schema:
    found: Schema = {}
    if "properties" in schema:
        found["properties"] = {name: as_3_0(each) for name, each in schema["properties"].items()}
    others = schema.get("additionalProperties")
    if isinstance(others, bool):
        found["additionalProperties"] = others or bool(schema.get("patternProperties"))
    elif others is not None:
        found["additionalProperties"] = as_3_0(others) if not schema.get("patternProperties") else True
    return found


def _of_arrays(schema: Mapping[str, Any]) -> Schema:
    types = schema.get("type", [])
    if "items" in schema and "prefixItems" not in schema:
        return {"items": as_3_0(schema["items"])}
    is_array = "array" in types if isinstance(types, list) else types == "array"
    return {"items": {}} if is_array or "items" in schema else {}


def _combined(schema: Mapping[str, Any]) -> Schema:
    found: Schema = {}
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            found |= _members(keyword, schema)
    if "not" in schema:
        found["not"] = as_3_0(schema["not"])
    return found


def _members(keyword: str, schema: Mapping[str, Any]) -> Schema:
    """One that is nothing but null makes the whole `nullable`."""
    others = [each for each in schema[keyword] if keyword == "allOf" or each != {"type": "null"}]
    members = [as_3_0(each) for each in others]
    if len(others) == len(schema[keyword]) or not others:
        return {keyword: [as_3_0(each) for each in schema[keyword]]}
    if len(members) == 1 and "$ref" not in members[0] and not members[0].keys() & schema.keys():
        return {**members[0], "nullable": True}
    return {keyword: members, "nullable": True}


def _bounds(schema: Mapping[str, Any]) -> Schema:
    found: Schema = {}
    for exclusive, bound, nearer in (("exclusiveMinimum", "minimum", max), ("exclusiveMaximum", "maximum", min)):
        limit = schema.get(exclusive)
        if isinstance(limit, bool) or limit is None:
            continue
        if bound not in schema or nearer(limit, schema[bound]) == limit:
            found |= {bound: limit, exclusive: True}
    return found


def _choose(schema: Mapping[str, Any], found: Schema) -> None:
    """An `enum` may have to say that something is null, which `nullable` alone does not."""
    if "const" in schema:
        found["enum"] = [schema["const"]]
    elif "enum" in schema and "enum" not in found:
        found["enum"] = schema["enum"]
    if "enum" in found and None in found["enum"] and "type" in found:
        found["nullable"] = True
