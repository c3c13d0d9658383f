"""The statuses that answers of REST may have, besides those of success. No I/O.

One table: whatever is added to what a call may be answered with is added here, and stands in every document.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

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


def name_of(status: int) -> str:
    """What the component is called."""
    return f"Status{status}"


def components(statuses: Iterable[int]) -> dict[str, Any]:
    """The responses for them."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {name_of(each): {"description": MEANING[each], "content": content} for each in sorted(set(statuses))}


def responses(statuses: Iterable[int], *, has_auth: bool) -> dict[str, Any]:
    """What an operation says of `statuses`: nobody is asked for credentials where there are none."""
    never = 421 if has_auth else 401
    found = sorted(set(statuses) - {never})
    return {str(each): {"$ref": f"#/components/responses/{name_of(each)}"} for each in found}
