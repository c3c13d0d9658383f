"""A request, as every check and every door sees it, whoever carried it here. No framework.

What clients say with each request in the same words is read once: it is remembered by what it says, never by whose it is.
"""

from collections.abc import AsyncIterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final, overload
from urllib.parse import parse_qsl

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header
from werkzeug.sansio.utils import get_content_length

from gateway.admittance import Standing
from gateway.errors import GatewayError
from gateway.hot.exchange import Head
from gateway.identity.denied import Denied
from gateway.identity.who import Who

if TYPE_CHECKING:
    from gateway.http.checks import Checks

_REMEMBERED: Final = 256
_LONGEST: Final = 256
"""Headers of one kind that are remembered, and how many characters each may have."""

ACTIONS: Final = "actions"
_SPEAKS_JSON_RPC: Final = frozenset({"front", "sse", "streamable", "websocket"})


class Asked:
    """A request for a `door`, which names a `server` or none; `body` is all of it, or what is still to come.

    The `checks` have a say about it, and leave here what they found.
    """

    __slots__ = (
        "_fields", "_query", "body", "checks", "denied", "door", "endpoint", "head", "refused", "server", "standing",
        "who",
    )  # fmt: skip

    def __init__(
        self,
        head: Head,
        body: bytes | AsyncIterable[bytes],
        checks: "Checks",
        *,
        door: str | None = None,
        server: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        self.head = head
        self.body = body
        self.checks = checks
        self.door = door
        self.endpoint = endpoint
        """Which of the door's handlers it is for, as the log may have it."""
        self.server = server
        self.who: Who | None = None
        """Who sends it, once that is known."""
        self.denied: Denied | None = None
        """Why nobody was proved."""
        self.standing: Standing | None = None
        """How near its sender is to a limit."""
        self.refused: GatewayError | None = None
        """Why what it asks for may not be."""
        fields: dict[str, list[str]] = {}
        for name, value in head.headers:
            if name in fields:
                fields[name].append(value)
            else:
                fields[name] = [value]
        self._fields = fields
        self._query: Query | None = None

    def __repr__(self) -> str:
        return f"<Asked {self.head.method} of {self.door}>"

    @property
    def sender(self) -> Who:
        """Who sends it. The guards have let them in."""
        assert self.who is not None
        return self.who

    @property
    def speaks_json_rpc(self) -> bool:
        """Whether its client takes an error for one in JSON-RPC alone."""
        return self.door in _SPEAKS_JSON_RPC

    @property
    def is_action(self) -> bool:
        """Whether it came to the door that answers nothing but 200, from somebody who was let in."""
        return self.door == ACTIONS and self.who is not None

    def values(self, name: str) -> list[str]:
        """All that was sent of the header `name`, however that is written."""
        return self._fields.get(name.lower(), [])

    def header(self, name: str) -> str | None:
        """The first value of the header `name`, which is given in lower case."""
        values = self._fields.get(name)
        return values[0] if values is not None else None

    @property
    def mimetype(self) -> str:
        """The type of the body, without parameters; empty where it is not told."""
        return _remembered_type(self.header("content-type") or "")

    @property
    def content_length(self) -> int | None:
        """How long the body is, as the client says; None where it does not."""
        return get_content_length(self.header("content-length"), self.header("transfer-encoding"))

    @property
    def query(self) -> "Query":
        """The parameters in the query."""
        if self._query is None:
            self._query = Query(self.head.query)
        return self._query

    def quality(self, kind: str) -> float:
        """How much its client would like an answer of that type, from 0 for not at all to 1."""
        return quality(self.header("accept") or "", kind)

    def accepts(self, kind: str) -> bool:
        """Whether its client takes answers of this type. One that sends no Accept, or `*/*`, takes all of them."""
        return self.quality(kind) > 0


class Query:
    """The parameters in the query `text`, which is in latin-1, in order; the first value counts where there are more."""

    __slots__ = ("_values",)

    def __init__(self, text: str) -> None:
        text = text.encode("latin-1").decode(errors="replace")
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote"):
            values.setdefault(name, []).append(value)
        self._values = values

    def __repr__(self) -> str:
        return f"<Query: {len(self._values)} parameters>"

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of `name`."""
        values = self._values.get(name)
        return values[0] if values is not None else default

    def all(self, name: str) -> list[str]:
        """Every value of `name`."""
        return self._values.get(name, [])

    def items(self) -> Iterator[tuple[str, str]]:
        """Each parameter, and its first value."""
        return ((name, values[0]) for name, values in self._values.items())

    def lists(self) -> dict[str, list[str]]:
        """Each parameter, and all its values."""
        return self._values


def _type(header: str) -> str:
    return parse_options_header(header)[0].lower()


def _quality(header: str, kind: str) -> float:
    accepted = parse_accept_header(header, MIMEAccept)
    return float(accepted.quality(kind)) if accepted else 1.0


_kept_type = lru_cache(_REMEMBERED)(_type)
_kept_quality = lru_cache(_REMEMBERED)(_quality)


def _remembered_type(header: str) -> str:
    return _kept_type(header) if len(header) <= _LONGEST else _type(header)


def quality(header: str, kind: str) -> float:
    """How much a client that sends this `Accept`, or an empty one for none, would like an answer of that type."""
    return _kept_quality(header, kind) if len(header) <= _LONGEST else _quality(header, kind)
