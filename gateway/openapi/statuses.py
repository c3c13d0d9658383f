"""The statuses that answers of REST may have, besides those of success. No I/O.

One table: whatever is added to what a call may be answered with is added here, and stands in every document.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.openapi.parameters import RETRY

MEANING: Final[Mapping[int, str]] = {
    400: "The request is not what is expected here; `about` says what is.",
    401: "There are no credentials, or none that are good.",
    403: "Whoever asks may not, or the request comes from a page of another site.",
    404: "There is no such session, server or tool, or none that is the caller's.",
    405: "The method is not for this path.",
    406: "The answer is of none of the types that the client takes.",
    409: "The request and another one cannot both be served.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken here.",
    421: "The gateway asks for no credentials, and does not answer to this host name.",
    429: "Too much at once, or too often; `Retry-After` says when to try again, where that is known.",
    500: "The gateway failed; its log says how.",
    502: "The server could not be started, has ended, or answered with an error.",
    503: "The gateway is about to end, or cannot reach what it needs.",
    504: "The server took too long.",
}
"""What each of them means."""

ALWAYS: Final = frozenset({400, 401, 403, 421, 429, 500, 503})
"""What any request may be answered with: by the guards, the limits, or a gateway that fails or ends."""

CALL: Final = ALWAYS | {404, 406, 409, 413, 415, 502, 504}
"""What the call of a tool may be answered with."""

ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "about"],
            "properties": {
                "code": {"type": "string", "description": "A word for a program to act on, such as `tool_not_found`."},
                "message": {"type": "string", "description": "A sentence for a person."},
                "about": {"type": "object", "description": "What it is about.", "additionalProperties": True},
            },
        }
    },
}
"""The one shape of every error."""

_ERROR: Final = {"$ref": "#/components/schemas/Error"}


def name_of(status: int) -> str:
    """What the component is called."""
    return f"Status{status}"


QUESTION: Final = "Question"
"""The component for a 409 that may be a question."""


def components(statuses: Iterable[int]) -> dict[str, Any]:
    """The responses for them, and the one that may be a question."""
    found = {name_of(each): _response(MEANING[each], _ERROR) for each in sorted(set(statuses))}
    found[name_of(429)]["headers"] = RETRY
    either = {"anyOf": [{"$ref": "#/components/schemas/QuestionOpen"}, _ERROR]}
    meaning = f"The server asks something first, and the call waits for the answer; or: {MEANING[409]}"
    return {**found, QUESTION: _response(meaning, either)}


def responses(statuses: Iterable[int], *, has_auth: bool, asks: bool = False) -> dict[str, Any]:
    """What an operation says of `statuses`: nobody is asked for credentials where there are none."""
    never = 421 if has_auth else 401
    names = {each: name_of(each) for each in sorted(set(statuses) - {never})}
    if asks:
        names[409] = QUESTION
    return {str(each): {"$ref": f"#/components/responses/{name}"} for each, name in names.items()}


def content(ref: str, *, can_be_bytes: bool = False, can_be_events: bool = False) -> dict[str, Any]:
    """The body of a success: JSON, unless the client's `Accept` says otherwise and there is anything else."""
    found: dict[str, Any] = {"application/json": {"schema": {"$ref": ref}}}
    if can_be_events:
        found["text/event-stream"] = {"schema": {"type": "string"}}
    if can_be_bytes:
        found["*/*"] = {"schema": {"type": "string", "format": "binary"}}
    return found


def _response(meaning: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}
