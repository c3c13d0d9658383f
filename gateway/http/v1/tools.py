"""`GET /api/v1/tools`: the tools of all servers, in pages."""

from collections.abc import Set
from typing import Final

from quart import Blueprint, Response, g

from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Tool
from gateway.http import admitted
from gateway.http.v1.queries import answer, query
from gateway.http.v1.servers import REFRESH
from gateway.sessions import Sessions
from gateway.unified import paging, views
from gateway.unified.asking import listings
from gateway.unified.parameters import is_set, words

SERVER: Final = "server"
TAG: Final = "tag"
SEARCH: Final = "q"
PARAMETERS: Final = paging.PARAMETERS | {SERVER, TAG, SEARCH, REFRESH}


class ToolsDoor:
    """The handler."""

    def __init__(self, sessions: Sessions, catalog: Catalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    def blueprint(self) -> Blueprint:
        """`/api/v1/tools`."""
        routes = Blueprint("v1_tools", __name__, url_prefix="/api/v1")
        routes.add_url_rule("/tools", "index", self.index, methods=["GET"], provide_automatic_options=False)
        return routes

    async def index(self) -> Response:
        """A page of the tools that the caller may use, by the names of their servers and their own."""
        asked = query(PARAMETERS)
        page = paging.page_of(asked, tuple[str, str])
        fresh, searched = is_set(asked, REFRESH), words(asked, SEARCH)
        await admitted.admit_listing("")
        servers = self._servers(frozenset(asked.get(SERVER, ())), frozenset(asked.get(TAG, ())))
        found = await listings(self._catalog, servers, g.who, fresh=servers if fresh else ())
        tools = [(each.server, tool) for each in found for tool in each.tools if views.matches(tool, searched)]
        shown, cursor = paging.cut(tools, _key, page)
        body = {
            "tools": [views.tool(tool, server, self._sessions.policy(server)) for server, tool in shown],
            "total": len(tools),
            "nextCursor": cursor,
            "failing": views.failing(found),
        }
        return answer(body)

    def _servers(self, named: Set[str], tags: Set[str]) -> list[str]:
        """Those that are meant. Raises GatewayError for one that the caller may not use, the same as for none."""
        policies, allows = self._sessions.policies, self._sessions.oversight.permission
        for server in sorted(named):
            self._sessions.check(g.who, server)
        return [
            server
            for server, policy in policies.items()
            if allows(g.who, server).server and (not named or server in named) and views.is_tagged(policy, tags)
        ]


def _key(each: tuple[str, Tool]) -> tuple[str, str]:
    server, tool = each
    return server, tool.name
