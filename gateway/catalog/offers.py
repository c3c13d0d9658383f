"""What a server offers, as its child tells it. No I/O.

Of each thing no more is read than is needed to tell it from the others; the rest stays the bytes that they were, and is
empty where there is none.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw

from gateway.errors import GatewayError

ANY_OBJECT: Final = Raw(b'{"type":"object"}')
"""The input schema of a tool that gives none."""


class Tool(msgspec.Struct, frozen=True, rename="camel"):
    """A tool (specification: server, Tools). The schemas are JSON Schema 2020-12 unless they say otherwise."""

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: Raw = ANY_OBJECT
    output_schema: Raw = Raw(b"")
    annotations: Raw = Raw(b"")


class Resource(msgspec.Struct, frozen=True, rename="camel"):
    """A resource (specification: server, Resources)."""

    uri: str
    name: str = ""
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    annotations: Raw = Raw(b"")


class Template(msgspec.Struct, frozen=True, rename="camel"):
    """A resource template; `uri_template` is one of RFC 6570."""

    uri_template: str
    name: str = ""
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Raw = Raw(b"")


class Prompt(msgspec.Struct, frozen=True, rename="camel"):
    """A prompt (specification: server, Prompts). `arguments` is a list of names, descriptions, and what is required."""

    name: str
    title: str | None = None
    description: str | None = None
    arguments: Raw = Raw(b"")


class Welcome(msgspec.Struct, frozen=True, rename="camel"):
    """What a child says of itself in its answer to `initialize`."""

    protocol_version: str = ""
    capabilities: dict[str, Raw] = {}
    server_info: Raw = Raw(b"{}")
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """All that one child of a server offers."""

    welcome: Welcome
    tools: tuple[Tool, ...]
    resources: tuple[Resource, ...]
    templates: tuple[Template, ...]
    prompts: tuple[Prompt, ...]
    asked: datetime
    """When it was asked, in UTC."""
    took: float
    """Seconds from the request for a child until its answer to `initialize`."""
    size: int = 0
    """About how many bytes it takes to keep it."""
    losses: tuple[str, ...] = ()
    """What is missing here, and why, in words."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What one caller may know of one server: an `offer`, of which only what is theirs is left, or why there is none.

    Both are there where a server that once told what it offers has since failed.
    """

    server: str
    offer: Offer | None
    failure: GatewayError | None = None

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that the caller may use; none where nobody knows."""
        return self.offer.tools if self.offer is not None else ()
