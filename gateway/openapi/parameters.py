"""The parameters and headers that operations share, as components of a document. No I/O.

All that stands in them is the same in OpenAPI 3.0 and 3.1. None has an example: pages on which an API is tried would send
it, and each call with the same key is the same call.
"""

from typing import Any, Final

from gateway.rest.wishes import KEY, LONGEST_KEY, REPLAYED, TIMEOUT
from gateway.unified.paging import CURSOR, DEFAULT, LIMIT, MOST
from gateway.unified.parameters import LONGEST_SEARCH

Parameter = dict[str, Any]

_PREFIX: Final = "#/components/parameters/"
_DURATION: Final = r"^(?:[1-9][0-9]{0,8}|[0-9]{1,9}\.[0-9]{0,8}[1-9]|[1-9][0-9]{0,5}(?:ms|s|m|h|d))$"
_KEY: Final = rf'^(?:[!#-~]{{1,{LONGEST_KEY}}}|"[ !#-\[\]-~]{{1,{LONGEST_KEY}}}")$'


def _query(name: str, description: str, schema: Parameter, **more: Any) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


PARAMETERS: Final[dict[str, Parameter]] = {
    "sessionId": _query(
        "sessionId",
        "An id from `GET /api/sessionid`: each has processes of its own, which nobody else uses.",
        {"type": "string", "minLength": 1},
        required=True,
    ),
    "anySessionId": _query(
        "sessionId",
        "An id from `GET /api/sessionid`; without it, the caller's own session is meant.",
        {"type": "string", "minLength": 1},
    ),
    "timeout": _query(
        TIMEOUT,
        "How long the server may take for this call: seconds, or a duration such as `500ms` or `2m`.",
        {"type": "string", "pattern": _DURATION},
    ),
    "questions": _query(
        "questions",
        "What becomes of a question that the server asks before it answers: a 409 with it, or it is declined.",
        {"$ref": "#/components/schemas/WithQuestions"},
    ),
    "content": _query(
        "content",
        "The one of the contents, counted from 0, that is to be the answer, as bytes.",
        {"type": "integer", "minimum": 0, "maximum": 999_999},
    ),
    "raw": _query("raw", "Whether the answer is to be bytes in any case, and never JSON.", {"type": "boolean"}),
    "key": {
        "name": KEY,
        "in": "header",
        "description": "A call with the same key is made once: whoever sends it again gets the same answer again.",
        "schema": {"type": "string", "pattern": _KEY},
    },
    "limit": _query(
        LIMIT, "How many, at most.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}
    ),
    "cursor": _query(CURSOR, "The `nextCursor` of the page before.", {"type": "string"}),
    "refresh": _query(
        "refresh",
        "Whether the servers are to be asked anew; counts as the opening of a session with each.",
        {"type": "boolean", "default": False},
    ),
    "ofServers": _query("server", "Of these servers.", {"type": "array", "items": {"type": "string"}}),
    "ofTags": _query("tag", "Of servers with one of these tags.", {"type": "array", "items": {"type": "string"}}),
    "search": _query(
        "q", "Words that are all in its name, title or description.", {"type": "string", "maxLength": LONGEST_SEARCH}
    ),
    "ofSessions": _query("sessionId", "Those of these ids alone.", {"type": "array", "items": {"type": "string"}}),
    "uri": _query("uri", "The URI of the resource.", {"type": "string", "minLength": 1}, required=True),
    "promptArguments": _query(
        "arguments",
        "The arguments of the prompt, each a parameter of its own.",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="form",
        explode=True,
    ),
    **{
        name: {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("id", "server", "name", "handle")
    },
}
"""Components that operations share."""

HEADERS: Final[dict[str, Any]] = {
    "Replayed": {"description": f"`true`: a call with this `{KEY}` was made before, and this is its answer."},
    "Server": {"description": "The server on which the tool was called."},
    "NewSession": {"description": "`true`: the child is a new one, and what was left in the last one is lost."},
    "RetryAfter": {"description": "Seconds after which another try may be worth it, where that is known."},
}
"""Headers of answers; none of them is always there."""

for _header in HEADERS.values():
    _header["schema"] = {"type": "string"}

REPLAY: Final = {REPLAYED: {"$ref": "#/components/headers/Replayed"}}
OF_CALL_BY_NAME: Final = {
    **REPLAY,
    "Mcp-Server": {"$ref": "#/components/headers/Server"},
    "Mcp-Session-New": {"$ref": "#/components/headers/NewSession"},
}
RETRY: Final = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}


def named(*names: str) -> list[Parameter]:
    """References to the parameters of these names."""
    return [{"$ref": _PREFIX + name} for name in names]


OF_CALL: Final = named("sessionId", "timeout", "questions", "content", "raw", "key")
"""Those of the call of a tool."""
