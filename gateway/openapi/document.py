"""The OpenAPI document of what one caller may use: 3.1, or what 3.0 has words for of it. No I/O."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, Literal

from gateway.catalog.offers import Tool
from gateway.openapi import bodies, own, statuses
from gateway.openapi.defaults import drop_unfit
from gateway.openapi.names import Names, segment
from gateway.openapi.older import as_3_0
from gateway.openapi.parameters import HEADERS, OF_CALL, PARAMETERS, REPLAY, named
from gateway.openapi.result import CONTENT, RESULT, result_with
from gateway.openapi.schemas import PREFIX, Schema, components_of
from gateway.openapi.security import alternatives
from gateway.openapi.servers import Described, Frame
from gateway.openapi.values import shown

Version = Literal["3.1", "3.0"]

MOST_LINKS: Final = 100
"""Operations to which a session's id is said to lead; clients that follow links try some of them, not all."""

_NUMBER: Final[Mapping[Version, str]] = {"3.1": "3.1.0", "3.0": "3.0.3"}


def document(servers: Sequence[Described], frame: Frame, version: Version = "3.1") -> dict[str, Any]:
    """The document, for JSON or YAML. Takes a while where there are many tools: about a millisecond for three of them."""
    schemas: dict[str, Schema] = {
        "Error": statuses.ERROR,
        "CallToolResult": RESULT,
        "ContentBlock": CONTENT,
        **bodies.SCHEMAS,
    }
    paths: dict[str, Any] = {}
    for row in own.OWN:
        if frame.is_whole or row.is_for_calls:
            paths.setdefault(row.path, {})[row.method] = own.operation(row, frame.security)
    taken = Names(schemas)
    for server, id_, tool in frame.tools(servers):
        added, operation = _call(server, id_, tool, taken, frame)
        schemas |= added
        paths[f"/api/{segment(server.name)}/{segment(tool.name)}"] = {"post": operation}
    _link(paths)
    if version == "3.0":
        schemas = {name: as_3_0(schema) for name, schema in schemas.items()}
    for schema in schemas.values():
        drop_unfit(schema)
    found: dict[str, Any] = {
        "openapi": _NUMBER[version],
        "info": frame.info(servers),
        "servers": frame.addresses,
        "tags": [_tag(server) for server in servers] + [_GATEWAY],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": statuses.components(statuses.MEANING),
        },
    }
    if frame.security:
        found["security"] = alternatives(frame.security)
        found["components"]["securitySchemes"] = frame.security
    return found


_GATEWAY: Final = {"name": "gateway", "description": "The gateway itself: sessions, health, what ended a child."}


def _link(paths: Mapping[str, Any]) -> None:
    """Say with the answer that has a session's id what it can be used for; no more than MOST_LINKS of it."""
    ids = named("sessionId", "anySessionId")
    every = [each for path in paths.values() for each in path.values()]
    users = [each for each in every if any(id_ in each.get("parameters", ()) for id_ in ids)]
    given = {"sessionId": "$response.body#/sessionId"}
    links = {each["operationId"]: {"operationId": each["operationId"], "parameters": given} for each in users}
    paths[own.GET_SESSION.path][own.GET_SESSION.method]["responses"]["200"]["links"] = dict(
        islice(links.items(), MOST_LINKS)
    )


def _tag(server: Described) -> dict[str, Any]:
    """A server, as readers of a document group its tools."""
    found: dict[str, Any] = {"name": _tag_name(server), "x-displayName": server.title}
    text = "\n\n".join(each for each in (server.title, server.instructions) if each)
    if server.failure:
        found["x-failing"] = server.failure
        text += f"\n\nThis server is failing: {server.failure}"
    if left_out := server.left_out():
        found["x-left-out"] = left_out
        text += "\n\nTools whose names no path can hold are not here."
    return {**found, "description": text}


def _tag_name(server: Described) -> str:
    return server.name if server.name != _GATEWAY["name"] else f"server {server.name}"


def _call(
    server: Described, id_: str, tool: Tool, taken: Names, frame: Frame
) -> tuple[dict[str, Schema], dict[str, Any]]:
    """The components of one tool, and its operation."""
    arguments, result = taken.take(f"{id_}.input", tool.name), "CallToolResult"
    schemas = components_of(bytes(tool.input_schema), arguments, taken)
    if bytes(tool.output_schema) not in (b"", b"null"):
        output, result = taken.take(f"{id_}.output", tool.name), taken.take(f"{id_}.result", tool.name)
        schemas |= components_of(bytes(tool.output_schema), output, taken)
        schemas[result] = result_with(PREFIX + output)
    for schema in schemas.values():
        schema.pop("title", None)  # generators name models by it, and those of two tools are often the same
    operation: dict[str, Any] = {
        "operationId": id_,
        "summary": shown(tool.title or tool.name),
        **({"description": shown(tool.description)} if tool.description else {}),
        "tags": [_tag_name(server)],
        "x-mcp-tool": tool.name,
        "parameters": [*OF_CALL, *(_header(name) for name in server.headers)],
        "requestBody": {
            "required": "required" in schemas[arguments],
            "content": {"application/json": {"schema": {"$ref": PREFIX + arguments}}},
        },
        "responses": {
            "200": {
                "description": "The tool's result, as MCP gives it; `isError` says whether the tool failed.",
                "content": statuses.content(PREFIX + result, can_be_bytes=True, can_be_events=True),
                "headers": REPLAY,
            },
            **statuses.responses(statuses.CALL, has_auth=bool(frame.security), asks=True),
        },
    }
    return schemas, operation


def _header(name: str) -> dict[str, Any]:
    text = "The caller's own, which the server is given."
    return {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
