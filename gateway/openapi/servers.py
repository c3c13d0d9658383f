"""What a document is made of: servers, as one caller may know them. No I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from common.config.model import ServerPolicy
from common.personal import HEADER
from gateway.catalog.offers import ANY_OBJECT, Listing, Tool
from gateway.openapi.names import has_a_path, unique_slugs
from gateway.openapi.security import Schemes
from gateway.openapi.values import shown
from gateway.rawjson import members, text

MOST_TOOLS: Final = 5_000
"""Tools of one server that are told."""

LARGEST: Final = 8 * 1024 * 1024
"""Bytes in the schemas of one server's tools that are told; a tool beyond them is told with any object."""

_LONGEST_LIST: Final = 50


@dataclass(frozen=True, slots=True)
class Described:
    """A server. `label` is what people are shown, `headers` are what each call must bear of its user's own."""

    listing: Listing
    label: str | None = None
    headers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that stands in its paths."""
        return self.listing.server

    @property
    def title(self) -> str:
        """What it is called."""
        offer = self.listing.offer
        own = text(members(offer.welcome.server_info).get("title", b"null")) if offer is not None else None
        return self.label or shown(own or "") or self.name

    @property
    def instructions(self) -> str:
        """What it says of itself."""
        offer = self.listing.offer
        return shown(offer.welcome.instructions or "") if offer is not None else ""

    @property
    def failure(self) -> str:
        """Why nobody knows what it offers, or whether it still does; empty where all is well."""
        return shown(self.listing.failure.message) if self.listing.failure is not None else ""

    def left_out(self) -> list[str]:
        """The tools that no path can name; a few of them, where there are many."""
        return [tool.name[:100] for tool in self.listing.tools if not has_a_path(tool.name)][:_LONGEST_LIST]

    def tools(self) -> Iterator[tuple[str, Tool]]:
        """Each tool that a path can name, with the end of its id. The schemas are no larger than can be told."""
        by_name = {tool.name: tool for tool in self.listing.tools[:MOST_TOOLS] if has_a_path(tool.name)}
        slugs = unique_slugs(by_name)
        left = LARGEST
        for name, tool in by_name.items():
            left -= len(tool.input_schema) + len(tool.output_schema)
            yield slugs[name], tool if left >= 0 else Tool(name, tool.title, tool.description, ANY_OBJECT)


def described(listing: Listing, policy: ServerPolicy) -> Described:
    """The server of `listing`, for which `policy` holds."""
    headers = (each.removeprefix(HEADER) for each in policy.personal if each.startswith(HEADER))
    return Described(listing, policy.name, tuple(headers))


@dataclass(frozen=True)
class Frame:
    """What a document has besides the servers in it."""

    url: str
    """Where the gateway is reached; an empty one for wherever the document came from."""
    release: str
    security: Schemes
    every_server: tuple[str, ...]
    """All that the caller may know of, in the document or not: an id is the same in the document of one and of all."""
    is_whole: bool = True
    """Whether it is about the gateway, and not about one of its servers."""
    only: frozenset[str] = frozenset()
    """The tools that are asked for; all, where it is empty."""

    def tools(self, servers: Iterable[Described]) -> Iterator[tuple[Described, str, Tool]]:
        """Each tool that is in the document, and its id, `{server}__{tool}`."""
        slugs = unique_slugs(self.every_server)
        for server in servers:
            for end, tool in server.tools():
                if not self.only or tool.name in self.only:
                    yield server, f"{slugs[server.name]}__{end}", tool

    def info(self, servers: Iterable[Described]) -> dict[str, str]:
        """The document's `info`; a server that fails is told of in it."""
        known = list(servers)
        title = "mcp-gateway" if self.is_whole or len(known) != 1 else known[0].title
        failing = [f"\n\nThe server '{each.name}' is failing: {each.failure}" for each in known if each.failure]
        text = "The tools of MCP servers, each session with processes of its own." + "".join(failing)
        return {"title": title, "version": self.release, "description": text}

    @property
    def addresses(self) -> list[dict[str, str]]:
        """The document's `servers`."""
        return [{"url": self.url or "/"}]
