"""Bytes of a pipe into lines: one JSON-RPC message each, as MCP's stdio transport frames them. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

ENDS: Final = 256
"""Bytes of either end of an oversized line that are kept: its envelope, as most libraries write one."""


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
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> Iterator[bytes | Oversized]:
        """The lines that `data` completes, without their newline and a carriage return before it; no empty ones."""
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
            if not self._head:
                self._head = b"".join((*self._chunks[:ENDS], piece))[:ENDS]
            self._tail = (self._tail + piece[-ENDS:])[-ENDS:]
            self._chunks.clear()
        elif piece:
            self._chunks.append(piece)

    def _take(self) -> bytes | Oversized:
        size, self._size = self._size, 0
        if size > self._limit:
            oversized = Oversized(size, self._head, self._tail)
            self._head = self._tail = b""
            return oversized
        line = b"".join(self._chunks)
        self._chunks.clear()
        return line.removesuffix(b"\r")
