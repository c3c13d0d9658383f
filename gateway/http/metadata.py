"""`/.well-known/oauth-protected-resource`: where a client may log in, where the configuration says so (RFC 9728).

The guards let no request through to here for which there is nothing.
"""

from quart import Blueprint

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import bodies
from gateway.http.guards import Guards
from gateway.http.quarted import add
from gateway.identity.resource import WELL_KNOWN


class MetadataDoor:
    """The handler."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    def blueprint(self) -> Blueprint:
        """The path itself, and the same with a server's path behind it."""
        routes = Blueprint("metadata", __name__)
        for name, path in (("gateway", WELL_KNOWN), ("server", f"{WELL_KNOWN}/<path:below>")):
            add(routes, path, name, self.get, "GET")
        return routes

    async def get(self, below: str = "") -> Reply:  # noqa: ARG002 - the guards have looked at it
        """The document: the same at each path."""
        resource = self._guards.authenticator.resource
        if resource is None:
            raise GatewayError(Reason.ROUTE_NOT_FOUND, "there is nothing here")
        return bodies.json_reply(resource.document)
