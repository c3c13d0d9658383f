"""The server of `everything`, of the old kind: it knows the handshake alone, and asks its questions by push.

It is what most stdio servers are: `initialize` first, and requests of its own to the client in the middle of a call.
"""

import warnings

import anyio
from everything import CHANGES, make
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning


async def serve() -> None:
    """Serve on stdin and stdout until stdin closes."""
    server = make()
    options = server.create_initialization_options(CHANGES)
    async with server.lifespan(server) as state, stdio_server() as (reading, writing):
        await serve_loop(server, reading, writing, lifespan_state=state, init_options=options)


if __name__ == "__main__":
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    anyio.run(serve)
