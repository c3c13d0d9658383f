"""A TCP proxy between a client and the gateway that cuts connections when a test says so."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc

from tests.support.processes import PATIENCE

_CHUNK = 65536


class Proxy:
    """What passes through it, and the scissors."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = ""
        self.connections = 0
        """How many there ever were."""
        self._scopes: set[anyio.CancelScope] = set()
        self.said = b""
        """All that the gateway has said."""
        self._news = anyio.Event()

    def cut(self) -> int:
        """Cut every connection that there is; how many."""
        for scope in self._scopes:
            scope.cancel()
        return len(self._scopes)

    async def carried(self, text: bytes, times: int = 1) -> None:
        """Wait until the gateway has said `text` so often."""
        with anyio.fail_after(PATIENCE):
            while self.said.count(text) < times:
                await self._news.wait()

    def note(self, data: bytes) -> None:
        """The gateway says `data`."""
        self.said += data
        self._news.set()
        self._news = anyio.Event()

    async def handle(self, client: anyio.abc.SocketStream) -> None:
        """One connection of a client."""
        self.connections += 1
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            server = await anyio.connect_tcp("127.0.0.1", self.port)
            async with client, server, anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, client, server, scope, lambda _: None)
                tasks.start_soon(_copy, server, client, scope, self.note)
        self._scopes.discard(scope)


async def _copy(
    source: anyio.abc.SocketStream,
    target: anyio.abc.SocketStream,
    scope: anyio.CancelScope,
    note: Callable[[bytes], None],
) -> None:
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            data = await source.receive(_CHUNK)
            await target.send(data)
            note(data)
    scope.cancel()


@asynccontextmanager
async def proxying(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the gateway at `url`; its own is its `url`."""
    proxy = Proxy(int(url.rpartition(":")[2]))
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        address = listener.extra(anyio.abc.SocketAttribute.local_address)
        proxy.url = f"http://127.0.0.1:{address[1]}"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, proxy.handle)
            yield proxy
            tasks.cancel_scope.cancel()
