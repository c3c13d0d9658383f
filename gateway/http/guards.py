"""What every request passes before a door sees it: is it one that a browser was tricked into, and who sends it.

A WebSocket's handshake is such a request, and is refused before it is one: no browser asks anybody, as it does of other
requests, before it sends that to another site.

In this order: HEAD is refused, for it would run a GET that opens a session; the `Host` must be ours, where nobody has to
authenticate (DNS rebinding); the `Origin` must be ours, or a listed one, always (a browser is no way
in); then the credentials, and on whose behalf they are used.
"""

import ipaddress
import time
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from loguru import logger

from common.config.model import GatewaySettings
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply, put, value_of
from gateway.http import bodies
from gateway.http.asked import Asked
from gateway.http.cors import CrossOrigin
from gateway.http.lengths import check_length, is_doubtful
from gateway.http.paths import is_page
from gateway.identity.authenticator import Authenticator
from gateway.identity.denied import Denied
from gateway.identity.fronts import Fronts
from gateway.identity.principal import Principal
from gateway.identity.resource import is_described_at
from gateway.personal import FAULTS

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
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
_LONGEST_NAME: Final = 255
"""Characters of a host's name (RFC 1035, section 2.3.4); of a longer one nothing is remembered."""
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
"""What a browser says of a request that a page of another origin made; of the latter, on another port of this machine."""
_PUBLIC: Final = frozenset({"/health", "/api/v1/health"})
"""Where anybody may ask whether all is well, without credentials; no more than that is said then."""


class Guards:
    """The checks, for one configuration."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.authenticator = Authenticator(settings.auth)
        self._fronts = Fronts(settings.users)
        self._cors = CrossOrigin(settings.cors)
        self._told: dict[Reason, float] = {}
        self._allowed_hosts = frozenset(host.lower() for host in settings.allowed_hosts)

    def take_over(self, settings: GatewaySettings) -> None:
        """Credentials, users, origins and servers are these from the next request on."""
        self.authenticator = Authenticator(settings.auth, self.authenticator)
        self._fronts = Fronts(settings.users)
        self._cors = CrossOrigin(settings.cors)

    def still_admits(self, principal: Principal) -> bool:
        """Whether `principal`, who was let in once, could be let in now: by itself, and on whose behalf it asks."""
        return self.authenticator.still_admits(principal) and self._fronts.still_believe(principal)

    async def check(self, asked: Asked) -> Reply | None:
        """Raises GatewayError where the request may not pass; leaves who sends it in `asked`.

        A browser that asks whether a page of a listed origin may ask is answered here, for it sends no credentials.
        """
        try:
            self._check_site(asked)
            said = self._cors.preflight(asked.head.method, asked.header)
            if said is not None:
                return bodies.empty(204, said)
            await self._authenticate(asked)
            return None
        except GatewayError as error:
            self.tell(asked, error)
            raise

    def _check_site(self, asked: Asked) -> None:
        check_length(asked.header)
        if asked.head.method == "HEAD":
            raise GatewayError(Reason.METHOD_NOT_ALLOWED, "HEAD opens nothing here; use GET")
        if not self.authenticator.is_on:
            self._check_host(asked)
        if not _is_for_everybody(asked):  # a link from another site may lead there; nothing is done or told
            self._check_origin(asked)

    async def _authenticate(self, asked: Asked) -> None:
        path = asked.head.path
        if path.startswith("/.well-known/"):
            self._check_well_known(path)
            return
        if _is_for_everybody(asked):
            return
        is_public = path.rstrip("/") in _PUBLIC
        try:
            who = await self.authenticator.who(asked.values, asked.head.remote_addr)
        except Denied as denied:
            if not is_public:
                asked.denied = denied
                raise
            return
        # Where nothing is anybody's, it does not matter who the user is.
        asked.who = who if is_public else self._fronts.who(who)

    def _check_well_known(self, path: str) -> None:
        """Nobody has to prove anything who asks how to; where that is not told, there is nothing."""
        if self.authenticator.resource is None or not is_described_at(path):
            raise GatewayError(Reason.ROUTE_NOT_FOUND, "there is nothing here")

    def mark(self, asked: Asked, status: int, headers: list[tuple[str, str]]) -> None:
        """Have the `headers` of an answer to `asked` hold what every answer of an API bears."""
        if is_doubtful(asked.header):
            put(headers, "Connection", "close")
        if status in (401, 403):
            challenges = self.authenticator.challenges(status, asked.denied)
            headers += [("WWW-Authenticate", challenge) for challenge in challenges]
        for name, value in self._cors.answer(asked.header("origin")).items():
            before = value_of(headers, name)
            put(headers, name, f"{before}, {value}" if before is not None else value)
        if value_of(headers, "Cache-Control") is None:
            headers.append(("Cache-Control", "no-store"))
        put(headers, "Cross-Origin-Resource-Policy", "same-origin")
        put(headers, "X-Content-Type-Options", "nosniff")

    def tell(self, asked: Asked, error: GatewayError) -> None:
        """Let the operator know whom the gateway turns away, and why; never what was presented.

        A line a second at most for each reason, so that strangers who try tokens do not hide what ails one's own users.
        """
        now = time.monotonic()
        if error.reason in _WORTH_A_LINE and now - self._told.get(error.reason, -TELLING) >= TELLING:
            self._told[error.reason] = now
            why = f"{error.reason}: {error.why}" if isinstance(error, Denied) else error
            address = asked.head.remote_addr
            whom = f"{address}, {asked.who.principal}," if asked.who is not None else address
            logger.warning("turned {} away from {!r}: {}", whom, _shown(asked.head.path), why)

    def _check_host(self, asked: Asked) -> None:
        host = _only(asked, "Host") or ""
        name = _host_name(host)
        is_allowed = name in self._allowed_hosts or host.lower() in self._allowed_hosts
        if not is_allowed and not (len(name) <= _LONGEST_NAME and _is_loopback(name)):
            raise GatewayError(
                Reason.HOST_DENIED,
                "this gateway asks for no credentials, so it answers only to loopback names and to those in "
                "'allowed_hosts' of its configuration",
                host=host[:255],
                key="allowed_hosts",
            )

    def _check_origin(self, asked: Asked) -> None:
        origin = _only(asked, "Origin")
        if self._cors.lists(origin):
            return
        is_from_elsewhere = (_only(asked, "Sec-Fetch-Site") or "").lower() in _ELSEWHERE
        if is_from_elsewhere or (origin is not None and not _same_origin(origin, _only(asked, "Host") or "")):
            raise GatewayError(
                Reason.ORIGIN_DENIED, "a page of another site may not use this gateway", origin=(origin or "")[:255]
            )


def _is_for_everybody(asked: Asked) -> bool:
    """Whether it is the page that is asked for, which is the same for all. No server has its name."""
    return asked.head.method == "GET" and is_page(asked.head.path)


def _shown(path: str) -> str:
    """A path as the log may have it: without the id of a question, which may be all that is needed to answer it."""
    before, found, _ = path.partition("/questions/")
    return (before + found)[:100]


def _only(asked: Asked, name: str) -> str | None:
    """The header `name`, if it was sent; twice is as good as wrong."""
    values = asked.values(name)
    if len(values) > 1:
        raise GatewayError(Reason.BAD_REQUEST, f"the header {name} was sent {len(values)} times", header=name)
    return values[0] if values else None


def _host_name(host: str) -> str:
    """`example.org` of `example.org:3000`, `::1` of `[::1]:3000`, in lower case."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


@lru_cache(maxsize=256)
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
