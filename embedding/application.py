"""`create_app`: the gateway as an ASGI application, for a program that has a server already.

The supervisor is started when the server says that it begins (ASGI, lifespan protocol), and ended when it says that it
ends. Whoever mounts the application below another one, whose server tells this one nothing, holds `running()` instead.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from common.reasons import Reason
from embedding.configuration import ConfigLike, Configuration, checked
from embedding.embedded import Embedded
from embedding.running import Running, leave, running
from gateway.errors import GatewayError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NOT_STARTED: Final = (
    "the gateway of this program is not running; where its server tells the application nothing of its start, as below a "
    "mount, the program holds 'async with app.running():'"
)
TRY_LATER: Final = 1013
"""The code with which a WebSocket is closed that comes too early (RFC 6455, section 7.4.2)."""


def create_app(config: ConfigLike) -> "Application":
    """The gateway on `config`, the path of a configuration file or a dict of its keys, as an ASGI application.

    Nothing is started yet. Raises ConfigError with every mistake in it.
    """
    return Application(checked(config))


class Application(Embedded):
    """A gateway that others serve; each has a supervisor of its own while it runs."""

    def __init__(self, config: Configuration) -> None:
        super().__init__(partial(_hosted, config))

    def __repr__(self) -> str:
        return f"<Application {'running' if self.is_running else 'stopped'}>"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Application"]:
        """Started, and stopped at the end of the context."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        held = self._held
        if scope["type"] == "lifespan":
            await self._follow(receive, send)
        elif held is None:
            await _refuse(scope["type"], send)
        else:
            app: Any = held.app  # it has types of its own for the same thing
            await app(_whole(scope), receive, send)

    async def _follow(self, receive: Receive, send: Send) -> None:
        """Start and stop with the server; what is wrong is for it to tell."""
        steps = {"startup": self._start_with_server, "shutdown": self.stop}
        for name, step in steps.items():
            await receive()
            try:
                await step()
            except Exception as error:  # noqa: BLE001 - the protocol has a message for it
                await send({"type": f"lifespan.{name}.failed", "message": f"mcp-gateway: {error}"})
                return
            await send({"type": f"lifespan.{name}.complete"})

    async def _start_with_server(self) -> None:
        if not self.is_running:  # else the program was first
            await self.start()


@asynccontextmanager
async def _hosted(config: Configuration) -> AsyncIterator[Running]:
    async with running(config) as gateway:
        await gateway.app.startup()
        try:
            yield gateway
            await leave(gateway)
        finally:
            await gateway.app.shutdown()


def _whole(scope: Scope) -> Scope:
    """`scope` as ASGI has it: its path holds that of the mount. Some take that off (ASGI, HTTP connection scope)."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    if path == root or path.startswith(f"{root}/"):
        return {**scope, "root_path": root}
    return {**scope, "root_path": root, "path": root + path}


async def _refuse(kind: str, send: Send) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": TRY_LATER})
        return
    error = GatewayError(Reason.SUPERVISOR_LOST, NOT_STARTED)
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": error.rest_body()})
