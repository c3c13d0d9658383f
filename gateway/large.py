"""Lines that are too long to be handled in one go, and the answers in them. No I/O.

Reading a line of many megabytes as one would stop everybody else for as long as it takes, and putting it together, and
again with another id, costs its size each time. So it stays a rope of the pieces in which it came; it is checked piece by
piece (`gateway.outline`); and of an answer no more than its two ends is taken apart, for there its envelope stands, as
every library writes it. What is written otherwise, and what is no answer, is read as a whole, like a short line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
from msgspec import Raw

from gateway.jsonrpc import ABSENT, ENDS, Malformed, NotJson, on_one_line
from gateway.outline import Outline
from gateway.ropes import Rope

PIECE: Final = 64 * 1024
"""Bytes of a piece: what is read from a pipe at once. Smaller ones are put together."""

LARGE: Final = PIECE
"""Bytes above which a line is handled in pieces: what is read in one go is a line like any other."""

_VERSION: Final = rb'"jsonrpc"\s*:\s*"2\.0"'
_ID: Final = rb'"id"\s*:\s*\d{1,18}'
_MEMBER: Final = rb"(?:%b|%b)" % (_VERSION, _ID)
_HEAD: Final = re.compile(rb'\s*\{\s*(?:%b\s*,\s*)*"(result|error)"\s*:\s*' % _MEMBER)
_TAIL: Final = re.compile(rb"\s*(?:,\s*%b\s*)*\}\s*\Z" % _MEMBER)
_VERSIONS: Final = re.compile(_VERSION)
_ASKS: Final = "input_required"
_IDS: Final = re.compile(rb'"id"\s*:\s*(\d+)')


class _Members(msgspec.Struct):
    result: Raw = ABSENT
    error: Raw = ABSENT


class _Result(msgspec.Struct):
    isError: bool = False  # noqa: N815 - the protocol's spelling
    resultType: str = ""  # noqa: N815


_members_decoder: Final = msgspec.json.Decoder(_Members)
_WORDS: Final = (b"isError", b"resultType")
_NOTHING: Final = _Result()
_UNKNOWN: Final = _Result(resultType=_ASKS)
"""Of a result that has another form; whoever asks for more has to read it as a whole."""


@dataclass(frozen=True, slots=True, eq=False)
class LargeAnswer:
    """A response whose `body`, its result or its error, is long."""

    id: bytes
    body: Rope
    is_error: bool = False
    tool_failed: bool = False
    """Whether the result says of itself that the tool failed."""
    asks: bool = False
    """Whether it may ask something of its client, as those of revision 2026-07-28 do."""

    def __len__(self) -> int:
        return len(self._opening) + len(self.body) + 1

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def pieces(self) -> Iterator[bytes]:
        """The message on one line, without a newline at its end; each piece may be sent by itself."""
        before = self._opening
        for piece in self.body.pieces:
            yield before + piece if before else piece
            before = b""
        yield b"}"

    def under(self, id_: bytes) -> "LargeAnswer":
        """The same answer to the request with that id."""
        return replace(self, id=id_)

    @property
    def _opening(self) -> bytes:
        return b'{"jsonrpc":"2.0","id":%b,"%b":' % (self.id, b"error" if self.is_error else b"result")


Data = bytes | LargeAnswer
"""A message on its way to a client."""

Result = bytes | Rope
"""The result of a request, as JSON."""


def pieces(data: Data | Rope) -> Iterator[bytes]:
    """What is to be sent, piece by piece."""
    return iter((data,)) if isinstance(data, bytes) else data.pieces


@dataclass(frozen=True, slots=True, eq=False)
class LargeLine:
    """A line of over LARGE bytes. Of one with a `fault`, which is no JSON, only both ends are left."""

    size: int
    head: bytes
    tail: bytes
    rope: Rope = field(default_factory=lambda: Rope(()))
    outside: int = 0
    """How many of its bytes belong to neither its result nor its error."""
    says: _Result = _UNKNOWN
    """What its result says of itself."""
    ends: tuple[bytes, bytes] = (b"", b"")
    """Both ends of its outline."""
    fault: Malformed | None = None

    def __bytes__(self) -> bytes:
        return bytes(self.rope)

    def answer(self) -> LargeAnswer | None:
        """The answer that it is, to a request with a number for an id; None where its envelope is not a usual one.

        What stands before the result, from the first byte on, and behind it, up to the last, is matched as a whole,
        stands in the outline as it is, and is all that does not belong to it. So there is no member but these.
        """
        head, tail = _HEAD.match(self.head), _TAIL.search(self.tail)
        if head is None or tail is None or head.end() + len(tail[0]) != self.outside:
            return None
        if not (self.ends[0].startswith(head[0]) and self.ends[1].endswith(tail[0])):
            return None  # a run has a part of it, so it is not known what was counted in its place
        around = head[0] + tail[0]
        ids = _IDS.findall(around)
        if len(ids) != 1 or len(_VERSIONS.findall(around)) != 1:
            return None
        body = self.rope.part(head.end(), self.size - len(tail[0]))
        is_error = head[1] == b"error"
        return LargeAnswer(ids[0], body, is_error, self.says.isError, self.says.resultType == _ASKS)


class LargeLineBegun:
    """A line that has become large, and is not complete. It begins with the pieces `begun`."""

    def __init__(self, begun: list[bytes]) -> None:
        self._pieces: list[bytes] = []
        self._loose: list[bytes] = []
        self._loose_size = 0
        self._outline = Outline(_WORDS)
        self._fault: Malformed | None = None
        self._size = 0
        self.head = b"".join(begun)[:ENDS]
        """Its first bytes."""
        self.tail = b""
        """Its last bytes so far."""
        for piece in begun:
            self.add(piece)

    def __repr__(self) -> str:
        return f"<LargeLineBegun: {self._size} bytes, {self._outline!r}>"

    def add(self, piece: bytes) -> None:
        """It goes on."""
        self._size += len(piece)
        self.tail = piece[-ENDS:] if len(piece) >= ENDS else (self.tail + piece)[-ENDS:]
        if self._fault is not None:
            return
        if not self._loose and len(piece) >= PIECE // 2:
            self._keep(piece)
            return
        self._loose.append(piece)
        self._loose_size += len(piece)
        if self._loose_size >= PIECE:
            self._gather()

    def finish(self) -> LargeLine:
        """It is complete."""
        self._gather()
        if self._fault is None:
            try:
                outside, says = _known(self._outline)
                ends = bytes(self._outline.kept[:ENDS]), bytes(self._outline.kept[-ENDS:])
                return LargeLine(self._size, self.head, self.tail, Rope(self._pieces), outside, says, ends)
            except NotJson as error:
                self._fault = error
        return LargeLine(self._size, self.head, self.tail, fault=self._fault)

    def _gather(self) -> None:
        if self._loose and self._fault is None:
            self._keep(b"".join(self._loose))
        self._loose.clear()
        self._loose_size = 0

    def _keep(self, piece: bytes) -> None:
        try:
            self._outline.add(piece)
            self._pieces.append(on_one_line(piece))
        except NotJson as error:
            self._fault = error
            self._pieces.clear()


def _known(outline: Outline) -> tuple[int, _Result]:
    """What is known of the text with that outline: `outside` and `says` of LargeLine. Raises NotJson."""
    found = outline.finish(_members_decoder)
    if found is None:
        return 0, _UNKNOWN
    value = memoryview(found.result) or memoryview(found.error)
    outside = len(outline.kept) - len(value)
    if not outline.has_word:
        return outside, _NOTHING
    try:
        return outside, msgspec.json.decode(value, type=_Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return outside, _UNKNOWN
