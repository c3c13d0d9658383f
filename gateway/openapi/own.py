"""The gateway's own paths of REST, as a document says them: one table. No I/O.

A route that is added to the gateway gets a row here; a test compares the rows with the routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.openapi import statuses
from gateway.openapi.parameters import OF_CALL_BY_NAME, named
from gateway.openapi.schemas import PREFIX
from gateway.openapi.security import Schemes, alternatives
from gateway.openapi.statuses import ALWAYS, CALL

HANDLE_OR_ID: Final = ALWAYS | {404}
OF_CHILD: Final = ALWAYS | {404, 502, 504}
"""What whoever asks something of a child may be answered with."""
READING: Final = OF_CHILD | {409}


@dataclass(frozen=True)
class Own:
    """One operation; `answers` has for each status of success what it means, and the schema of the body, if any."""

    method: str
    path: str
    id: str
    summary: str
    answers: Mapping[int, tuple[str, str | None]]
    statuses: frozenset[int] = ALWAYS
    parameters: tuple[str, ...] = ()
    body: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    can_be_bytes: bool = False
    can_be_events: bool = False
    asks: bool = False
    """Whether a child's question may be the answer."""
    is_public: bool = False
    """Whether it answers without credentials, too."""
    is_for_calls: bool = False
    """Whether it stands in the document of one server, too."""


_V1: Final = "/api/v1"
_ONE: Final = f"{_V1}/servers/{{server}}"
_ASKED: Final = ("anySessionId", "questions")
_HEALTH: Final = ALWAYS - {401, 429, 503}
_IS_WELL: Final = {200: ("The gateway serves.", "Health"), 503: ("The supervisor does not answer.", "Health")}
_DONE: Final = {204: ("They are being ended.", None)}

GET_SESSION: Final = Own(
    "get",
    "/api/sessionid",
    "getSession",
    "A new session id.",
    {200: ("The id.", "SessionId")},
    is_for_calls=True,
)

_BASE: Final = (
    GET_SESSION,
    Own(
        "delete",
        "/api/sessionid",
        "endSession",
        "End all processes of a session id.",
        _DONE,
        HANDLE_OR_ID,
        ("sessionId",),
        is_for_calls=True,
    ),
    Own("get", "/health", "getHealth", "Whether all is well.", _IS_WELL, _HEALTH, is_public=True),
    Own(
        "get",
        "/api/certificates/{id}",
        "getCertificate",
        "What ended a child that an error names.",
        {200: ("The certificate.", "Certificate")},
        HANDLE_OR_ID,
        ("id",),
        is_for_calls=True,
    ),
)

_UNIFIED: Final = (
    Own("get", f"{_V1}/health", "getHealthV1", "The same as `/health`.", _IS_WELL, _HEALTH, is_public=True),
    Own(
        "get",
        f"{_V1}/servers",
        "listServers",
        "The servers, and how they are.",
        {200: ("The servers.", "Servers")},
        parameters=("refresh",),
    ),
    Own(
        "get",
        _ONE,
        "getServer",
        "A server, and its tools.",
        {200: ("The server.", "WholeServer")},
        ALWAYS | {404},
        ("server", "refresh"),
    ),
    Own(
        "get",
        f"{_V1}/tools",
        "listTools",
        "The tools of all servers, in pages.",
        {200: ("A page of them.", "Tools")},
        ALWAYS | {404},
        ("ofServers", "ofTags", "search", "limit", "cursor", "refresh"),
    ),
    Own(
        "post",
        f"{_V1}/tools/call",
        "callTool",
        "Call a tool by its name.",
        {200: ("The tool's result, as MCP gives it.", "CallToolResult")},
        CALL,
        ("anySessionId", "timeout", "questions", "content", "raw", "key"),
        body="CallByName",
        headers=OF_CALL_BY_NAME,
        can_be_bytes=True,
        can_be_events=True,
        asks=True,
    ),
    Own(
        "get",
        f"{_V1}/sessions",
        "listSessions",
        "The caller's own sessions, the oldest first.",
        {200: ("A page of them.", "Sessions")},
        parameters=("ofSessions", "limit", "cursor"),
    ),
    Own(
        "get",
        f"{_V1}/sessions/{{handle}}",
        "getListedSession",
        "One of them.",
        {200: ("The session.", "Session")},
        HANDLE_OR_ID,
        ("handle",),
    ),
    Own(
        "delete",
        f"{_V1}/sessions/{{handle}}",
        "endListedSession",
        "End one of them, and its processes.",
        _DONE,
        HANDLE_OR_ID,
        ("handle",),
    ),
)

_QUESTIONS: Final = (
    Own(
        "get",
        f"{_V1}/questions",
        "listQuestions",
        "What servers ask before they answer calls of the caller's.",
        {200: ("The open questions.", "OpenQuestions")},
        HANDLE_OR_ID,
        ("anySessionId",),
        is_for_calls=True,
    ),
    Own(
        "get",
        f"{_V1}/questions/{{id}}",
        "getQuestion",
        "An open question.",
        {200: ("The question.", "OpenQuestion")},
        HANDLE_OR_ID,
        ("id", "anySessionId"),
        is_for_calls=True,
    ),
    Own(
        "post",
        f"{_V1}/questions/{{id}}",
        "answerQuestion",
        "Answer a question. What comes then is the answer to the call.",
        {
            200: ("What the call is answered with, as MCP gives it.", "CallToolResult"),
            202: ("The call's answer comes on its event stream.", None),
        },
        CALL,
        ("id", "anySessionId", "content", "raw"),
        body="Answer",
        can_be_bytes=True,
        asks=True,
        is_for_calls=True,
    ),
)

_OFFERS: Final = (
    *(
        Own(
            "get",
            f"{_ONE}/{path}",
            f"list{schema}",
            f"The {words} of a server.",
            {200: (f"The {words}.", schema)},
            OF_CHILD,
            ("server", "anySessionId", "cursor"),
        )
        for path, schema, words in (
            ("resources", "Resources", "resources"),
            ("resource-templates", "ResourceTemplates", "resource templates"),
            ("prompts", "Prompts", "prompts"),
        )
    ),
    Own(
        "get",
        f"{_ONE}/resources/read",
        "readResource",
        "The contents of a resource.",
        {200: ("The contents.", "Contents")},
        READING | {406},
        ("server", "uri", *_ASKED, "content", "raw"),
        can_be_bytes=True,
        asks=True,
    ),
    Own(
        "get",
        f"{_ONE}/prompts/{{name}}",
        "getPrompt",
        "A prompt, with arguments from the query.",
        {200: ("The prompt.", "Prompt")},
        READING,
        ("server", "name", *_ASKED, "promptArguments"),
        asks=True,
    ),
    Own(
        "post",
        f"{_ONE}/prompts/{{name}}",
        "fillPrompt",
        "A prompt, with arguments from the body.",
        {200: ("The prompt.", "Prompt")},
        READING | {413, 415},
        ("server", "name", *_ASKED),
        body="PromptArguments",
        asks=True,
    ),
)

OWN: Final = (*_BASE, *_UNIFIED, *_QUESTIONS, *_OFFERS)
"""The rows."""


def operation(own: Own, security: Schemes) -> dict[str, Any]:
    """The operation, where callers prove who they are by `security`."""
    found: dict[str, Any] = {"operationId": own.id, "summary": own.summary, "tags": ["gateway"]}
    if own.parameters:
        found["parameters"] = named(*own.parameters)
    if own.body is not None:
        content = {"application/json": {"schema": {"$ref": PREFIX + own.body}}}
        found["requestBody"] = {"required": True, "content": content}
    if own.is_public and security:
        found["security"] = [{}, *alternatives(security)]
    errors = statuses.responses(own.statuses, has_auth=bool(security) and not own.is_public, asks=own.asks)
    return {**found, "responses": {**errors, **_successes(own)}}


def _successes(own: Own) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for status, (meaning, schema) in own.answers.items():
        found[str(status)] = {"description": meaning}
        if schema is not None:
            ref = PREFIX + schema
            found[str(status)]["content"] = statuses.content(
                ref, can_be_bytes=own.can_be_bytes, can_be_events=own.can_be_events
            )
            if own.headers:
                found[str(status)]["headers"] = own.headers
    return found
