"""Documents that were made, kept while what they tell is the same.

One is made at a time, in a thread: a thousand tools take a moment, in which the gateway goes on with its messages.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Literal

import anyio
import anyio.to_thread
import msgspec

from gateway.openapi.actions import actions
from gateway.openapi.document import Version, document
from gateway.openapi.gpt import gpt
from gateway.openapi.servers import Described, Frame

MOST: Final = 32
"""Documents that are kept: callers with other rights get others, and so does each address."""

MOST_BYTES: Final = 32 * 1024 * 1024
"""What they may have together."""

Format = Literal["json", "yaml"]
Profile = Literal["", "actions", "gpt"]


def write(value: object, format_: Format) -> bytes:
    """`value` as JSON or as YAML."""
    if format_ == "json":
        return msgspec.json.encode(value)
    from gateway.openapi import yamltext  # a library that few gateways ever need

    return yamltext.dump(value)


@dataclass(frozen=True)
class Wanted:
    """A document that somebody asks for; `profile` says for which program, and is empty for the one that is for any."""

    servers: tuple[Described, ...]
    frame: Frame
    format: Format
    version: Version
    profile: Profile = ""
    is_person: bool = False

    def made(self) -> bytes:
        """The document."""
        if self.profile == "actions":
            return write(actions(self.servers, self.frame, is_person=self.is_person), self.format)
        if self.profile == "gpt":
            return write(gpt(self.servers, self.frame), self.format)
        return write(document(self.servers, self.frame, self.version), self.format)

    def key(self) -> Hashable:
        """Equal for two that become the same bytes, as long as the tools of both are kept."""
        told = tuple((*_seen(each), each.label, each.headers) for each in self.servers)
        return told, repr(self.frame), self.format, self.version, self.profile, self.is_person


def _seen(server: Described) -> tuple[Hashable, ...]:
    offer = server.listing.offer
    return server.name, server.failure, id(offer and offer.welcome), *(id(tool) for tool in server.listing.tools)


@dataclass(frozen=True, slots=True)
class Made:
    """A document: its bytes, what tells it from others, and what it was made of."""

    body: bytes
    tag: str
    wanted: Wanted


class Documents:
    """The documents that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Made] = OrderedDict()
        self._making = anyio.Lock()

    def __repr__(self) -> str:
        return f"<Documents: {len(self._kept)}>"

    async def get(self, wanted: Wanted) -> Made:
        """The document; made now, if none is kept.

        Cancellation waits for one that is being made, or many who hang up at once would have as many threads at work.
        """
        key = wanted.key()
        async with self._making:
            if key not in self._kept:
                body = await anyio.to_thread.run_sync(wanted.made)
                self._keep(key, Made(body, hashlib.sha256(body).hexdigest()[:32], wanted))
            self._kept.move_to_end(key)
            return self._kept[key]

    def _keep(self, key: Hashable, made: Made) -> None:
        self._kept[key] = made
        while len(self._kept) > 1 and (len(self._kept) > MOST or self._size() > MOST_BYTES):
            self._kept.popitem(last=False)

    def _size(self) -> int:
        return sum(len(each.body) for each in self._kept.values())
