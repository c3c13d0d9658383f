"""The server of `everything` over Streamable HTTP, as the SDK serves it: what it scores is what the gateway is held to.

It takes a port of its own, and prints its URL.
"""

import socket
import warnings

import anyio
import hypercorn.asyncio
import mcp_types as types
from everything import make
from hypercorn.config import Config
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.shared.exceptions import MCPDeprecationWarning

RECONNECT = 100
"""Milliseconds after which a client whose stream was closed may come back."""


class Events(EventStore):
    """Every event of every stream, for as long as the process lives."""

    def __init__(self) -> None:
        self._events: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        if not 0 < last <= len(self._events):
            return None
        stream, _ = self._events[last - 1]
        for number, (of, message) in enumerate(self._events[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def serve() -> None:
    """Serve until SIGTERM."""
    app = make().streamable_http_app(event_store=Events(), retry_interval=RECONNECT)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config()
        config.bind = [f"fd://{listener.fileno()}"]
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        await hypercorn.asyncio.serve(app, config)


if __name__ == "__main__":
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    anyio.run(serve)
