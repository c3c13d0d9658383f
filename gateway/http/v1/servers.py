"""`GET /api/v1/servers` and `GET /api/v1/servers/{server}`: what there is, and how it is."""

from collections.abc import Mapping
from typing import Final

import anyio
from quart import Blueprint, Response, g

from gateway.catalog.catalog import Catalog
from gateway.http import admitted
from gateway.http.health import PATIENCE
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
        routes.add_url_rule("", "index", self.index, methods=["GET"], provide_automatic_options=False)
        routes.add_url_rule("/<server>", "show", self.show, methods=["GET"], provide_automatic_options=False)
        return routes

    async def index(self) -> Response:
        """The servers that the caller may use, in the order of the configuration, and those that are disabled."""
        fresh = is_set(query({REFRESH}), REFRESH)
        await admitted.admit_listing("")
        allows = self._sessions.oversight.permission
        servers = [server for server in self._sessions.policies if allows(g.who, server).server]
        found = await listings(self._catalog, servers, g.who, fresh=servers if fresh else ())
        reports = await self._reports()
        shown = [
            views.server(each, self._sessions.policy(each.server), reports.get(each.server, NOTHING)) for each in found
        ]
        shown += [views.disabled(server) for server in self._catalog.disabled if allows(g.who, server).server]
        return answer({"servers": shown, "total": len(shown)})

    async def show(self, server: str) -> Response:
        """One of them, with all that is known of it."""
        fresh = is_set(query({REFRESH}), REFRESH)
        await admitted.admit_listing(server)
        [found] = await listings(self._catalog, [server], g.who, fresh=[server] if fresh else ())
        reports = await self._reports()
        return answer(views.whole_server(found, self._sessions.policy(server), reports.get(server, NOTHING)))

    async def _reports(self) -> Mapping[str, ServerReport]:
        """What the supervisor says of each; nothing where it does not answer."""
        try:
            with anyio.fail_after(PATIENCE):
                return (await self._supervisor.ask()).servers
        except (TimeoutError, SupervisorLost):
            return {}
