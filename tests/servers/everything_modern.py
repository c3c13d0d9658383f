"""The server of `everything`, of the new kind: it knows no handshake, and refuses one as the specification says."""

import warnings
from collections.abc import AsyncIterator

import anyio
import mcp_types as types
from everything import make
from everything_tools import OUTPUTS
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

OUTPUTS["test_structured_list"] = {"type": "array", "items": {"type": "integer"}}
"""In this era it need not be an object."""


class NoHandshake:
    """What the client says, `initialize` excepted, which is refused here."""

    def __init__(self, reading, writing) -> None:
        self._reading = reading
        self._writing = writing

    async def receive(self) -> SessionMessage | Exception:
        while True:
            said = await self._reading.receive()
            request = said.message if isinstance(said, SessionMessage) else None
            if not isinstance(request, types.JSONRPCRequest) or request.method != "initialize":
                return said
            await self._writing.send(SessionMessage(self._refusal(request)))

    @staticmethod
    def _refusal(request: types.JSONRPCRequest) -> types.JSONRPCError:
        asked = (request.params or {}).get("protocolVersion", "")
        error = types.ErrorData(
            code=types.UNSUPPORTED_PROTOCOL_VERSION,
            message="Unsupported protocol version",
            data={"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": asked},
        )
        return types.JSONRPCError(jsonrpc="2.0", id=request.id, error=error)

    async def __aiter__(self) -> AsyncIterator[SessionMessage | Exception]:
        try:
            while True:
                yield await self.receive()
        except anyio.EndOfStream:
            return

    async def aclose(self) -> None:
        await self._reading.aclose()

    async def __aenter__(self) -> "NoHandshake":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def serve() -> None:
    """Serve on stdin and stdout until stdin closes."""
    server = make()
    async with stdio_server() as (reading, writing):
        await server.run(NoHandshake(reading, writing), writing, server.create_initialization_options())


if __name__ == "__main__":
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    anyio.run(serve)
