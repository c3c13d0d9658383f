"""All of a gateway but its port: the supervisor, the sessions, the application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from quart import Quart

from common.config.model import GatewaySettings
from common.reasons import Reason
from embedding.beside import supervisor_beside
from gateway.app import wire
from gateway.catalog.catalog import Catalog
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


@asynccontextmanager
async def running(
    config: Path, *, log: BinaryIO | None = None, adjust: Callable[[GatewaySettings], GatewaySettings] | None = None
) -> AsyncIterator[Running]:
    """A gateway on the configuration at `config`, with a supervisor of its own, until the context ends.

    What `adjust` makes of the gateway's part of it holds in its place; the supervisor writes its log to `log`.
    Raises CannotStart (`embedding.beside`) and CannotWrite (`gateway.auditfile`). Cancellation ends every session, and
    waits until their processes are gone.
    """
    async with supervisor_beside(config, log) as supervisor:
        settings = GatewaySettings.model_validate_json(supervisor.settings)
        if adjust is not None:
            settings = adjust(settings)
        with overseeing(settings) as oversight:
            sessions = Sessions(
                supervisor, settings.servers, settings.node, quotas=settings.amounts.quotas, oversight=oversight
            )
            try:
                yield Running(settings, supervisor, sessions, wire(settings, sessions, supervisor))
            finally:
                sessions.end_all(Reason.SHUTDOWN)
