"""Which requests are hot, and their answers: what clients ask for all day, in the ways in which most ask.

Nothing is decided here but that. The checks and the doors are those of every other request (`gateway.http`), so a hot
request is answered as it would be elsewhere; it only gets there by a shorter way. What is rare takes the longer one:
answers as bytes, calls with a key, and whatever is of revision 2026-07-28.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Final

import msgspec

from common.config.values import RESERVED_NAMES
from gateway.errors import GatewayError
from gateway.hot.exchange import Answering, Head, Reply
from gateway.http.asked import Asked, quality
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.checks import Checks
from gateway.http.front import Front
from gateway.http.mcp import SESSION_HEADER, SESSION_QUERY
from gateway.http.rest import RestDoor
from gateway.http.sse import SseDoor
from gateway.http.streamable import StreamableDoor
from gateway.modern.envelope import has_envelope
from gateway.rest.wishes import KEY
from gateway.specification import MCP_PROTOCOL_VERSION_HEADER as _VERSION_HEADER
from gateway.specification import MODERN_PROTOCOL_VERSIONS

_SERVER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOOL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
"""Names that stand in a path as they are, and that no router reads in two ways. Others take the longer way."""

_REMEMBERED: Final = 256
_LONGEST: Final = 256
"""Paths of which is remembered what they name, and how many characters each may have."""

_ID_PATH: Final = "/api/sessionid"
"""Where an id for calls over REST comes from."""

_VERSIONS: Final = frozenset({"1.1", "2", "3"})
_SESSION_HEADER: Final = SESSION_HEADER.lower()
_KEY: Final = KEY.lower()
_NOT_HOT: Final = frozenset({"upgrade", "expect", "content-encoding", _KEY})
"""Headers with which nearly nobody asks. Nor does anybody send one twice."""
_AS_BYTES: Final = re.compile("content|raw")
"""In a query: parameters with which an answer may be no JSON."""

Headers = Mapping[str, str]
"""By their names; none of them was sent twice."""

_Handler = Callable[[Asked], Awaitable[Reply]]


class _Route(msgspec.Struct, frozen=True):
    door: str
    endpoint: str
    server: str | None
    handler: _Handler
    is_shared: bool = True
    """Whether clients of revision 2026-07-28 come there, too."""


class HotDoors:
    """A `gateway.hot.exchange.HotApp` over these doors, whose requests pass the `checks`."""

    def __init__(
        self, checks: Checks, *, front: Front, streamable: StreamableDoor, sse: SseDoor, rest: RestDoor
    ) -> None:
        self._checks = checks
        self._rest = rest
        self._ids = {"GET": ("rest.open", rest.open), "DELETE": ("rest.close", rest.close)}
        self._front = {"POST": front.post, "GET": front.get, "DELETE": streamable.delete}
        self._below = {
            ("POST", "mcp"): ("streamable", streamable.post),
            ("GET", "mcp"): ("streamable", streamable.get),
            ("DELETE", "mcp"): ("streamable", streamable.delete),
            ("POST", "message"): ("sse", sse.post),
            ("GET", "sse"): ("sse", sse.get_sse),
        }

    def __repr__(self) -> str:
        return "<HotDoors>"

    def takes(self, head: Head) -> Answering | None:
        """What answers a request with this head, if that may be a hot one. Raises nothing."""
        route = self._route(head)
        return partial(self._answer, head, route) if route is not None else None

    async def _answer(self, head: Head, route: _Route, body: bytes) -> Reply | None:
        if route.is_shared and has_envelope(body):
            return None
        asked = Asked(head, body, self._checks, door=route.door, server=route.server, endpoint=route.endpoint)
        try:
            reply = await self._checks.check(asked) or await route.handler(asked)
        except GatewayError as error:
            reply = self._checks.failed(asked, error)
        except Exception as error:  # noqa: BLE001 - as the framework does, for its own
            reply = self._checks.faulty(asked, error)
        self._checks.mark(asked, reply.status, reply.headers)
        return reply

    def _route(self, head: Head) -> _Route | None:
        headers = dict(head.headers)
        if len(headers) < len(head.headers) or not _NOT_HOT.isdisjoint(headers):
            return None
        if head.http_version not in _VERSIONS or not head.query.isascii():
            return None
        if head.path == _ID_PATH:
            return self._id(head, headers)
        place = _place(head.path) if len(head.path) <= _LONGEST else None
        if place is None:
            return None
        server, last, tool = place
        return self._call(head, headers, server, tool) if tool else self._message(head, headers, server, last)

    def _message(self, head: Head, headers: Headers, server: str, last: str) -> _Route | None:
        method = head.method
        if last:
            door, handler = self._below.get((method, last), ("", None))
        else:
            door, handler = "front", self._front.get(method)
        if handler is None or (method == "GET" and not _has_no_body(headers)):
            return None
        if door == "sse" and method == "POST" and not (_SESSION_HEADER in headers or SESSION_QUERY in head.query):
            return None
        if headers.get(_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS:
            return None
        return _Route(door, f"{door}.{method.lower()}", server, partial(handler, server=server), door != "sse")

    def _id(self, head: Head, headers: Headers) -> _Route | None:
        endpoint, handler = self._ids.get(head.method, ("", None))
        if handler is None or not _has_no_body(headers):
            return None
        return _Route("rest", endpoint, None, handler, is_shared=False)

    def _call(self, head: Head, headers: Headers, server: str, tool: str) -> _Route | None:
        if head.method != "POST" or SESSION_QUERY not in head.query:
            return None
        if _AS_BYTES.search(head.query) or not _is_plain(headers):
            return None
        return _Route("rest", "rest.call", server, partial(self._rest.call, server=server, tool=tool), is_shared=False)


@lru_cache(_REMEMBERED)
def _place(path: str) -> tuple[str, str, str] | None:
    """The server, what stands behind it, and the tool, where the path is that of a call over REST; None for others."""
    match path.split("/"):
        case ["", "api", server, tool]:
            found = (server, "", tool) if _TOOL.fullmatch(tool) else None
        case ["", server, last]:
            found = (server, last, "")
        case ["", server]:
            found = (server, "", "")
        case _:
            return None
    return found if server not in RESERVED_NAMES and _SERVER.fullmatch(server) else None


def _has_no_body(headers: Headers) -> bool:
    """Whether there is nothing to be read of a GET, for which its stream would wait."""
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


def _is_plain(headers: Headers) -> bool:
    """Whether its answer is wanted as JSON, above all."""
    accept = headers.get("accept", "")
    as_json = quality(accept, JSON)
    return as_json >= 1 and as_json >= quality(accept, EVENT_STREAM)
