"""What is kept of a tool's schema; the rest is seen through a real gateway (`tests/e2e/test_stateless.py`)."""

import msgspec
import pytest

from gateway.modern.toolheaders import annotations


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
    assert annotations(schema) == {
        "properties": {
            "a": {"type": "string", "x-mcp-header": "A"},
            "c": {"properties": {"d": {"type": "integer", "x-mcp-header": "D"}}},
        }
    }


@pytest.mark.parametrize(
    "schema",
    [
        None,
        7,
        {},
        {"properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "not a token"}}},
        {"items": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}},
    ],
)
def test_a_schema_without_a_valid_annotation_leaves_nothing(schema: object) -> None:
    assert annotations(schema) == {}
    assert msgspec.json.encode(annotations(schema)) == b"{}"
