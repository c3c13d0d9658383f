"""`/openapi.json`, `/openapi.yaml`, and the same below `/api/{server}`: what the caller may use, as OpenAPI has it."""

import re
from functools import partial
from importlib.metadata import version as version_of
from typing import Final, cast
from urllib.parse import quote

from quart import Blueprint, request

from common.config.model import GatewaySettings
from common.reasons import Reason
from gateway.admittance import OPEN, Use
from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError, bad_request, mebibytes
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies
from gateway.http.documents import Documents, Format, Profile, Wanted
from gateway.http.quarted import add, asked
from gateway.openapi.actions import LARGEST
from gateway.openapi.document import Version
from gateway.openapi.gpt import hindrance
from gateway.openapi.security import schemes_of
from gateway.openapi.servers import Frame, described
from gateway.personal import user_of
from gateway.sessions import Sessions
from gateway.toollists import LIST

TYPES: Final[dict[Format, str]] = {"json": bodies.JSON, "yaml": "application/yaml"}
"""RFC 9512 has the latter."""

VERSIONS: Final = ("3.1", "3.0")
PROFILES: Final = ("actions", "gpt")
_HOST: Final = re.compile(r"[A-Za-z0-9._~-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_TRUE: Final = frozenset({"", "true", "1", "yes"})


class OpenApiDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions, catalog: Catalog, settings: GatewaySettings) -> None:
        self._sessions = sessions
        self._catalog = catalog
        self._documents = Documents()
        self.take_over(settings)

    def take_over(self, settings: GatewaySettings) -> None:
        """Documents tell of these settings from now on."""
        self._security = schemes_of(settings.auth)
        self._url = settings.publicity.public_url

    def blueprint(self) -> Blueprint:
        """The four paths."""
        routes = Blueprint("openapi", __name__)
        for format_ in TYPES:
            for name, path, handler in (("whole", "", self.whole), ("one", "/api/<server:server>", self.one)):
                add(routes, f"{path}/openapi.{format_}", f"{name}_{format_}", partial(handler, format_), "GET")
        return routes

    async def whole(self, format_: Format) -> Reply:
        """All that the caller may use."""
        known = self._known()
        fresh = await self._admit(*known)
        listings = await self._catalog.listings(asked().sender, fresh=fresh)
        return await self._answer(listings, format_, is_whole=True)

    async def one(self, format_: Format, server: str) -> Reply:
        """What the caller may use of one server."""
        fresh = await self._admit(server)
        listing = await self._catalog.listing(server, asked().sender, fresh=fresh)
        return await self._answer([listing], format_, is_whole=False)

    def _known(self) -> tuple[str, ...]:
        """The servers that the caller may know of."""
        allowed = self._sessions.oversight.permission
        return tuple(server for server in self._sessions.policies if allowed(asked().sender, server).server)

    async def _admit(self, *servers: str) -> bool:
        """Whether the servers are to be asked anew, which counts as a session with each. Raises GatewayError."""
        fresh = _flag("refresh")
        await admitted.admit(asked(), Use(servers[0] if len(servers) == 1 else "", LIST))
        for server in servers if fresh else ():
            await admitted.admit(asked(), Use(server, OPEN))
        return fresh

    async def _answer(self, listings: list[Listing], format_: Format, *, is_whole: bool) -> Reply:
        only = frozenset(asked().query.all("tool"))
        _check_tools(only, listings)
        frame = Frame(
            url=self._url or _asked_at(),
            release=version_of("mcp-gateway"),
            security=self._security,
            every_server=self._known(),
            is_whole=is_whole,
            only=only,
        )
        profile = cast("Profile", _one_of("profile", PROFILES))
        wanted = Wanted(
            tuple(described(each, self._sessions.policy(each.server)) for each in listings),
            frame,
            format_,
            cast("Version", _one_of("version", VERSIONS) or VERSIONS[0]),
            profile,
            bool(profile == "actions" and user_of(asked().sender.principal)),
        )
        if profile == "gpt" and (sentence := hindrance(wanted.servers, frame)):
            raise bad_request(sentence, parameter="profile")
        made = await self._documents.get(wanted)
        if profile == "actions" and len(made.body) > LARGEST:
            raise _too_large(len(made.body))
        return _conditional(made.body, f'"{made.tag}"', TYPES[format_])


def _conditional(body: bytes, tag: str, type_: str) -> Reply:
    """The document, or nothing for a client that has it (RFC 9110, section 13.1.2)."""
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.if_none_match.contains_weak(tag.strip('"')):
        return bodies.empty(304, headers)
    return Reply(200, body, [("Content-Type", type_), *headers.items()])


def _asked_at() -> str:
    """The address that the request was sent to, below which a program may have mounted the gateway.

    What a proxy says of it, anybody could say, and a path is not told.
    """
    host = request.host
    return f"{request.scheme}://{host}{quote(request.root_path)}" if _HOST.fullmatch(host) else ""


def _one_of(parameter: str, known: tuple[str, ...]) -> str:
    """What the query says; empty where it says nothing. Raises GatewayError for anything else than `known`."""
    value = asked().query.get(parameter, "")
    if value and value not in known:
        expected = " or ".join(f"'{each}'" for each in known)
        raise bad_request(f"expected '?{parameter}=' with {expected}", parameter=parameter, received=value[:64])
    return value


def _flag(parameter: str) -> bool:
    value = asked().query.get(parameter)
    if value is not None and value.lower() not in _TRUE | {"false", "0", "no"}:
        raise bad_request(f"expected '?{parameter}=true'", parameter=parameter, received=value[:64])
    return value is not None and value.lower() in _TRUE


def _check_tools(only: frozenset[str], listings: list[Listing]) -> None:
    """Raises GatewayError for a tool that no server has."""
    for name in sorted(only - {tool.name for listing in listings for tool in listing.tools}):
        raise GatewayError(Reason.TOOL_NOT_FOUND, "no server that is asked about has such a tool", tool=name[:128])


def _too_large(size: int) -> GatewayError:
    return bad_request(
        f"the document has {mebibytes(size)}, and LibreChat takes less than {mebibytes(LARGEST)}: ask for that of one "
        "server at /api/{server}/openapi.json, or name the tools that are wanted with '?tool=', once for each",
        bytes=size,
        maxBytes=LARGEST,
    )
