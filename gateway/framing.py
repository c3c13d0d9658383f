"""Bytes of a pipe into lines: one JSON-RPC message each, as MCP's stdio transport frames them. No I/O.

A large line is not put together: it comes out in the pieces in which it came (`gateway.large`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.jsonrpc import ENDS
from gateway.large import LARGE, LargeLine, LargeLineBegun


@dataclass(frozen=True)
class Oversized:
    """A line longer than the limit; its bytes were let go as they came, but for some at both ends."""

    size: int
    head: bytes = field(default=b"", compare=False)
    tail: bytes = field(default=b"", compare=False)


class LineSplitter:
    """Cuts what is fed to it at newlines, and never keeps more than `limit` bytes of a line that is not complete."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._large: LargeLineBegun | None = None
        """What the chunks have become, once they are large."""
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> Iterator[bytes | LargeLine | Oversized]:
        """The lines that `data` completes, without their newline and a carriage return before it; no empty ones."""
        if self._size and b"\n" not in data:
            self._add(data)
            return
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._add(piece)
            line = self._take()
            if line:
                yield line
        self._add(rest)

    def rest(self) -> int:
        """How many bytes wait for their newline."""
        return self._size

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._let_go(piece)
        elif self._large is not None:
            self._large.add(piece)
        elif piece:
            self._chunks.append(piece)
            if self._size > LARGE:
                self._large = LargeLineBegun(self._chunks)
                self._chunks.clear()

    def _let_go(self, piece: bytes) -> None:
        """The line is over the limit, and goes on with `piece`."""
        if self._large is not None:
            self._head, self._tail, self._large = self._large.head, self._large.tail, None
        elif not self._head:
            begun = b"".join(self._chunks)
            self._head, self._tail = (begun[:ENDS] + piece[:ENDS])[:ENDS], begun[-ENDS:]
        self._tail = (self._tail + piece[-ENDS:])[-ENDS:]
        self._chunks.clear()

    def _take(self) -> bytes | LargeLine | Oversized:
        size, self._size = self._size, 0
        if size > self._limit:
            oversized = Oversized(size, self._head, self._tail)
            self._head = self._tail = b""
            return oversized
        if self._large is not None:
            large, self._large = self._large, None
            return large.finish()
        line = b"".join(self._chunks)
        self._chunks.clear()
        return line.removesuffix(b"\r")
