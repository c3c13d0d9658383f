"""Bytes that stay in the pieces in which they came, so that a large message is never put together. No I/O."""

from collections.abc import Iterable, Iterator


class Rope:
    """Many bytes, in pieces. Never changed once it is made."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = tuple(pieces)
        self._size = sum(map(len, self._pieces))

    def __repr__(self) -> str:
        return f"<Rope: {self._size} bytes in {len(self._pieces)} pieces>"

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        """All of it in one, which costs as much again."""
        return b"".join(self._pieces)

    @property
    def pieces(self) -> Iterator[bytes]:
        """Its pieces, in order; none of them is empty."""
        return (piece for piece in self._pieces if piece)

    def part(self, start: int, stop: int) -> "Rope":
        """What stands from `start` up to `stop`. Of the pieces at its ends, what is left is a copy."""
        return Rope(self._cut(start, stop))

    def _cut(self, start: int, stop: int) -> Iterator[bytes]:
        at = 0
        for piece in self._pieces:
            after = at + len(piece)
            if at < stop and after > start:
                whole = at >= start and after <= stop
                yield piece if whole else piece[max(start - at, 0) : stop - at]
            at = after
