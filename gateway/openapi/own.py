"""The gateway's own paths of REST, as a document says them: one table. No I/O.

A route that is added to the gateway gets a row here; its tests walk the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.openapi.schemas import PREFIX
from gateway.openapi.statuses import ALWAYS

SESSION_ID: Final = {"$ref": "#/components/parameters/sessionId"}
"""The parameter that says whose processes a call is for."""

PARAMETERS: Final[dict[str, Any]] = {
    "sessionId": {
        "name": "sessionId",
        "in": "query",
        "required": True,
        "description": "An id from `GET /api/sessionid`: each has processes of its own, which nobody else uses.",
        "schema": {"type": "string"},
    },
}
"""Components that operations share."""

SCHEMAS: Final[dict[str, Any]] = {
    "SessionId": {
        "type": "object",
        "required": ["sessionId"],
        "properties": {"sessionId": {"type": "string"}},
    },
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "enum": ["ok", "degraded"]}, "version": {"type": "string"}},
        "description": "With credentials there is more.",
    },
    "Certificate": {
        "type": "object",
        "required": ["id", "server", "reason"],
        "properties": {
            "id": {"type": "string"},
            "server": {"type": "string"},
            "reason": {"type": "string"},
            "limit": {"type": ["string", "null"]},
            "livedSeconds": {"type": "number"},
            "stderr": {"type": "array", "items": {"type": "string"}},
            "exitCode": {"type": "integer"},
            "signal": {"type": "integer"},
        },
        "description": "What ended a child.",
    },
}
"""Schemas that the rows below name."""


@dataclass(frozen=True)
class Own:
    """One operation; `answers` has for each status of success what it means, and the schema of the body, if any."""

    method: str
    path: str
    id: str
    summary: str
    answers: dict[int, tuple[str, str | None]]
    statuses: Iterable[int] = ALWAYS
    parameters: list[dict[str, Any]] = field(default_factory=list)
    body: str | None = None
    is_public: bool = False
    """Whether it answers without credentials, too."""
    is_for_calls: bool = False
    """Whether it stands in the document of one server, too."""


_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}

OWN: Final = (
    Own(
        "get",
        "/api/sessionid",
        "getSession",
        "A new session id.",
        {200: ("The id.", "SessionId")},
        is_for_calls=True,
    ),
    Own(
        "delete",
        "/api/sessionid",
        "endSession",
        "End all processes of a session id.",
        {204: ("They are being ended.", None)},
        ALWAYS | {404},
        [SESSION_ID],
        is_for_calls=True,
    ),
    Own(
        "get",
        "/health",
        "getHealth",
        "Whether all is well.",
        {200: ("The gateway serves.", "Health"), 503: ("The supervisor does not answer.", "Health")},
        ALWAYS - {401, 429, 503},
        is_public=True,
    ),
    Own(
        "get",
        "/api/certificates/{id}",
        "getCertificate",
        "What ended a child that an error names.",
        {200: ("The certificate.", "Certificate")},
        ALWAYS | {404},
        [_ID],
        is_for_calls=True,
    ),
)
"""The rows."""


def operation(own: Own) -> dict[str, Any]:
    """The success part of an operation, and its names; errors and security are added by whoever knows them."""
    responses: dict[str, dict[str, Any]] = {}
    for status, (meaning, schema) in own.answers.items():
        responses[str(status)] = {"description": meaning}
        if schema is not None:
            responses[str(status)]["content"] = {"application/json": {"schema": {"$ref": PREFIX + schema}}}
    found: dict[str, Any] = {"operationId": own.id, "summary": own.summary, "tags": ["gateway"]}
    if own.parameters:
        found["parameters"] = own.parameters
    if own.body is not None:
        content = {"application/json": {"schema": {"$ref": PREFIX + own.body}}}
        found["requestBody"] = {"required": True, "content": content}
    return {**found, "responses": responses}
