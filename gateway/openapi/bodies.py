"""The schemas of what the gateway's own paths take and answer, as components of a document. No I/O.

They are of 3.1; `older` has what 3.0 has no words for. What a child supplies is told no closer than it is checked.
"""

from typing import Any, Final

from gateway.session import Door

Schema = dict[str, Any]

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_SECONDS: Final = {"type": "number", "minimum": 0}
_OBJECT: Final = {"type": "object", "additionalProperties": True}
_TEXTS: Final = {"type": "array", "items": _TEXT}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _many(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(required: Schema, optional: Schema | None = None, description: str = "") -> Schema:
    """An object with these properties, of which the `required` ones are always there."""
    found = {"type": "object", "properties": {**required, **(optional or {})}}
    found |= {"required": list(required)} if required else {}
    return {**found, "description": description} if description else found


def _listed(key: str) -> Schema:
    """What a child lists, page by page."""
    return _object({key: {"type": "array", "items": _OBJECT}}, {"nextCursor": _TEXT})


_WHY: Final = {"code": _TEXT, "message": _TEXT}
_SERVER: Final = {
    "id": _TEXT,
    "name": _TEXT,
    "tags": _TEXTS,
    "state": {"type": "string", "enum": ["ready", "failing", "unknown", "disabled"]},
    "failing": {"anyOf": [_ref("Failure"), {"type": "null"}]},
    "running": _COUNT,
    "warm": _COUNT,
    "toolCount": _or_null(_COUNT),
    "resourceCount": _or_null(_COUNT),
    "resourceTemplateCount": _or_null(_COUNT),
    "promptCount": _or_null(_COUNT),
    "serverInfo": _or_null(_OBJECT),
    "protocolVersion": _or_null(_TEXT),
    "asked": {"type": ["string", "null"], "format": "date-time"},
}
_STATES: Final = ["ready", "starting", "unused"]
_QUESTION: Final = {"question": _ref("AskedQuestion"), "answer": _ref("WhereToAnswer")}

SCHEMAS: Final[dict[str, Schema]] = {
    "SessionId": _object({"sessionId": _TEXT}),
    "Health": _object(
        {"status": {"type": "string", "enum": ["ok", "degraded"]}},
        {"version": _TEXT},
        "With credentials there is more.",
    ),
    "Certificate": _object(
        {"id": _TEXT, "server": _TEXT, "reason": _TEXT},
        {
            "limit": _or_null(_TEXT),
            "livedSeconds": {"type": "number"},
            "stderr": _TEXTS,
            "exitCode": {"type": "integer"},
            "signal": {"type": "integer"},
        },
        "What ended a child.",
    ),
    "WithQuestions": {"type": "string", "enum": ["ask", "decline"], "default": "ask"},
    "Failure": _object(_WHY, description="Why something is no better than it is."),
    "Server": _object(_SERVER, description="A server of the configuration; null is what is not known."),
    "WholeServer": _object(
        {
            **_SERVER,
            "instructions": _or_null(_TEXT),
            "capabilities": _or_null(_OBJECT),
            "startSeconds": _or_null(_SECONDS),
            "tools": _many("ListedTool"),
        },
    ),
    "ListedTool": _object(
        {
            "server": _TEXT,
            "serverId": _TEXT,
            "serverName": _TEXT,
            "tags": _TEXTS,
            "name": _TEXT,
            "inputSchema": _OBJECT,
        },
        {"title": _TEXT, "description": _TEXT, "outputSchema": _OBJECT, "annotations": _OBJECT},
        "A tool, as its server describes it, and where it is.",
    ),
    "Servers": _object({"servers": _many("Server"), "total": _COUNT}),
    "Tools": _object(
        {
            "tools": _many("ListedTool"),
            "total": _COUNT,
            "nextCursor": _or_null(_TEXT),
            "failing": {"type": "array", "items": _object({"server": _TEXT, **_WHY})},
        }
    ),
    "CallByName": {
        **_object(
            {"tool": {"type": "string", "minLength": 1}},
            {
                "arguments": _or_null(_OBJECT),
                "server": {"type": ["string", "null"], "minLength": 1},
                "sessionId": {"type": ["string", "null"], "minLength": 1},
            },
            "A call: of the tool of this name, on this server or where it is found, in this session or the caller's own.",
        ),
        "additionalProperties": False,
    },
    "Calls": _object({"inFlight": _COUNT, "total": _COUNT}),
    "SessionOfServer": _object(
        {
            "server": _TEXT,
            "state": {"type": "string", "enum": [*_STATES, "ended"]},
            "pid": {"type": ["integer", "null"]},
            "ageSeconds": _or_null(_SECONDS),
            "idleSeconds": _or_null(_SECONDS),
            "calls": _ref("Calls"),
            "reason": _or_null(_TEXT),
            "certificate": _or_null(_TEXT),
        }
    ),
    "Session": _object(
        {
            "handle": _TEXT,
            "door": {"type": "string", "enum": [each.value for each in Door]},
            "own": {"type": "boolean"},
            "state": {"type": "string", "enum": _STATES},
            "ageSeconds": _SECONDS,
            "idleSeconds": _SECONDS,
            "calls": _ref("Calls"),
            "servers": _many("SessionOfServer"),
        },
        description="A session of the caller's. Its id is never shown; the handle serves to look at it, and to end it.",
    ),
    "Sessions": _object(
        {"sessions": _many("Session"), "total": _COUNT, "nextCursor": _or_null(_TEXT), "unlisted": _COUNT}
    ),
    "AskedQuestion": _object({"id": _TEXT, "method": _TEXT, "params": _OBJECT}),
    "WhereToAnswer": _object({"method": {"type": "string", "enum": ["POST"]}, "path": _TEXT}),
    "OpenQuestion": _object(_QUESTION, description="What a server asks before it answers a call, and where to answer."),
    "OpenQuestions": _object({"questions": _many("OpenQuestion")}),
    "QuestionOpen": _object(
        {
            "error": _object(
                {
                    "code": {"type": "string", "enum": ["question_open"]},
                    "message": _TEXT,
                    "about": _object({**_QUESTION, "open": {"type": "integer", "minimum": 1}}),
                }
            )
        },
        description="The call waits for the answer to a question.",
    ),
    "Answer": _object(
        {},
        {
            "action": {"type": "string", "enum": ["accept", "decline", "cancel"]},
            "content": {
                "anyOf": [_OBJECT, {"type": "array", "items": _OBJECT}],
                "description": "Fits `requestedSchema`, or is what a model said.",
            },
            "role": _TEXT,
            "model": _TEXT,
            "error": {"type": "object", "additionalProperties": True},
        },
        "Of a form, or an address to open: `action`, and `content`. Of a model's words: `role`, `content`, `model`. "
        "`error` refuses either.",
    ),
    "Resources": _listed("resources"),
    "ResourceTemplates": _listed("resourceTemplates"),
    "Prompts": _listed("prompts"),
    "Contents": _OBJECT | {"description": "What the resource holds, as MCP gives it: `contents`."},
    "PromptArguments": {"type": "object", "additionalProperties": _TEXT},
    "Prompt": _OBJECT | {"description": "The prompt, as MCP gives it: `description` and `messages`."},
}
"""Schemas that the rows of `own` and `unified` name."""
