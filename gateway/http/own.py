"""Calls of callers that name no session."""

from functools import partial
from typing import Final

from quart import after_this_request
from quart.typing import ResponseTypes

from gateway.hot.exchange import Reply
from gateway.http.asked import Asked
from gateway.http.calling import ToolCalls
from gateway.http.streams import afterwards
from gateway.own import OwnSets

NEW: Final = "Mcp-Session-New"
"""The header that says that the child which was called is a fresh one: whatever the caller left in the last is gone."""


async def call_own(asked: Asked, calls: ToolCalls, own: OwnSets, server: str, tool: str, arguments: bytes) -> Reply:
    """The answer to the request `asked`, which calls `tool` of `server`, and names no session. Raises GatewayError.

    `arguments` is the JSON of an object. A named caller's own session goes on; anybody else's ends with the answer.
    """
    session_set = own.take(asked.sender)
    before = session_set.live(server)

    async def tell(response: ResponseTypes) -> ResponseTypes:
        now = session_set.live(server)
        if now is not None and now is not before:
            response.headers[NEW] = "true"
        return response

    after_this_request(tell)
    try:
        reply = await calls.call(asked, session_set, server, tool, arguments, is_once=session_set.key is None)
    except BaseException:
        own.leave(session_set)
        raise
    afterwards(reply.body, partial(own.leave, session_set))
    return reply
