"""What the rules are given besides an entry: the gateway that it may point to, as far as it is known. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from common.config.source import KeyPath
from doctor.findings import Verdict
from doctor.librechat.document import Entry

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_DOORS = frozenset({"mcp", "sse", "ws"})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a rule says of an entry, and of which of its keys."""

    path: KeyPath
    verdict: Verdict
    check: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class ServerFacts:
    """What concerns LibreChat of one of the gateway's servers; times in seconds."""

    start_timeout: float = 24.0
    request_timeout: float = 300.0
    headers: tuple[str, ...] = ()
    """The headers that carry each user's own credentials."""
    tools: tuple[str, ...] | None = None
    """The names of its tools, where the gateway was asked."""


@dataclass(frozen=True)
class GatewayFacts:
    """The gateway. `hosts` are the names, in lower case, under which it is known to be reached."""

    port: int = 3000
    hosts: frozenset[str] = _LOCAL
    servers: Mapping[str, ServerFacts] = field(default_factory=dict)
    user_header: str | None = None
    needs_credentials: bool = False
    challenges_bearer: bool = False
    """Whether it sends who has no credentials to an OAuth login."""

    def server_of(self, entry: Entry) -> tuple[str, ServerFacts | None] | None:
        """The name and the facts of the server to which `entry` points; None where it points elsewhere.

        The facts are None where it points to this gateway, and there is no such server. Behind a proxy the gateway has
        another address and a path in front: there a path that ends in a server's name and a door is taken for it.
        """
        url = split(entry.url)
        if url is None:
            return None
        *before, last = [each for each in url.path.split("/") if each] or [""]
        name = before[-1] if before and last in _DOORS else last
        here = (url.hostname or "").lower() in self.hosts and port_of(url) == self.port
        if name in self.servers and (here or last in _DOORS):
            return name, self.servers[name]
        return (name, None) if here else None


def split(url: str) -> SplitResult | None:
    """The parts of `url`; None where it is no URL, or its host or port is not there or still to be filled in."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        return None
    if not parts.hostname or re.search(r"[${}]", parts.netloc):
        return None
    return parts


def port_of(url: SplitResult) -> int:
    """The port, also where the URL leaves it to the scheme."""
    return url.port or _PORTS.get(url.scheme, 0)
