"""What the matrix of revisions and children needs of `everything` beside the suite's contract."""

import json
import sys

import anyio
import mcp_types as types
from everything_calls import SUBSCRIBED, Call, ToolFailed, confirmation, roots, sampling
from everything_tools import Content, one_text, tool
from mcp.server.context import ServerRequestContext

QUESTIONS = {
    "elicitation": confirmation("Go on?"),
    "sampling": sampling("Say something", 10),
    "roots": roots(),
}


@tool(one_text("name"))
async def test_wait(call: Call) -> Content:
    """Waits until it is cancelled."""
    name = call.arguments["name"]
    print("waiting", name, file=sys.stderr, flush=True)
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        print("cancelled", name, file=sys.stderr, flush=True)
        raise
    return name


@tool()
async def test_trigger_resource_change(call: Call) -> Content:
    """Says that the list of resources is another."""
    await call.resources_changed()
    return "said"


@tool(one_text("uri"))
async def test_trigger_resource_update(call: Call) -> Content:
    """Says that a resource is another, to those who have subscribed to it."""
    await call.resource_updated(call.arguments["uri"])
    return "said"


@tool()
async def test_structured_list(call: Call) -> Content:
    """Has structured content that is no object, and the same as text."""
    numbers = [1, 2, 3]
    return types.CallToolResult(content=[types.TextContent(text=json.dumps(numbers))], structured_content=numbers)


async def subscribe(ctx: ServerRequestContext, params: types.SubscribeRequestParams) -> types.EmptyResult:
    SUBSCRIBED.add(str(params.uri))
    return types.EmptyResult()


async def unsubscribe(ctx: ServerRequestContext, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
    SUBSCRIBED.discard(str(params.uri))
    return types.EmptyResult()


async def answer_to(ctx: ServerRequestContext, what: str) -> str:
    """What the client answers when it is asked in the course of a request that cannot wait for it in the newer era."""
    try:
        said = (await Call(ctx, {}, {}, None).ask(it=QUESTIONS[what]))["it"]
    except ToolFailed as failure:
        return str(failure)
    return said.model_dump_json(by_alias=True, exclude_none=True)
