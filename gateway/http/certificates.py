"""`GET /api/certificates/{id}`: what ended a child, for whoever's it was."""

import msgspec
from quart import Blueprint

from gateway.certificates import Certificates, as_json
from gateway.hot.exchange import Reply
from gateway.http import bodies
from gateway.http.quarted import add, asked


class CertificateDoor:
    """The handler."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def blueprint(self) -> Blueprint:
        """`/api/certificates/{id}`."""
        routes = Blueprint("certificates", __name__, url_prefix="/api")
        add(routes, "/certificates/<id_>", "get", self.get, "GET")
        return routes

    async def get(self, id_: str) -> Reply:
        """The death certificate that an error named."""
        certificate = await self._certificates.find(id_, asked().sender.principal)
        return bodies.json_reply(msgspec.json.encode(as_json(certificate)))
