"""The application: wiring, and nothing else."""

from http import HTTPStatus

from quart import Quart, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import WebsocketMismatch

from common.config.model import GatewaySettings
from common.reasons import Reason
from gateway.admittance import Admittance
from gateway.catalog.catalog import Catalog
from gateway.errors import GatewayError
from gateway.hot.asgi import InFront
from gateway.hot.doors import HotDoors
from gateway.http import bodies, paths, quarted, watching
from gateway.http.actions import ActionsDoor
from gateway.http.calling import ToolCalls
from gateway.http.certificates import CertificateDoor
from gateway.http.checks import Checks
from gateway.http.front import Front
from gateway.http.guards import Guards
from gateway.http.health import HealthDoor
from gateway.http.metadata import MetadataDoor
from gateway.http.offers import OfferDoor
from gateway.http.openapi import OpenApiDoor
from gateway.http.page import PageDoor
from gateway.http.questions import QuestionDoor
from gateway.http.rest import RestDoor
from gateway.http.sse import SseDoor
from gateway.http.stateless import StatelessDoor
from gateway.http.streamable import StreamableDoor
from gateway.http.v1.doors import unified
from gateway.http.websocket import WebSocketDoor
from gateway.modern.probe import Probe
from gateway.ratelimits import RateLimits
from gateway.rest.parked import Parked
from gateway.retries import Retries
from gateway.sessions import Sessions
from supervisor.client import SupervisorClient

_FROM_HTTP = {
    HTTPStatus.NOT_FOUND: Reason.ROUTE_NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Reason.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Reason.MESSAGE_TOO_LARGE,
}

_NO_WEBSOCKET = "there is no WebSocket at this path; each server has one at /{server}/ws"


def wire(settings: GatewaySettings, sessions: Sessions, supervisor: SupervisorClient) -> Quart:
    """The ASGI application over `sessions`, which `supervisor` gives their children."""
    app = Quart("gateway", static_folder=None)
    app.url_map.strict_slashes = False  # /mcp and /mcp/ are alike, and nobody is redirected
    app.url_map.merge_slashes = False
    paths.install(app.url_map)
    bound_bodies(app, settings)
    guards = app.extensions["guards"] = Guards(settings)
    rates = app.extensions["rates"] = RateLimits(settings.amounts)
    checks = Checks(guards, Admittance([rates], sessions.quotas.refusals), sessions)
    quarted.install(app, checks)
    app.after_serving(rates.close)
    catalog = app.extensions["catalog"] = Catalog(sessions)
    catalog.disabled = settings.disabled
    app.after_serving(catalog.close)
    watching.install(app, catalog, sessions, settings.publicity)
    openapi = app.extensions["openapi"] = OpenApiDoor(sessions, catalog, settings)
    parked, retries = Parked(), Retries()
    calls = ToolCalls(parked, retries)
    app.after_serving(retries.close)
    streamable, sse, rest = StreamableDoor(sessions), SseDoor(sessions), RestDoor(sessions, calls)
    front = Front(streamable, sse)
    others = (
        HealthDoor(sessions, supervisor, rates, catalog),
        rest,
        ActionsDoor(sessions, calls),
        openapi,
        QuestionDoor(sessions, parked),
        OfferDoor(sessions, parked),
        *unified(sessions, catalog, supervisor, calls),
        CertificateDoor(sessions.certificates),
        MetadataDoor(guards),
    )
    if settings.publicity.docs_page:
        app.register_blueprint(PageDoor().blueprint())
    shared = (streamable.blueprint(), front.blueprint())
    StatelessDoor(sessions, Probe(supervisor, sessions.eras)).install(*shared)
    for routes in (*(door.blueprint() for door in (*others, sse, WebSocketDoor(sessions))), *shared):
        app.register_blueprint(routes)
    hot = app.extensions["hot"] = HotDoors(checks, front=front, streamable=streamable, sse=sse, rest=rest)
    app.asgi_app = InFront(hot, app.asgi_app)  # type: ignore[method-assign]
    app.register_error_handler(GatewayError, _answer_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, _answer_fault)
    sessions.end_of_others(guards.still_admits)  # who was taken out while there was no gateway
    return app


def take_over(app: Quart, settings: GatewaySettings, sessions: Sessions) -> None:
    """What `settings` have for new requests holds from now on; whom they admit no more loses their sessions."""
    guards: Guards = app.extensions["guards"]
    rates: RateLimits = app.extensions["rates"]
    openapi: OpenApiDoor = app.extensions["openapi"]
    guards.take_over(settings)
    openapi.take_over(settings)
    rates.take_over(settings.amounts)
    sessions.quotas.take_over(settings.amounts.quotas)
    sessions.oversight.take_over(settings)
    sessions.take_over(settings.servers)
    app.extensions["catalog"].take_over(settings.servers, settings.disabled)
    sessions.end_of_others(guards.still_admits)
    bound_bodies(app, settings)


def bound_bodies(app: Quart, settings: GatewaySettings) -> None:
    """Quart buffers a body as it comes, wanted or not, so it needs a bound of its own; doors check the server's."""
    largest = max(policy.max_message_bytes for policy in settings.servers.values())
    app.config["MAX_CONTENT_LENGTH"] = largest + bodies.DISCARDED


async def _answer_error(error: GatewayError) -> Response:
    asked = quarted.asked()
    return quarted.response(asked.checks.failed(asked, error))


async def _answer_http_error(error: HTTPException) -> Response:
    """What the framework found wrong, in our own shape."""
    code = error.code or 500
    reason = _FROM_HTTP.get(HTTPStatus(code), Reason.BAD_REQUEST if code < 500 else Reason.INTERNAL_ERROR)
    sentences = {
        Reason.ROUTE_NOT_FOUND: "there is nothing at this path; GET /openapi.json tells what there is",
        Reason.METHOD_NOT_ALLOWED: "this method is not for this path",
        Reason.MESSAGE_TOO_LARGE: "the body is larger than any server's max_message_bytes",
    }
    sentence = _NO_WEBSOCKET if isinstance(error, WebsocketMismatch) else sentences.get(reason, error.name)
    answer = await _answer_error(GatewayError(reason, sentence))
    answer.status_code = 200 if quarted.asked().is_action else code
    for name, value in error.get_headers():
        if name.lower() == "allow":
            answer.headers[name] = ", ".join(sorted(set(value.split(", ")) - {"HEAD"}))
    return answer


async def _answer_fault(error: Exception) -> Response:
    """Our own fault."""
    asked = quarted.asked()
    return quarted.response(asked.checks.faulty(asked, error))
