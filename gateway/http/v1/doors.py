"""The doors of the unified API, all together."""

from quart import Blueprint, current_app, request
from quart.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from common.reasons import Reason
from gateway.catalog.catalog import Catalog
from gateway.errors import GatewayError
from gateway.http.v1.calls import CallsDoor
from gateway.http.v1.servers import ServersDoor
from gateway.http.v1.sessions import SessionsDoor
from gateway.http.v1.tools import ToolsDoor
from gateway.sessions import Sessions
from supervisor.client import SupervisorClient


def unified(
    sessions: Sessions, catalog: Catalog, supervisor: SupervisorClient
) -> tuple[ServersDoor, ToolsDoor, CallsDoor, SessionsDoor, "NoDoor"]:
    """One of each."""
    return (
        ServersDoor(sessions, catalog, supervisor),
        ToolsDoor(sessions, catalog),
        CallsDoor(sessions, catalog),
        SessionsDoor(sessions),
        NoDoor(),
    )


def is_nowhere() -> bool:
    """Whether nothing but `NoDoor` is at the path of the request, whatever the method."""
    adapter = current_app.create_url_adapter(request)
    if adapter is None or set(adapter.allowed_methods()) != {"POST"}:
        return False
    endpoint, _ = adapter.match(method="POST")
    return bool(endpoint == "v1.post")


class NoDoor:
    """Where there is nothing: without it a POST there would be taken for a tool of a server 'v1'."""

    def blueprint(self) -> Blueprint:
        """The rest of `/api/v1`."""
        routes = Blueprint("v1", __name__, url_prefix="/api/v1")
        routes.add_url_rule("/<path:rest>", "post", self.post, methods=["POST"], provide_automatic_options=False)
        return routes

    async def post(self, rest: str) -> ResponseReturnValue:  # noqa: ARG002 - the route's
        """Raises GatewayError, or what the framework raises for a path that has other methods."""
        adapter = current_app.create_url_adapter(request)
        if adapter is not None and (others := set(adapter.allowed_methods()) - {"POST"}):
            raise MethodNotAllowed(sorted(others))
        raise GatewayError(Reason.ROUTE_NOT_FOUND, "there is nothing at this path")
