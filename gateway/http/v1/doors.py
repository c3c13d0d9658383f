"""The doors of the unified API, all together."""

from gateway.catalog.catalog import Catalog
from gateway.http.calling import ToolCalls
from gateway.http.v1.calls import CallsDoor
from gateway.http.v1.servers import ServersDoor
from gateway.http.v1.sessions import SessionsDoor
from gateway.http.v1.tools import ToolsDoor
from gateway.sessions import Sessions
from supervisor.client import SupervisorClient


def unified(
    sessions: Sessions, catalog: Catalog, supervisor: SupervisorClient, calls: ToolCalls
) -> tuple[ServersDoor, ToolsDoor, CallsDoor, SessionsDoor]:
    """One of each."""
    return (
        ServersDoor(sessions, catalog, supervisor),
        ToolsDoor(sessions, catalog),
        CallsDoor(sessions, catalog, calls),
        SessionsDoor(sessions),
    )
