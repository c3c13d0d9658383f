"""`GET /api/certificates/{id}`: what ended a child, for whoever's it was."""

import msgspec
from quart import Blueprint, Response, g

from gateway.certificates import Certificates, as_json
from gateway.http import bodies


class CertificateDoor:
    """The handler."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def blueprint(self) -> Blueprint:
        """`/api/certificates/{id}`."""
        routes = Blueprint("certificates", __name__, url_prefix="/api")
        routes.add_url_rule("/certificates/<id_>", "get", self.get, methods=["GET"], provide_automatic_options=False)
        return routes

    async def get(self, id_: str) -> Response:
        """The death certificate that an error named."""
        certificate = await self._certificates.find(id_, g.who.principal)
        return bodies.json_response(msgspec.json.encode(as_json(certificate)))
