"""What a tool answers with (specification: server, Tools; schema, CallToolResult). No I/O."""

from typing import Any, Final

CONTENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "description": "`text`, `image`, `audio`, `resource_link` or `resource`."},
        "text": {"type": "string"},
        "data": {"type": "string", "description": "The bytes of an image or of audio, in base64."},
        "mimeType": {"type": "string"},
        "uri": {"type": "string"},
        "name": {"type": "string"},
        "resource": {"type": "object", "additionalProperties": True},
    },
    "additionalProperties": True,
}
"""One block of what a tool says."""

RESULT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["content"],
    "properties": {
        "content": {"type": "array", "items": {"$ref": "#/components/schemas/ContentBlock"}},
        "structuredContent": {"type": "object", "additionalProperties": True},
        "isError": {"type": "boolean", "description": "Whether the tool failed; `content` says how."},
    },
    "additionalProperties": True,
}
"""The result of any tool."""


def result_with(output: str) -> dict[str, Any]:
    """The result of a tool whose output schema is at the reference `output`."""
    return {**RESULT, "properties": {**RESULT["properties"], "structuredContent": {"$ref": output}}}
