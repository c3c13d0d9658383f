"""Which arguments of a tool headers repeat; that the SDK sees it likewise is fuzzed (`tests/fuzz/test_headers.py`)."""

from typing import Any

import pytest

from gateway.modern.repeated import Annotations, Repeated, annotations, decoded, disagreement

A: dict[str, Any] = {"type": "string", "x-mcp-header": "A"}
OF_A_STRING: Annotations = {("a",): Repeated("A", "string")}
OF_A_NUMBER: Annotations = {("a", "b"): Repeated("A", "integer")}


def test_of_a_schema_nothing_is_kept_but_what_headers_repeat() -> None:
    schema = {
        "type": "object",
        "description": "long",
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "x-mcp-header": "A", "description": "long"},
            "b": {"type": "string"},
            "c": {"type": "object", "properties": {"d": {"type": "integer", "x-mcp-header": "D"}, "e": {}}},
        },
    }
    assert annotations(schema) == {("a",): Repeated("A", "string"), ("c", "d"): Repeated("D", "integer")}


@pytest.mark.parametrize(
    "schema",
    [
        None,
        7,
        {},
        A,
        {"properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": ["string"], "x-mcp-header": "A"}}},
        {"properties": {"a": {"x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "not a token"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 7}}},
        {"properties": {"a": A, "b": {"type": "boolean", "x-mcp-header": "a"}}},
        {"properties": {"b": A}, "items": {"properties": {"a": A}}},
        {"properties": {"b": A}, "anyOf": [{"properties": {"a": A}}]},
        {"properties": {"b": A}, "$defs": {"c": {"properties": {"a": A}}}},
    ],
)
def test_a_schema_without_a_valid_annotation_leaves_nothing(schema: object) -> None:
    assert annotations(schema) == {}


def test_an_example_of_a_schema_is_no_schema() -> None:
    assert annotations({"properties": {"a": {**A, "default": A, "enum": [A]}}, "examples": [A]}) == OF_A_STRING


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (None, None),
        ("plain", "plain"),
        ("=?base64?w6k=?=", "é"),
        ("=?base64??=", ""),
        ("=?base64?w6l=?=", None),
        ("=?base64?w6k?=", None),
        ("=?base64?é?=", None),
        ("=?base64?/w==?=", None),
        ("=?BASE64?w6k=?=", "=?BASE64?w6k=?="),
    ],
)
def test_a_value_may_be_encoded_in_one_way(value: str | None, meant: str | None) -> None:
    assert decoded(value) == meant


@pytest.mark.parametrize(
    ("value", "header"),
    [("x", "x"), ("é", "=?base64?w6k=?="), ("", ""), (True, "true"), (7, "7"), (1.5, "1.5"), ("7.0", "7.0")],
)
def test_a_header_that_repeats_its_argument_agrees(value: object, header: str) -> None:
    assert disagreement(OF_A_STRING, {"a": value}, [("MCP-Param-a", header), ("other", "b")]) is None


@pytest.mark.parametrize("header", ["42", "42.0", "042", "=?base64?NDI=?="])
@pytest.mark.parametrize("value", [42, 42.0])
def test_whole_numbers_are_compared_as_numbers(value: float, header: str) -> None:
    assert disagreement(OF_A_NUMBER, {"a": {"b": value}}, [("mcp-param-a", header)]) is None


@pytest.mark.parametrize("arguments", [None, [], {}, {"a": None}, {"a": {"b": 1}}, {"a": 10**5000}])
def test_an_argument_that_cannot_be_repeated_must_not_be(arguments: object) -> None:
    assert disagreement(OF_A_STRING, arguments, []) is None
    assert disagreement(OF_A_STRING, arguments, [("mcp-param-a", "1")]) is not None


@pytest.mark.parametrize(
    ("known", "arguments", "headers", "words"),
    [
        (OF_A_STRING, {"a": "x"}, [], "the header Mcp-Param-A is missing, and should repeat the argument 'a'"),
        (OF_A_STRING, {"a": "x"}, ["y"], "the header Mcp-Param-A does not repeat the argument 'a'"),
        (OF_A_STRING, {"a": "x"}, ["x", "x"], "was sent more than once"),
        (OF_A_STRING, {}, ["x"], "was sent, and does not repeat"),
        (OF_A_STRING, {"a": "x"}, ["=?base64?x?="], "does not repeat"),
        (OF_A_STRING, {"a": 42}, ["42.0"], "does not repeat"),
        (OF_A_NUMBER, {"a": {"b": 42}}, ["42.5"], "does not repeat the argument 'a.b'"),
        (OF_A_NUMBER, {"a": {"b": True}}, ["1"], "does not repeat"),
        (OF_A_NUMBER, {"a": {"b": 42}}, ["4" * 5000], "does not repeat"),
    ],
)
def test_what_does_not_agree_is_named(known: Any, arguments: object, headers: list[str], words: str) -> None:
    said = disagreement(known, arguments, [("Mcp-Param-A", value) for value in headers])
    assert said is not None
    assert words in said
