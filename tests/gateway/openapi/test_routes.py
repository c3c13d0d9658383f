"""What the document says of the gateway's own routes, and what routes there are."""

import re
from collections.abc import Iterator

from werkzeug.routing import Rule

from common.config.auth import Auth
from common.config.model import Debug, GatewaySettings
from gateway.app import wire
from gateway.openapi.own import OWN
from tests.gateway.test_succession import next_gateway
from tests.support.openapi import check, made, operations, server, tool

IN_NO_DOCUMENT = {
    "front": "speaks MCP",
    "streamable": "speaks MCP",
    "sse": "speaks MCP",
    "websocket": "speaks MCP",
    "actions": "has a document of its own",
    "openapi": "is where the documents are",
    "page": "is for people",
    "metadata": "is for clients of OAuth, which know it by RFC 9728",
}
"""Doors, and why no document tells of them."""

CALL = "POST /api/{server}/{tool}"
"""Each tool has a path of its own."""


async def rules() -> list[Rule]:
    """All that the application has."""
    async with next_gateway() as here:
        settings = GatewaySettings(
            hostname="", port=0, node="gw", allowed_hosts=(), auth=Auth(), debug=Debug(), servers=here.sessions.policies
        )
        return list(wire(settings, here.sessions, here.client).url_map.iter_rules())


def told(rule: Rule) -> Iterator[str]:
    """The operations of a rule, as a document says them."""
    path = re.sub(r"<(?:\w+:)?(\w+?)_?>", r"{\1}", rule.rule)
    for method in (rule.methods or set()) - {"HEAD"}:
        yield f"{method} {path}"


async def test_every_route_is_in_the_document_or_there_is_a_reason() -> None:
    every = {each for rule in await rules() for each in told(rule) if door(rule) not in IN_NO_DOCUMENT}
    assert every == {CALL, *(f"{row.method.upper()} {row.path}" for row in OWN)}
    assert {door(rule) for rule in await rules()} >= IN_NO_DOCUMENT.keys()


def door(rule: Rule) -> str:
    """The blueprint that it is of."""
    return str(rule.endpoint).partition(".")[0]


def test_each_row_names_components_that_there_are() -> None:
    for version in ("3.1", "3.0"):
        found = made(server("s", tool("t")), version=version)
        check(found)  # which follows each reference
        ids = [operation["operationId"] for _, operation in operations(found)]
        assert {row.id for row in OWN} < set(ids)
        assert len(set(ids)) == len(ids)


def test_the_answer_with_a_sessions_id_says_what_it_is_for() -> None:
    found = made(server("s", *(tool(f"t{number}") for number in range(150))))
    check(found)
    links = found["paths"]["/api/sessionid"]["get"]["responses"]["200"]["links"]
    assert list(links)[:2] == ["endSession", "callTool"]
    assert links["s__t0"] == {"operationId": "s__t0", "parameters": {"sessionId": "$response.body#/sessionId"}}
    assert len(links) == 100
