"""A request and its answer, as the hot doors have them, whoever carries them: see `gateway.hot`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

Body = bytes | AbstractAsyncContextManager[AsyncIterator[bytes]]
"""All of a body, or parts of it as they come. Whoever carries such an answer enters the manager, and leaves it also when
the client hangs up or takes nothing more; one that is never begun it enters and leaves all the same.
"""

TAKING: Final = 60.0
"""Seconds in which a client has to take an answer that is there as a whole, as Quart gives it."""

SENDING: Final = 600.0
"""The same for one in parts whose length is known. A stream has all the time that there is."""


async def paced(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """`parts`, one after another, and others get their turn after each.

    Who sends them waits only where the connection is full. One that takes megabytes at once would have all of them.
    """
    for part in parts:
        yield part
        await asyncio.sleep(0)


class Parts(AbstractAsyncContextManager[AsyncIterator[bytes]]):
    """A body that is not made, or not put together, before it is sent."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    async def __aenter__(self) -> AsyncIterator[bytes]:
        return paced(self._parts)

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left of it."""


class Head(msgspec.Struct, frozen=True):
    """All of a request but its body. `path` is percent-decoded, and has no query; `query` is as it came, without the `?`.

    `headers` are in order, their names in lower case, both in latin-1.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    remote_addr: str
    http_version: str

    def all(self, name: str) -> list[str]:
        """Every value of the header `name`, which is given in lower case."""
        return [value for each, value in self.headers if each == name]

    def get(self, name: str) -> str | None:
        """The first value of the header `name`, which is given in lower case."""
        for each, value in self.headers:
            if each == name:
                return value
        return None


@dataclass(slots=True)
class Reply:
    """An answer. `headers` lack `Content-Length`, `Transfer-Encoding` and `Date`, which are the carrier's."""

    status: int
    body: Body = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    length: int | None = None
    """How many bytes a body in parts has, where that is known: its `Content-Length`."""

    def put(self, name: str, value: str) -> None:
        """Have it bear this header, in place of any other of that name."""
        put(self.headers, name, value)


def value_of(headers: list[tuple[str, str]], name: str) -> str | None:
    """The first value of the header `name`."""
    wanted = name.lower()
    for each, value in headers:
        if each.lower() == wanted:
            return value
    return None


def put(headers: list[tuple[str, str]], name: str, value: str) -> None:
    """Have `headers` hold this one, in place of any other of that name."""
    if value_of(headers, name) is not None:
        headers[:] = [each for each in headers if each[0].lower() != name.lower()]
    headers.append((name, value))


Answering = Callable[[bytes], Awaitable[Reply | None]]
"""Given its body, the answer to a request; None where it is no hot one after all, and then nothing was done about it.

Raises nothing. Cancellation means that the client hung up.
"""


class HotApp(Protocol):
    """What answers hot requests."""

    def takes(self, head: Head) -> Answering | None:
        """What answers a request with this head, if that may be a hot one. Costs little, asks nobody, does nothing."""
