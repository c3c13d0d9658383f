"""All of a gateway but its port: the supervisor, the sessions, the application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import Signals
from typing import IO

import anyio
from loguru import logger
from quart import Quart

from common.config.model import GatewaySettings
from common.reasons import Reason
from embedding.beside import supervisor_beside
from embedding.configuration import Configuration
from gateway.app import take_over, wire
from gateway.catalog.catalog import Catalog
from gateway.drain import drain
from gateway.oversight import overseeing
from gateway.sessions import Sessions
from supervisor.client import SupervisorClient


@dataclass(frozen=True)
class Running:
    """The parts of a gateway that runs in this process."""

    settings: GatewaySettings
    supervisor: SupervisorClient
    sessions: Sessions
    app: Quart

    @property
    def catalog(self) -> Catalog:
        """What its servers offer."""
        catalog: Catalog = self.app.extensions["catalog"]
        return catalog

    @property
    def is_lost(self) -> bool:
        """Whether its supervisor has gone, and every child with it: it answers, and can do no more."""
        return self.supervisor.lost.is_set()


@asynccontextmanager
async def running(
    config: Path | Configuration,
    *,
    stderr: IO[bytes] | None = None,
    adjust: Callable[[GatewaySettings], GatewaySettings] | None = None,
) -> AsyncIterator[Running]:
    """A gateway on `config`, with a supervisor of its own, until the context ends.

    What `adjust` makes of the gateway's part holds in its place; what the supervisor says goes to the file `stderr`, or
    else to where this program's own goes. Raises CannotStart (`embedding.beside`) and CannotWrite (`gateway.auditfile`).
    Cancellation ends every session, and waits until their processes are gone.
    """
    async with supervisor_beside(config, stderr=stderr) as supervisor:
        settings = GatewaySettings.model_validate_json(supervisor.settings)
        if adjust is not None:
            settings = adjust(settings)
        with overseeing(settings) as oversight:
            sessions = Sessions(
                supervisor, settings.servers, settings.node, quotas=settings.amounts.quotas, oversight=oversight
            )
            app = wire(settings, sessions, supervisor)
            supervisor.on_settings = partial(_follow, app, sessions)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_look_after, supervisor, sessions, name="watch the supervisor")
                    yield Running(settings, supervisor, sessions, app)
                    tasks.cancel_scope.cancel()
            finally:
                sessions.end_all(Reason.SHUTDOWN)


async def leave(gateway: Running) -> None:
    """Stop as a gateway does: no new sessions, `drain_timeout` for the calls in flight, then every session's end."""
    gateway.sessions.refuse(Reason.SHUTDOWN)
    await drain(gateway.sessions.calls, gateway.settings.drain_timeout, gateway.supervisor, _no_signals())
    gateway.sessions.end_all(Reason.SHUTDOWN)


async def _look_after(supervisor: SupervisorClient, sessions: Sessions) -> None:
    """What is there when the supervisor is lost ends for that; whoever asks from then on is told so."""
    await supervisor.lost.wait()
    logger.error("the supervisor is gone")
    sessions.end_all(Reason.SUPERVISOR_LOST)


def _follow(app: Quart, sessions: Sessions, part: bytes) -> None:
    """The configuration was read again."""
    take_over(app, GatewaySettings.model_validate_json(part), sessions)


async def _no_signals() -> AsyncIterator[Signals]:
    """Signals are the program's own."""
    await anyio.sleep_forever()
    yield Signals.SIGTERM
