"""What becomes of a child's schema."""

from typing import Any

import msgspec
import pytest

from gateway.openapi.names import Names
from gateway.openapi.schemas import DEEPEST, LARGEST, components_of
from tests.support.openapi import check, made, made_for_actions, server, tool

AT = "#/components/schemas/"


def cleaned(schema: Any) -> Any:
    """The components of `schema`, as `it`."""
    raw = schema if isinstance(schema, bytes) else msgspec.json.encode(schema)
    return components_of(raw, "it", Names(["it"]))


def test_a_schema_that_says_nothing_wrong_stays_as_it_is() -> None:
    schema = {
        "type": "object",
        "title": "Arguments",
        "description": "All of them.",
        "properties": {
            "a": {"type": ["string", "null"], "minLength": 1, "pattern": "^x", "examples": ["x"]},
            "b": {"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": "null"}, "uniqueItems": True},
            "c": {"anyOf": [{"const": 1}, {"enum": ["x", None]}], "default": 1},
            "d": {"if": {"minimum": 1}, "then": {"multipleOf": 2}, "else": {"not": {}}},
        },
        "required": ["a"],
        "additionalProperties": False,
        "dependentRequired": {"a": ["b"]},
    }
    assert cleaned(schema) == {"it": schema}


def test_what_a_schema_refers_to_becomes_a_component_and_no_more_than_that() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
    found = cleaned({"type": "object", "properties": {"t": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": tree, "x": {}}})
    assert found == {
        "it": {"type": "object", "properties": {"t": {"$ref": f"{AT}it.Tree"}}},
        "it.Tree": {"type": "object", "properties": {"left": {"$ref": f"{AT}it.Tree"}}},
    }


@pytest.mark.parametrize(
    "reference",
    [
        {"$ref": "#/$defs/a~1b"},
        {"$ref": "#/%24defs/a~1b"},
        {"$ref": "#ab"},
        {"$dynamicRef": "#ab"},
        {"$ref": "https://own.test/s#/$defs/a~1b"},
    ],
)
def test_a_part_is_found_however_it_is_referred_to(reference: dict[str, str]) -> None:
    part = {"$anchor": "ab", "type": "integer"}
    schema = {"$id": "https://own.test/s", "type": "object", "properties": {"x": reference}, "$defs": {"a/b": part}}
    [name] = cleaned(schema).keys() - {"it"}
    assert cleaned(schema)[name] == {"type": "integer"}
    assert cleaned(schema)["it"]["properties"]["x"] == {"$ref": AT + name}


@pytest.mark.parametrize(
    "reference", ["https://elsewhere.test/s", "other.json#/a", "file:///etc/passwd", "#/nowhere", "#no", 1]
)
def test_a_reference_to_anything_else_is_left_out(reference: object) -> None:
    found = cleaned({"type": "object", "properties": {"x": {"$ref": reference, "type": "string"}}})
    assert found == {"it": {"type": "object", "properties": {"x": {"type": "string"}}}}


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_schema_that_is_itself_in_the_same_place_does_not_go_round(keyword: str) -> None:
    schema = {"type": "object", "$defs": {"a": {keyword: [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}
    found = cleaned({**schema, "properties": {"a": {"$ref": "#/$defs/a"}}})
    assert found["it.a"] == {keyword: [{"$ref": f"{AT}it.b"}]}
    assert found["it.b"] == {}


def test_drafts_4_to_7_are_read_as_what_they_mean() -> None:
    schema = {
        "type": "object",
        "properties": {
            "point": {"items": [{"type": "number"}], "additionalItems": False},
            "count": {"minimum": 0, "exclusiveMinimum": True},
        },
        "dependencies": {"point": ["count"], "count": {"required": ["point"]}},
        "definitions": {"x": {}},
        "example": {"count": 1},
    }
    assert cleaned(schema)["it"] == {
        "type": "object",
        "properties": {
            "point": {"prefixItems": [{"type": "number"}], "items": {"not": {}}},
            "count": {"exclusiveMinimum": 0},
        },
        "dependentRequired": {"point": ["count"]},
        "dependentSchemas": {"count": {"required": ["point"]}},
        "examples": [{"count": 1}],
    }


@pytest.mark.parametrize("schema", [True, False, None, 1, "x", [], {"type": "string"}, {"type": "any"}, {"type": 5}])
def test_arguments_are_an_object_whatever_is_said(schema: object) -> None:
    assert cleaned(schema)["it"]["type"] == "object"


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "any"},
        {"type": ["string", "any"]},
        {"enum": []},
        {"enum": "x"},
        {"enum": [{"$ref": "https://elsewhere.test"}]},
        {"default": {"$ref": "https://elsewhere.test"}},
        {"minimum": "1"},
        {"minLength": -1},
        {"minLength": 1.5},
        {"multipleOf": 0},
        {"pattern": "("},
        {"pattern": "x" * 2000},
        {"required": "a"},
        {"properties": []},
        {"allOf": {}},
        {"allOf": []},
        {"items": "x"},
        {"$schema": "https://elsewhere.test"},
        {"$vocabulary": {}},
        {"discriminator": {"propertyName": 1}},
        {"externalDocs": 1},
        {"xml": []},
        {"unheard-of": 1},
    ],
)
def test_a_keyword_with_a_value_that_it_may_not_have_is_left_out(wrong: dict[str, Any]) -> None:
    found = cleaned({"type": "object", "properties": {"x": {"description": "kept", **wrong}}})
    assert found["it"]["properties"]["x"] == {"description": "kept"}


@pytest.mark.parametrize(
    "pattern", ["^[a-z]+$", r"\d{3,}|(?:x|y)*?", r"^[^\s\]-]{1,5}\.\w$", "(?=a)b", "é☃", r"\u00e9", ""]
)
def test_a_pattern_stays_that_every_reader_can_read(pattern: str) -> None:
    assert cleaned({"type": "object", "properties": {"x": {"pattern": pattern}}})["it"]["properties"]["x"]
    check(made(server("s", tool("t", {"properties": {"x": {"pattern": pattern}}})), version="3.0"))


@pytest.mark.parametrize(
    "pattern", ["a{", "}", "]", r"\p{L}", "(?i)a", "(?P<x>a)", "a++", r"\Z", "[]a]", "(", "x{2,1}", "{,5}"]
)
def test_one_that_only_some_can_read_is_left_out(pattern: str) -> None:
    assert cleaned({"type": "object", "properties": {"x": {"pattern": pattern}}})["it"]["properties"]["x"] == {}


@pytest.mark.parametrize(
    "bomb",
    [
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"not":' * 900 + b"{}" + b"}" * 900,
        b'{"description":"' + b"x" * LARGEST + b'"}',
        b'{"anyOf":[' + b",".join([b"{}"] * 20_000) + b"]}",
        b'{"type":"object","default":' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"minimum":1e999,"maximum":' + b"9" * 5000 + b"}",
        b'{"title":"\xff"}',
        b"{",
        b"",
    ],
)
def test_nothing_is_too_deep_or_too_large_to_be_told_in_short(bomb: bytes) -> None:
    found = cleaned(bomb)
    assert found["it"]["type"] == "object"
    assert len(msgspec.json.encode(found)) < 100 * DEEPEST
    check(made(server("odd", tool("bomb", bomb))))
    check(made_for_actions(server("odd", tool("bomb", bomb))))


def test_a_chain_of_references_that_is_too_long_is_no_ones_fault_but_the_servers() -> None:
    chain = {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}]} for n in range(3000)}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": chain}
    assert cleaned(schema)["it"]["type"] == "object"


def test_what_is_referred_to_again_and_again_does_not_grow_beyond_a_bound() -> None:
    levels = {
        str(n): {"type": "object", "properties": {x: {"$ref": f"#/$defs/{n + 1}"} for x in "abcdef"}} for n in range(30)
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": levels}
    assert len(msgspec.json.encode(made_for_actions(server("odd", tool("bomb", schema))))) < 200_000


def test_what_each_part_refers_to_twice_is_looked_through_once() -> None:
    def part(number: int) -> Any:
        return {"required": ["a"], "allOf": [{"$ref": f"#/$defs/{number}"}] * 2}

    parts = {str(number): part(number + 1) for number in range(100)} | {"100": {"properties": {"a": {}}}}
    found = cleaned({"type": "object", **part(0), "$defs": parts})  # else it takes longer than there is time
    assert found["it"]["required"] == ["a"]


@pytest.mark.parametrize(("step", "length"), [("items", 4000), ("allOf", 450)])
def test_a_long_way_through_references_leaves_librechat_the_other_tools(step: str, length: int) -> None:
    def to(number: int) -> Any:
        reference = {"$ref": f"#/$defs/{number}"}
        return {step: [reference] if step == "allOf" else reference}

    schema = {"type": "object", "properties": {"a": to(0)}, "$defs": {str(n): to(n + 1) for n in range(length)}}
    found = made_for_actions(server("odd", tool("bomb", schema), tool("t")))
    assert "/api/actions/odd/t" in found["paths"]
    check(found)
