"""The document that LibreChat's Actions take: OpenAPI 3.0, flat, with nothing to be looked up. No I/O.

Its converter makes a tool of each operation: `operationId` as it is becomes the larger part of the tool's name, `summary`
its description, and the parameters and the properties of the body, all in one space of names, its arguments.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.catalog.offers import Tool
from gateway.openapi.defaults import drop_unfit
from gateway.openapi.flat import Flattening
from gateway.openapi.names import Names, digest, segment
from gateway.openapi.older import as_3_0
from gateway.openapi.schemas import Schema, components_of
from gateway.openapi.servers import Described, Frame
from gateway.openapi.values import shown

BASE: Final = "/api/actions"
"""Where the calls go: the same as to `/api`, but that every answer is a 200."""

LARGEST: Final = 1_000_000
"""Bytes: LibreChat takes three million of the document and all that it makes of it."""

SESSION_PARAMETERS: Final = ("sessionId", "gatewaySessionId", "mcpGatewaySessionId")
"""What the parameter is called: the first that is no argument of the tool."""

GET_SESSION: Final = "getSession"
_LONGEST_ID: Final = 46
_DIGEST: Final = 6
_FOR_SHARED: Final = f"The id that {GET_SESSION} gave. Call it once, and use the same id for all that follows."
_FOR_A_PERSON: Final = f"Leave it out to use your own session, or give an id that {GET_SESSION} gave."


def actions(servers: Sequence[Described], frame: Frame, *, is_person: bool) -> dict[str, Any]:
    """The document. `is_person` says whether whoever asks stands for one person, who then needs no session id."""
    paths: dict[str, Any] = {f"{BASE}/sessionid": {"get": _get_session()}}
    taken = Names([GET_SESSION])
    for server, id_, tool in frame.tools(servers):
        operation = _call(taken.take(short(id_), id_), tool, is_person=is_person)
        if operation is not None:
            paths[f"{BASE}/{segment(server.name)}/{segment(tool.name)}"] = {"post": operation}
    return {"openapi": "3.0.3", "info": frame.info(servers), "servers": frame.addresses, "paths": paths}


def short(id_: str) -> str:
    """`id_`, no longer than it may be, and without what LibreChat takes for its own; never two of them the same."""
    plain = _plain(id_)
    if plain == id_ and len(id_) <= _LONGEST_ID:
        return id_
    room = _LONGEST_ID - _DIGEST - 1
    return f"{plain[:room].rstrip('_-')}-{digest(id_, _DIGEST)}"


def _plain(text: str) -> str:
    """Underscores give way around the words that part a tool's name from its server's."""
    text = re.sub(r"-{3,}", "--", text)
    return re.sub(r"_(?=(?:action|mcp)_)", "-", text)


def _get_session() -> dict[str, Any]:
    text = "Get a new session id. Each has processes of its own, with state that the calls with this id share."
    return {"operationId": GET_SESSION, "summary": text, "responses": {"200": _ANSWER}}


_ANSWER: Final = {"description": "The answer, or `error` with a message that says what to do."}


def _call(id_: str, tool: Tool, *, is_person: bool) -> dict[str, Any] | None:
    """The operation; None for a tool that has each of SESSION_PARAMETERS as arguments of its own."""
    body = _arguments(tool)
    parameter = next((each for each in SESSION_PARAMETERS if each not in body.get("properties", {})), None)
    if parameter is None:
        return None
    operation: dict[str, Any] = {
        "operationId": id_,
        "summary": shown(tool.description or tool.title or tool.name),
        "parameters": [
            {
                "name": parameter,
                "in": "query",
                "required": not is_person,
                "description": _FOR_A_PERSON if is_person else _FOR_SHARED,
                "schema": {"type": "string", "description": _FOR_A_PERSON if is_person else _FOR_SHARED},
            }
        ],
        "responses": {"200": _ANSWER},
    }
    if body.get("properties"):
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _arguments(tool: Tool) -> Schema:
    components: Mapping[str, Schema] = components_of(bytes(tool.input_schema), "input", Names(["input"]))
    try:
        body = as_3_0(Flattening(components).flat({"$ref": "#/components/schemas/input"}))
    except RecursionError:  # of references to references, one behind the other
        return {"type": "object"}
    drop_unfit(body)
    return body
