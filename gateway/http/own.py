"""Calls of callers that name no session."""

from functools import partial
from typing import Final

from quart import Response, after_this_request
from quart.typing import ResponseTypes

from gateway.http.calling import call_tool
from gateway.http.streams import afterwards
from gateway.identity.who import Who
from gateway.own import OwnSets

NEW: Final = "Mcp-Session-New"
"""The header that says that the child which was called is a fresh one: whatever the caller left in the last is gone."""


async def call_own(own: OwnSets, who: Who, server: str, tool: str, arguments: bytes) -> Response:
    """The answer to this request of `who`, which calls `tool` of `server`, and names no session. Raises GatewayError.

    `arguments` is the JSON of an object. A named caller's own session goes on; anybody else's ends with the answer.
    """
    session_set = own.take(who)
    before = session_set.live(server)

    async def tell(response: ResponseTypes) -> ResponseTypes:
        now = session_set.live(server)
        if now is not None and now is not before:
            response.headers[NEW] = "true"
        return response

    after_this_request(tell)
    try:
        response = await call_tool(session_set, server, tool, arguments, is_once=session_set.key is None)
    except BaseException:
        own.leave(session_set)
        raise
    afterwards(response, partial(own.leave, session_set))
    return response
