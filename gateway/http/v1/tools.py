"""`GET /api/v1/tools`: the tools of all servers, in pages."""

from collections.abc import Set
from typing import Final

from quart import Blueprint

from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Tool
from gateway.hot.exchange import Reply
from gateway.http import admitted
from gateway.http.quarted import add, asked
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
        add(routes, "/tools", "index", self.index, "GET")
        return routes

    async def index(self) -> Reply:
        """A page of the tools that the caller may use, by the names of their servers and their own."""
        wanted = query(PARAMETERS)
        page = paging.page_of(wanted, tuple[str, str])
        fresh, searched = is_set(wanted, REFRESH), words(wanted, SEARCH)
        await admitted.admit_listing(asked(), "")
        servers = self._servers(frozenset(wanted.get(SERVER, ())), frozenset(wanted.get(TAG, ())))
        found = await listings(self._catalog, servers, asked().sender, fresh=servers if fresh else ())
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
            self._sessions.check(asked().sender, server)
        return [
            server
            for server, policy in policies.items()
            if allows(asked().sender, server).server
            and (not named or server in named)
            and views.is_tagged(policy, tags)
        ]


def _key(each: tuple[str, Tool]) -> tuple[str, str]:
    server, tool = each
    return server, tool.name
