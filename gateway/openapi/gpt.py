"""The document that a custom GPT of ChatGPT takes as its actions: OpenAPI 3.1, short, and of the calls alone. No I/O.

It is read by a model and by a form: what is said of an operation or a parameter has a greatest length, answers and ways
to prove who asks are not looked at (the form has its own fields for the latter), and `x-openai-isConsequential` says
whether its user may allow an operation once for all.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.catalog.offers import Tool
from gateway.openapi.defaults import drop_unfit
from gateway.openapi.names import Names, segment
from gateway.openapi.schemas import PREFIX, Schema, components_of
from gateway.openapi.servers import Described, Frame
from gateway.rawjson import members

MOST_OPERATIONS: Final = 30
"""Operations that the form takes; those that get and end a session are two of them."""

LONGEST_OF_OPERATION: Final = 300
LONGEST_OF_PARAMETER: Final = 700
"""Characters of `summary` and `description`."""

GET_SESSION: Final = "getSession"
END_SESSION: Final = "endSession"
_PATH: Final = "/api/sessionid"
_OF_SESSIONS: Final = 2
_ADDRESS: Final = re.compile(r"https://[^/:]+(?::443)?(?:/.*)?")
_MARK: Final = "…"
_SESSION_ID: Final = {
    "name": "sessionId",
    "in": "query",
    "required": True,
    "description": f"The id that {GET_SESSION} gave. Call it once, and use the same id for all that follows.",
    "schema": {"type": "string"},
}
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})


def gpt(servers: Sequence[Described], frame: Frame) -> dict[str, Any]:
    """The document. Ask `hindrance` first."""
    paths: dict[str, Any] = {_PATH: {"get": _get_session(), "delete": _end_session()}}
    schemas: dict[str, Schema] = {}
    taken = Names()
    for server, id_, tool in frame.tools(_usable(servers)):
        arguments = taken.take(f"{id_}.input", tool.name)
        schemas |= components_of(bytes(tool.input_schema), arguments, taken)
        is_needed = "required" in schemas[arguments]
        path = f"/api/{segment(server.name)}/{segment(tool.name)}"
        paths[path] = {"post": _call(id_, tool, arguments, is_needed=is_needed)}
    for schema in schemas.values():
        schema.pop("title", None)
        drop_unfit(schema)
        _fit(schema)
    return {
        "openapi": "3.1.0",
        "info": frame.info(servers),
        "servers": frame.addresses,
        "paths": paths,
        "components": {"schemas": schemas},
    }


def hindrance(servers: Sequence[Described], frame: Frame) -> str:
    """What keeps ChatGPT from taking the document, and what to do about it; empty where nothing does."""
    if not _ADDRESS.fullmatch(frame.url):
        return (
            "a custom GPT calls nothing but https on port 443: set 'public_url' in the configuration to the address that "
            "this gateway has on the internet"
        )
    found = sum(1 for _ in frame.tools(_usable(servers))) + _OF_SESSIONS
    if found > MOST_OPERATIONS:
        return (
            f"the document has {found} operations, and a custom GPT takes {MOST_OPERATIONS}: take that of one server, or "
            "name the tools that are wanted ('?tool=', '--tool')"
        )
    return ""


def shortened(text: str, longest: int) -> str:
    """`text`, of `longest` characters at most; where it is cut, it is behind a word, and says so."""
    if len(text) <= longest:
        return text
    room = longest - len(_MARK)
    words = text[: room + 1].rsplit(maxsplit=1)
    kept = words[0] if len(words) > 1 and not text[room].isspace() else text[:room].rstrip()
    return kept + _MARK


def is_consequential(tool: Tool) -> bool:
    """Whether its user is asked each time: unless the tool says that it changes nothing, and does not gainsay that.

    One that destroys nothing may send a letter all the same.
    """
    said = members(tool.annotations)
    return bytes(said.get("readOnlyHint", b"")) != b"true" or bytes(said.get("destructiveHint", b"")) == b"true"


def _usable(servers: Iterable[Described]) -> list[Described]:
    """Those that are given nothing of each user's own by a header, for a GPT sends none."""
    return [each for each in servers if not each.headers]


def _get_session() -> dict[str, Any]:
    text = "Get a new session id. Each has processes of its own, with state that the calls with this id share."
    answer = {"200": {"description": "The id, as `sessionId`."}}
    return {"operationId": GET_SESSION, "summary": text, "x-openai-isConsequential": False, "responses": answer}


def _end_session() -> dict[str, Any]:
    return {
        "operationId": END_SESSION,
        "summary": "End the processes of a session id, when it is not needed any more.",
        "x-openai-isConsequential": False,
        "parameters": [_SESSION_ID],
        "responses": {"204": {"description": "They are being ended."}},
    }


def _call(id_: str, tool: Tool, arguments: str, *, is_needed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": id_,
        "summary": shortened(tool.title or tool.name, LONGEST_OF_OPERATION),
        **({"description": shortened(tool.description, LONGEST_OF_OPERATION)} if tool.description else {}),
        "x-openai-isConsequential": is_consequential(tool),
        "parameters": [_SESSION_ID],
        "responses": {"200": {"description": "The tool's result; `isError` says whether the tool failed."}},
    }
    content = {"application/json": {"schema": {"$ref": PREFIX + arguments}}}
    return {**found, "requestBody": {"required": is_needed, "content": content}}


def _fit(schema: object) -> None:
    """Shorten what `schema` says of parameters, and give each object `properties`, without which the form takes none."""
    if isinstance(schema, list):
        for each in schema:
            _fit(each)
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        if keyword in _MAPS:
            _fit(list(value.values()))
        elif keyword == "description":
            schema[keyword] = shortened(value, LONGEST_OF_PARAMETER)
        elif keyword not in _VALUES:
            _fit(value)
    if schema.get("type") == "object":
        schema.setdefault("properties", {})
