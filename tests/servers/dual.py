"""A stdio MCP server of both eras, made with the SDK. It serves whichever its first message is of.

Its tools do what the tests of the stateless door need.
"""

import os
import sys
from typing import Annotated, Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import Field

server = MCPServer("dual", version="1")
NOTES: list[str] = []
CANCELLED: list[str] = []


@server.tool()
def whoami() -> int:
    """The server's pid."""
    return os.getpid()


@server.tool()
def add(text: str) -> int:
    """Keep a note."""
    NOTES.append(text)
    return len(NOTES)


@server.tool()
def notes() -> str:
    """All notes, joined."""
    return ",".join(NOTES)


@server.tool()
async def walk(ctx: Context) -> str:
    """Two steps, each reported."""
    await ctx.report_progress(1, 2, "one")
    await ctx.report_progress(2, 2, "two")
    return "there"


@server.tool()
async def tell(ctx: Context, text: str) -> str:
    """A log line."""
    await ctx.info(text)
    return "told"


@server.tool()
async def wait(ctx: Context, name: str) -> str:
    """Report once, then wait for ever."""
    print("waiting", name, file=sys.stderr, flush=True)
    try:
        await ctx.report_progress(1, 2)
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        CANCELLED.append(name)
        raise


@server.tool()
def cancelled() -> str:
    """Which waits were cancelled."""
    return ",".join(CANCELLED)


@server.tool()
async def change(ctx: Context) -> str:
    """Say that the tools have changed."""
    await ctx.notify_tools_changed()
    return "changed"


@server.tool()
def route(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """An argument that is repeated in a header."""
    return region


@server.tool()
def die() -> None:
    """End at once."""
    os._exit(3)


@server.tool()
async def ask_name(ctx: Context) -> Any:
    """Ask the user's name, keep it, and say it."""
    await ctx.report_progress(1)
    answers = ctx.input_responses
    if not answers:
        schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        ask = ElicitRequest(params=ElicitRequestFormParams(message="Your name?", requested_schema=schema))
        NOTES.append("asked")
        return InputRequiredResult(input_requests={"who": ask}, request_state="mine")
    NOTES.append(str(ctx.request_state))
    return f"{answers['who'].content['name']} {os.getpid()} {','.join(NOTES)}"


if __name__ == "__main__":
    server.run("stdio")
