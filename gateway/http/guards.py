"""What every request passes before a door sees it: is it one that a browser was tricked into, and who sends it.

A WebSocket's handshake is such a request, and is refused before it is one: no browser asks anybody, as it does of other
requests, before it sends that to another site.

In this order: HEAD is refused, for it would run a GET that opens a session; the `Host` must be ours, where nobody has to
authenticate (DNS rebinding); the `Origin` must be ours, or a listed one, always (a browser is no way
in); then the credentials, and on whose behalf they are used.
"""

import ipaddress
import time
from typing import Final, TypeVar
from urllib.parse import urlsplit

from loguru import logger
from quart import Quart, Response, g, has_websocket_context, request, websocket
from quart.typing import ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket

from common.config.model import GatewaySettings
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http import bodies
from gateway.http.cors import CrossOrigin
from gateway.http.lengths import check_length, is_doubtful
from gateway.http.page import is_page
from gateway.http.streams import abandon
from gateway.identity.authenticator import Authenticator
from gateway.identity.denied import Denied
from gateway.identity.fronts import Fronts
from gateway.identity.principal import Principal
from gateway.identity.resource import is_described_at
from gateway.personal import FAULTS

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
Marked = TypeVar("Marked", bound=ResponseTypes)
TELLING: Final = 1.0
"""Seconds between two lines about callers that are turned away for the same reason."""

_WORTH_A_LINE: Final = frozenset(
    {
        *FAULTS,
        Reason.HOST_DENIED,
        Reason.ISSUER_UNREACHABLE,
        Reason.ORIGIN_DENIED,
        Reason.SCOPE_MISSING,
        Reason.TOO_MANY_ATTEMPTS,
        Reason.UNAUTHENTICATED,
        Reason.USER_DENIED,
    }
)
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
"""What a browser says of a request that a page of another origin made; of the latter, on another port of this machine."""
_PUBLIC: Final = frozenset({"/health", "/api/v1/health"})
"""Where anybody may ask whether all is well, without credentials; no more than that is said then."""


def asked() -> BaseRequestWebsocket:
    """What is being answered: a request, or the handshake of a WebSocket."""
    return websocket if has_websocket_context() else request


class Guards:
    """The checks, for one configuration."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.authenticator = Authenticator(settings.auth)
        self._fronts = Fronts(settings.users)
        self._cors = CrossOrigin(settings.cors)
        self._told: dict[Reason, float] = {}
        self._allowed_hosts = frozenset(host.lower() for host in settings.allowed_hosts)

    def install(self, app: Quart) -> None:
        """Have every request of `app` checked first, and every answer bear the headers of an API."""
        app.before_request(self.check)
        app.before_websocket(self.check)
        app.after_request(self.finish)
        app.after_websocket(self.finish_handshake)

    def take_over(self, settings: GatewaySettings) -> None:
        """Credentials, users, origins and servers are these from the next request on."""
        self.authenticator = Authenticator(settings.auth, self.authenticator)
        self._fronts = Fronts(settings.users)
        self._cors = CrossOrigin(settings.cors)

    def still_admits(self, principal: Principal) -> bool:
        """Whether `principal`, who was let in once, could be let in now: by itself, and on whose behalf it asks."""
        return self.authenticator.still_admits(principal) and self._fronts.still_believe(principal)

    async def check(self) -> Response | None:
        """Raises GatewayError where the request may not pass; leaves who sends it in `g.who`.

        A browser that asks whether a page of a listed origin may ask is answered here, for it sends no credentials.
        """
        try:
            self._check_site()
            said = self._cors.preflight(asked().method, asked().headers)
            if said is not None:
                return bodies.empty(204, said)
            await self._authenticate()
            return None
        except GatewayError as error:
            self.tell(error)
            raise

    def _check_site(self) -> None:
        g.who = g.denied = None
        check_length(asked().headers)
        if asked().method == "HEAD":
            raise GatewayError(Reason.METHOD_NOT_ALLOWED, "HEAD opens nothing here; use GET")
        if not self.authenticator.is_on:
            self._check_host()
        if not _is_for_everybody():  # a link from another site may lead there; nothing is done or told
            self._check_origin()

    async def _authenticate(self) -> None:
        if asked().path.startswith("/.well-known/"):
            self._check_well_known()
            return
        if _is_for_everybody():
            return
        is_public = asked().path.rstrip("/") in _PUBLIC
        try:
            who = await self.authenticator.who(asked().headers.getlist, asked().remote_addr or "")
        except Denied as denied:
            if not is_public:
                g.denied = denied
                raise
            return
        # Where nothing is anybody's, it does not matter who the user is.
        g.who = who if is_public else self._fronts.who(who)

    def _check_well_known(self) -> None:
        """Nobody has to prove anything who asks how to; where that is not told, there is nothing."""
        if self.authenticator.resource is None or not is_described_at(asked().path):
            raise GatewayError(Reason.ROUTE_NOT_FOUND, "there is nothing here")

    async def finish(self, response: Response) -> Response:
        """Headers that hold for every answer; and the request is read to its end, for the next one comes behind it.

        A client that hangs up meanwhile never begins the event stream that it would have got, so that is over, too.
        """
        try:
            await bodies.discard_rest()
        except BaseException:
            abandon(response)
            raise
        if is_doubtful(request.headers):
            response.headers["Connection"] = "close"
        return self._mark(response)

    async def finish_handshake(self, response: ResponseTypes | None) -> ResponseTypes | None:
        """The same headers for a refused handshake, after which the connection is of no more use."""
        if response is None:
            return None
        response.headers["Connection"] = "close"
        return self._mark(response)

    def _mark(self, response: Marked) -> Marked:
        for challenge in self.authenticator.challenges(response.status_code, g.get("denied")):
            response.headers.add("WWW-Authenticate", challenge)
        for name, value in self._cors.answer(asked().headers.get("Origin")).items():
            response.headers[name] = f"{response.headers[name]}, {value}" if name in response.headers else value
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def tell(self, error: GatewayError) -> None:
        """Let the operator know whom the gateway turns away, and why; never what was presented.

        A line a second at most for each reason, so that strangers who try tokens do not hide what ails one's own users.
        """
        now = time.monotonic()
        if error.reason in _WORTH_A_LINE and now - self._told.get(error.reason, -TELLING) >= TELLING:
            self._told[error.reason] = now
            why = f"{error.reason}: {error.why}" if isinstance(error, Denied) else error
            whom = f"{asked().remote_addr}, {g.who.principal}," if g.get("who") else asked().remote_addr
            logger.warning("turned {} away from {!r}: {}", whom, _shown(asked().path), why)

    def _check_host(self) -> None:
        host = _only("Host") or ""
        name = _host_name(host)
        if not (_is_loopback(name) or name in self._allowed_hosts or host.lower() in self._allowed_hosts):
            raise GatewayError(
                Reason.HOST_DENIED,
                "this gateway asks for no credentials, so it answers only to loopback names and to those in "
                "'allowed_hosts' of its configuration",
                host=host[:255],
                key="allowed_hosts",
            )

    def _check_origin(self) -> None:
        origin = _only("Origin")
        if self._cors.lists(origin):
            return
        is_from_elsewhere = (_only("Sec-Fetch-Site") or "").lower() in _ELSEWHERE
        if is_from_elsewhere or (origin is not None and not _same_origin(origin, _only("Host") or "")):
            raise GatewayError(
                Reason.ORIGIN_DENIED, "a page of another site may not use this gateway", origin=(origin or "")[:255]
            )


def _is_for_everybody() -> bool:
    """Whether it is the page that is asked for, which is the same for all. No server has its name."""
    return asked().method == "GET" and is_page(asked().path)


def _shown(path: str) -> str:
    """A path as the log may have it: without the id of a question, which may be all that is needed to answer it."""
    before, found, _ = path.partition("/questions/")
    return (before + found)[:100]


def _only(name: str) -> str | None:
    """The header `name`, if it was sent; twice is as good as wrong."""
    values = asked().headers.getlist(name)
    if len(values) > 1:
        raise GatewayError(Reason.BAD_REQUEST, f"the header {name} was sent {len(values)} times", header=name)
    return values[0] if values else None


def _host_name(host: str) -> str:
    """`example.org` of `example.org:3000`, `::1` of `[::1]:3000`, in lower case."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _same_origin(origin: str, host: str) -> bool:
    """Whether `origin` is this server as the client addressed it. The scheme is the proxy's business, the port is not."""
    try:
        parts = urlsplit(origin.lower())
        port = str(parts.port or _DEFAULT_PORTS.get(parts.scheme, ""))
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return False
    own_name = _host_name(host)
    own_port = host.rpartition(":")[2] if host[-1:].isdigit() and not host.lower().endswith(own_name) else None
    return parts.hostname == own_name and port == (own_port or _DEFAULT_PORTS[parts.scheme])
