"""A call of a tool, however it was asked for: its answer over HTTP."""

from quart import Response, g

from gateway.admittance import CALL, Use
from gateway.http import admitted, contents, questions
from gateway.session_sets import SessionSet


async def call_tool(session_set: SessionSet, server: str, tool: str, arguments: bytes) -> Response:
    """The answer to this request, which calls `tool` of `server` in a session of `session_set`.

    `arguments` is the JSON of an object. Raises GatewayError.
    """
    await admitted.admit(Use(server, CALL, tool))
    wanted, declines = contents.wish(), questions.declines()
    who = g.who
    caller = await session_set.caller(server, who)
    call = questions.attend(session_set, server, caller, declines=declines)

    async def run() -> bytes:
        return await caller.call(tool, arguments, who, call.hear)

    return contents.response(await call.answer_or_ask(run), wanted)
