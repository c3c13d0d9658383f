"""`Gateway`: the gateway with a port of its own, for a program that has no server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import anyio

from common.config.model import GatewaySettings
from embedding.configuration import ConfigLike, checked
from embedding.embedded import Embedded
from embedding.running import Running, leave, running
from gateway.server import StopAccepting, bind, serve_http, url


class Gateway(Embedded):
    """A gateway that listens from `start` to `stop`, or within `async with`, with a supervisor of its own meanwhile."""

    def __init__(self, config: ConfigLike, *, hostname: str | None = None, port: int | None = None) -> None:
        """On `config`, the path of a configuration file or a dict of its keys; port 0 takes a free one.

        Nothing is started yet. Raises ConfigError with every mistake in it.
        """
        super().__init__(self._serving)
        self._config = checked(config)
        self._where = {"hostname": hostname, "port": port}
        self._url = ""

    def __repr__(self) -> str:
        return f"<Gateway {f'at {self._url}' if self.is_running else 'stopped'}>"

    @property
    def url(self) -> str:
        """How to reach it from this machine. Raises RuntimeError where it is not started."""
        if self._held is None:
            raise RuntimeError("this gateway is not started, so it has no address")
        return self._url

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Running]:
        async with running(self._config, adjust=self._at_its_place) as gateway:
            listener = bind(gateway.settings.hostname, gateway.settings.port)
            self._url = url(listener)
            enough = anyio.Event()

            async def until_stopped(_: StopAccepting) -> None:
                await enough.wait()
                await leave(gateway)

            async with anyio.create_task_group() as tasks:
                hot = gateway.app.extensions["hot"]
                tasks.start_soon(serve_http, gateway.app, listener, until_stopped, hot, name="serve")
                yield gateway
                enough.set()

    def _at_its_place(self, settings: GatewaySettings) -> GatewaySettings:
        given = {key: value for key, value in self._where.items() if value is not None}
        return settings.model_copy(update=given)
