"""Whether a long text is JSON in UTF-8, found out while it comes, and what it is without its long strings. No I/O.

A large answer is nearly always a few giant strings. What lies within one string can be checked by itself, and need not be
kept for the rest to be checked: so each part of the text that is the inside of a string and nothing else is looked at
once, and left out of the **outline**. The outline is valid JSON exactly when the whole text is.

* Where a string begins and ends is known by counting the quotation marks that no backslash escapes. Outside a string a
  backslash is an error by itself; it stays in the outline, which is then no JSON.
* The text is never cut within an escape, nor between the two halves of a surrogate pair, so what is left out is whole
  characters, and what remains on either side of it is still one string.
* That all is UTF-8 is checked apart, part by part.
* Where there are no long strings but many short values, most of these are checked at once, too (`gateway.runs`).
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from gateway.jsonrpc import NotJson
from gateway.runs import LEAST, marks, shortened

STEP: Final = 2048
"""Bytes that are looked at together where there are a few quotation marks: the least that is left out of an outline."""

FEW: Final = 64
"""So many quotation marks in one part; with more of them, hardly anything could be left out."""

_LONGEST_CUT: Final = len(rb"\ud83d\ude0")
"""Bytes of the longest beginning of something that must not be cut."""

_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_LENGTH_OF_HIGH: Final = len(rb"\ud83d")
_new_decoder: Final = getincrementaldecoder("utf-8")


class _Anything(msgspec.Struct):
    """Any JSON object."""


_Known = TypeVar("_Known", bound=msgspec.Struct)
_string_decoder: Final = msgspec.json.Decoder(Raw)
_object_decoder: Final = msgspec.json.Decoder(_Anything)


class Outline:
    """The outline of a text that is yet to come, and whether any of the `words` stands in it."""

    def __init__(self, words: Sequence[bytes] = ()) -> None:
        self.has_word = False
        self._words = words
        self._longest_word = max(map(len, words), default=0)
        self.kept = bytearray()
        """The outline, as far as the text has come."""
        self._is_within = False
        """Whether what comes next is the inside of a string."""
        self._rest = b""
        """What cannot be looked at before it is known how it goes on."""
        self._decoder = _new_decoder()
        self._is_between = False
        """Whether the last part ended within a character."""

    def __repr__(self) -> str:
        return f"<Outline: {len(self.kept)} bytes>"

    def add(self, part: bytes) -> None:
        """The text goes on. Raises NotJson where it cannot be JSON in UTF-8 any more."""
        self._check_characters(part)
        if self._is_within and self._pass_over(part):
            return
        step = STEP if 0 < part.count(b'"') <= FEW else max(len(part), 1)
        for at in range(0, len(part), step):
            self._look(part[at : at + step])

    def finish(self, known: msgspec.json.Decoder[_Known]) -> _Known | None:
        """The text is over: what is `known` of it; None where that has another form. Raises NotJson.

        This reads the whole outline: where nothing could be left out, a millisecond or two for each MiB of the text.
        """
        self._keep(self._rest)
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise NotJson("it is not JSON in UTF-8") from None
        # A text of the outline may lack a part in its middle, and then need not be UTF-8 itself.
        with suppress(msgspec.ValidationError, UnicodeDecodeError):
            return _decoded(self.kept, known)
        with suppress(msgspec.ValidationError):  # no object: who takes none will say so
            _decoded(self.kept, _object_decoder)
        return None

    def _check_characters(self, part: bytes) -> None:
        if part.isascii() and not self._is_between:
            return
        try:
            self._decoder.decode(part)
        except UnicodeDecodeError:
            raise NotJson("it is not JSON in UTF-8") from None
        self._is_between = bool(self._decoder.getstate()[0])

    def _keep(self, part: bytes) -> None:
        before = max(len(self.kept) - self._longest_word, 0)
        self.kept += part
        self.has_word = self.has_word or any(self.kept.find(word, before) >= 0 for word in self._words)

    def _look(self, part: bytes) -> None:
        if self._is_within and self._pass_over(part):
            return
        part = self._cut(part)
        found = marks(part)
        if self._is_within and not found:
            raise NotJson("it is not JSON")
        self._keep(shortened(part, int(self._is_within), self._words) if len(part) >= LEAST else part)
        self._is_within ^= found % 2 == 1

    def _pass_over(self, part: bytes) -> bool:
        """Whether all of `part` is the inside of a string, which is valid; if not, nothing is done."""
        rest = self._rest
        if _is_inside(self._cut(part)):
            return True
        self._rest = rest
        return False

    def _cut(self, part: bytes) -> bytes:
        """What can be looked at now that the text goes on with `part`."""
        if self._rest:
            part = self._rest + part
        cut = _clean_cut(part)
        self._rest = part[cut:]
        return part[:cut]


def _decoded(data: bytearray, known: msgspec.json.Decoder[_Known]) -> _Known:
    """Raises NotJson, ValidationError for other JSON, and UnicodeDecodeError."""
    try:
        return known.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        raise NotJson("it is not JSON") from None


def _is_inside(part: bytes) -> bool:
    """Whether it can be the inside of a string: no quotation mark that is not escaped stands in it, either."""
    try:
        _string_decoder.decode(b'"%b"' % part)
    except msgspec.DecodeError:
        return False
    return True


def _clean_cut(part: bytes) -> int:
    """Where `part`, which begins between two characters, is to be cut, so that it ends so, too: near its end."""
    at = part.find(b"\\", max(len(part) - _LONGEST_CUT, 0))
    if at < 0:
        return len(part)
    if not _escapes(part, at):
        at += 1
    before = at - _LENGTH_OF_HIGH
    if before >= 0 and _HIGH.match(part, before, at) and _escapes(part, before):
        return before
    return at


def _escapes(part: bytes, at: int) -> bool:
    """Whether the backslash there is not itself escaped."""
    before = part[:at]
    return (at - len(before.rstrip(b"\\"))) % 2 == 0
