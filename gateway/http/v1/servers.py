"""`GET /api/v1/servers` and `GET /api/v1/servers/{server}`: what there is, and how it is."""

from collections.abc import Mapping
from typing import Final

import anyio
from quart import Blueprint

from gateway.catalog.catalog import Catalog
from gateway.hot.exchange import Reply
from gateway.http import admitted
from gateway.http.health import PATIENCE
from gateway.http.quarted import add, asked
from gateway.http.v1.queries import answer, query
from gateway.sessions import Sessions
from gateway.unified import views
from gateway.unified.asking import listings
from gateway.unified.parameters import is_set
from supervisor.client import SupervisorClient, SupervisorLost
from supervisor.protocol import ServerReport

REFRESH: Final = "refresh"
NOTHING: Final = ServerReport()


class ServersDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions, catalog: Catalog, supervisor: SupervisorClient) -> None:
        self._sessions = sessions
        self._catalog = catalog
        self._supervisor = supervisor

    def blueprint(self) -> Blueprint:
        """`/api/v1/servers`."""
        routes = Blueprint("v1_servers", __name__, url_prefix="/api/v1/servers")
        add(routes, "", "index", self.index, "GET")
        add(routes, "/<server>", "show", self.show, "GET")
        return routes

    async def index(self) -> Reply:
        """The servers that the caller may use, in the order of the configuration, and those that are disabled."""
        fresh = is_set(query({REFRESH}), REFRESH)
        await admitted.admit_listing(asked(), "")
        allows = self._sessions.oversight.permission
        servers = [server for server in self._sessions.policies if allows(asked().sender, server).server]
        found = await listings(self._catalog, servers, asked().sender, fresh=servers if fresh else ())
        reports = await self._reports()
        shown = [
            views.server(each, self._sessions.policy(each.server), reports.get(each.server, NOTHING)) for each in found
        ]
        shown += [views.disabled(server) for server in self._catalog.disabled if allows(asked().sender, server).server]
        return answer({"servers": shown, "total": len(shown)})

    async def show(self, server: str) -> Reply:
        """One of them, with all that is known of it."""
        fresh = is_set(query({REFRESH}), REFRESH)
        await admitted.admit_listing(asked(), server)
        [found] = await listings(self._catalog, [server], asked().sender, fresh=[server] if fresh else ())
        reports = await self._reports()
        return answer(views.whole_server(found, self._sessions.policy(server), reports.get(server, NOTHING)))

    async def _reports(self) -> Mapping[str, ServerReport]:
        """What the supervisor says of each; nothing where it does not answer."""
        try:
            with anyio.fail_after(PATIENCE):
                return (await self._supervisor.ask()).servers
        except (TimeoutError, SupervisorLost):
            return {}
