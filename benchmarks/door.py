"""What every way into a program has in common: the messages, and how an answer is told from what is none."""

import itertools
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, cast

from benchmarks.children import Child

VERSION: Final = "2025-06-18"
HELLO: Final = b'{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"benchmark","version":"1"}}'
INITIALIZED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'

# One row of numbers for all sessions: where a program gives one session's answers to another, nobody takes them for
# theirs. They begin here so that all have as many digits.
numbers: Final = itertools.count(1_000_001)


class Wrong(Exception):
    """The answer is not what it should be."""


@dataclass(frozen=True)
class Target:
    """Where a program listens, what stands behind it, and what it calls the child's tool."""

    port: int
    paths: tuple[str, ...]
    """One, or two where a session is got at the first and used at the second; `{id}` stands for the session's id."""
    child: Child
    tool: str


def request(number: int, method: bytes, params: bytes = b"{}") -> bytes:
    """A JSON-RPC request."""
    return b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}' % (number, method, params)


class Door(ABC):
    """One session. `foreign` counts messages that were another session's."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.foreign = 0

    async def open(self) -> None:
        """Open the session, as far as the list of tools. Raises Wrong, Closed and OSError."""
        await self._hello(next(numbers))
        number = next(numbers)
        tools = result(await self._ask(number, request(number, b"tools/list"))).get("tools", [])
        if self.target.tool not in (tool["name"] for tool in tools):
            raise Wrong(f"no tool {self.target.tool} among {len(tools)}")

    async def call(self) -> None:
        """One call, and its answer. Raises Wrong, Closed and OSError."""
        number = next(numbers)
        text = f"n{number}"
        params = b'{"name":"%b","arguments":%b}' % (self.target.tool.encode(), self.target.child.call(text))
        answer = await self._ask(number, request(number, b"tools/call", params))
        # The text is another one each time, so it is enough to look for it.
        if self.target.child.expected(text) not in answer or b'"isError":true' in answer:
            raise Wrong(short(answer))

    @abstractmethod
    async def _hello(self, number: int) -> None:
        """`initialize` and `notifications/initialized`."""

    @abstractmethod
    async def _ask(self, number: int, message: bytes) -> bytes:
        """The bytes of the message that answers the request with this number."""

    @abstractmethod
    def vanish(self) -> None:
        """Hang up without a word."""

    async def close(self) -> None:  # noqa: B027
        """End the session, where the door has a way to say so."""

    @property
    def reconnects(self) -> int:
        """How many connections were made anew."""
        return 0


def answers(message: bytes, number: int) -> bool:
    """Whether a message answers the request with this number, without reading all of it: no other has such an id."""
    return b'"id":%d' % number in message or b'"id": %d' % number in message


def result(message: bytes) -> dict[str, Any]:
    """The result in a message that is read whole. Raises Wrong where it is an error."""
    answer = json.loads(message)
    if "result" not in answer:
        raise Wrong(short(message))
    return cast("dict[str, Any]", answer["result"])


def short(text: bytes) -> str:
    return text[:160].decode("utf-8", "replace").strip()
