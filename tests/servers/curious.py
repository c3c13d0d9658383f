"""A server of the SDK's that asks its client, over the handshake's protocol alone: questions are pushed, not returned."""

import anyio
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.stdio import stdio_server
from mcp_types import SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("curious", instructions="Ask me, and I ask you.")


class Answer(BaseModel):
    said: str


given_up: list[str] = []
has_given_up = anyio.Event()


async def _elicit(ctx: Context, question: str) -> str:
    try:
        result = await ctx.elicit(question, Answer)
    except BaseException:
        given_up.append(question)
        has_given_up.set()
        raise
    return result.data.said if result.action == "accept" else result.action


@server.tool()
async def interview(name: str, questions: int, ctx: Context) -> list[str]:
    """Ask one question after the other."""
    return [await _elicit(ctx, f"{name} {number}") for number in range(questions)]


@server.tool()
async def survey(name: str, questions: int, ctx: Context) -> dict[str, str]:
    """Ask all questions at once."""
    heard: dict[str, str] = {}

    async def ask(question: str) -> None:
        heard[question] = await _elicit(ctx, question)

    async with anyio.create_task_group() as group:
        for number in range(questions):
            group.start_soon(ask, f"{name} {number}")
    return heard


@server.tool()
async def never_answered() -> list[str]:
    """The questions to which no answer will come; waits for the first one."""
    await has_given_up.wait()
    return given_up


@server.tool()
async def think(about: str, ctx: Context) -> str:
    """Ask the client's model."""
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=about))]
    return (await ctx.session.create_message(messages, max_tokens=10)).content.text


@server.tool()
async def look_around(ctx: Context) -> list[str]:
    """Ask for the client's roots."""
    return [str(root.uri) for root in (await ctx.session.list_roots()).roots]


@server.tool()
async def climb(steps: int, ctx: Context) -> str:
    """Say how far it is, and log it."""
    for step in range(steps):
        await ctx.report_progress(step, steps)
        await ctx.session.send_log_message("info", f"step {step}", related_request_id=ctx.request_id)
    return "there"


@server.tool()
async def climb_and_ask(ctx: Context) -> str:
    """Say how far it is, before and after a question."""
    await ctx.report_progress(1, 2)
    said = await _elicit(ctx, "further?")
    await ctx.report_progress(2, 2)
    return said


@server.tool()
async def change(ctx: Context) -> str:
    """Say that the tools have changed."""
    await ctx.session.send_tool_list_changed()
    return "changed"


async def serve() -> None:
    """Serve on stdin and stdout until stdin closes. `server.run` would not declare that the tools change."""
    own = server._lowlevel_server
    async with stdio_server() as (reading, writing):
        await own.run(reading, writing, own.create_initialization_options(NotificationOptions(tools_changed=True)))


if __name__ == "__main__":
    anyio.run(serve)
