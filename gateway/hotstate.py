"""Notes of what is under way with each child, in memory that outlives this process.

The supervisor keeps the memory (memfd_create(2)) for the next gateway, and never looks into it. After a crash that one
reads which requests wait for an answer that nobody can give any more, so that it can cancel them; which questions of
the child wait for an answer that never comes, so that it can decline them; and whether a message was cut off in the
middle, so that it can end the line.

It is an array of 64-bit words, each written at once. The first words say which layout it is; then come slots of equal
size, one for each lease:

    lease (0: free) | a message is half written (0 or 1) | ids of requests in flight (0: none) … | open questions …

A question is the length of its id in bytes (0: none), written last and taken back first, and the bytes.

Notes are an aid and no more: a lease for which no slot is left, a request or a question for which no place is, or a
question with a long id, goes unnoted, and then the child is not told that nobody waits, or answers.
"""

import fcntl
import mmap
import os
import sys
from dataclasses import dataclass
from typing import Final, Protocol

from loguru import logger

MAGIC: Final = 0x6D63_7067_7774_0002
"""The layout's name; its last digits are its version."""

SLOTS: Final = 4096
NOTED_REQUESTS: Final = 30
"""Requests in flight of one session of which a note can be taken."""

NOTED_QUESTIONS: Final = 4
"""Open questions of one child of which a note can be taken."""

LONGEST_QUESTION: Final = 40
"""Bytes of a question's id: a UUID in quotes has 38."""

_WORD: Final = 8
_QUESTION_WORDS: Final = 1 + LONGEST_QUESTION // _WORD
_LEASE, _HALF_WRITTEN, _FIRST_ID = 0, 1, 2
_FIRST_QUESTION: Final = _FIRST_ID + NOTED_REQUESTS
SLOT_WORDS: Final = _FIRST_QUESTION + NOTED_QUESTIONS * _QUESTION_WORDS
_QUESTIONS: Final = range(_FIRST_QUESTION, SLOT_WORDS, _QUESTION_WORDS)
_HEADER_WORDS: Final = SLOT_WORDS
_SIZE: Final = _WORD * (_HEADER_WORDS + SLOTS * SLOT_WORDS)

_SEALS: Final = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


@dataclass(frozen=True)
class UnderWay:
    """What an earlier gateway had begun with a child: `calls` are the ids of requests without an answer.

    `questions` are the ids, as JSON, of what the child asked and the client has not answered.
    """

    half_written: bool = False
    calls: tuple[int, ...] = ()
    questions: tuple[bytes, ...] = ()


class Notes(Protocol):
    """The notes of one child."""

    def begin(self, call: int) -> None:
        """The request `call` is in flight."""

    def finish(self, call: int) -> None:
        """It no longer is."""

    def ask(self, question: bytes) -> None:
        """The child's `question`, an id, waits for the client's answer."""

    def settle(self, question: bytes) -> None:
        """It no longer does."""

    def begin_line(self) -> None:
        """The child may have got the beginning of a line from now on."""

    def end_line(self) -> None:
        """It has got the end, too, or nothing of it."""

    def close(self) -> None:
        """The lease has ended."""


class NoNotes:
    """For a gateway that nobody comes after."""

    def begin(self, call: int) -> None:
        """Nothing."""

    def finish(self, call: int) -> None:
        """Nothing."""

    def ask(self, question: bytes) -> None:
        """Nothing."""

    def settle(self, question: bytes) -> None:
        """Nothing."""

    def begin_line(self) -> None:
        """Nothing."""

    def end_line(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Slot:
    """The notes of one child, in the shared memory. An update costs some tens of nanoseconds."""

    def __init__(self, state: "HotState", base: int) -> None:
        self._state = state
        self._words = state.words
        self._base = base
        self._free: list[int] = []
        """Places that were used, and are free again."""
        self._unused = base + _FIRST_QUESTION
        """The end of those that were never used."""
        self._places: dict[int, int] = {}
        self._free_for_questions = [base + each for each in _QUESTIONS]
        self._asked: dict[bytes, int] = {}

    def begin(self, call: int) -> None:
        """Note that the request `call` is in flight; dropped where there is no place left."""
        if self._free:
            place = self._free.pop()
        elif self._unused > self._base + _FIRST_ID:
            place = self._unused = self._unused - 1
        else:
            return
        self._places[call] = place
        self._words[place] = call

    def finish(self, call: int) -> None:
        """It no longer is."""
        place = self._places.pop(call, None)
        if place is not None:
            self._words[place] = 0
            self._free.append(place)

    def ask(self, question: bytes) -> None:
        """Note that `question` is open; dropped where there is no place left, or its id is too long."""
        if not self._free_for_questions or len(question) > LONGEST_QUESTION or question in self._asked:
            return
        place = self._asked[question] = self._free_for_questions.pop()
        for at in range(0, len(question), _WORD):
            piece = question[at : at + _WORD].ljust(_WORD, b"\0")
            self._words[place + 1 + at // _WORD] = int.from_bytes(piece, sys.byteorder)
        self._words[place] = len(question)

    def settle(self, question: bytes) -> None:
        """It no longer is."""
        place = self._asked.pop(question, None)
        if place is not None:
            self._words[place] = 0
            self._free_for_questions.append(place)

    def begin_line(self) -> None:
        """Note that the child may have got the beginning of a line."""
        self._words[self._base + _HALF_WRITTEN] = 1

    def end_line(self) -> None:
        """It has got the end, too, or nothing of it."""
        self._words[self._base + _HALF_WRITTEN] = 0

    def close(self) -> None:
        """The lease has ended; the slot is another's from now on."""
        self._state.free(self._base)


class HotState:
    """The shared memory. `create` makes one, `adopt` goes on with what an earlier gateway left."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _SIZE)
        self.words = memoryview(self._map).cast("Q")
        self.fd = fd
        """To be left to the next gateway; ours to close."""
        bases = range(_HEADER_WORDS, _HEADER_WORDS + SLOTS * SLOT_WORDS, SLOT_WORDS)
        self._taken = {lease: base for base in bases if (lease := self.words[base + _LEASE])}
        occupied = set(self._taken.values())
        self._free = [base for base in reversed(bases) if base not in occupied]

    def __repr__(self) -> str:
        return f"<HotState: {SLOTS - len(self._free)} of {SLOTS} slots>"

    @classmethod
    def create(cls) -> "HotState":
        """Memory without a note. Raises OSError."""
        fd = os.memfd_create("mcp-gateway", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, _SIZE)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            state = cls(fd)
        except OSError:
            os.close(fd)
            raise
        state.words[0] = MAGIC
        return state

    @classmethod
    def adopt(cls, fd: int) -> "HotState":
        """What an earlier gateway left; `fd` is ours from now on. Raises OSError where it is of another layout."""
        try:
            if os.fstat(fd).st_size != _SIZE or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise OSError("the notes of the last gateway are of another size")
            state = cls(fd)
        except OSError:
            os.close(fd)
            raise
        if state.words[0] != MAGIC:
            state.close()
            raise OSError("the notes of the last gateway are of another layout")
        return state

    @classmethod
    def adopt_or_create(cls, inherited: int | None) -> "HotState | None":
        """The memory `inherited`, ours from now on, or a new one; None where none is to be had."""
        try:
            if inherited is not None:
                return cls.adopt(inherited)
        except OSError as error:
            logger.warning("{}; calls that were in flight are not cancelled", error)
        try:
            return cls.create()
        except OSError as error:
            logger.warning("there is no memory to take notes in: {}", error.strerror)
            return None

    def take_over(self, lease: int) -> UnderWay:
        """What was under way with the child of `lease`; that is forgotten here, and its slot free."""
        base = self._taken.get(lease)
        if base is None:
            return UnderWay()
        ids = self.words[base + _FIRST_ID : base + _FIRST_QUESTION]
        calls = tuple(sorted(each for each in ids if each))
        questions = tuple(question for each in _QUESTIONS if (question := self._question(base + each)))
        found = UnderWay(bool(self.words[base + _HALF_WRITTEN]), calls, questions)
        self.free(base)
        return found

    def _question(self, place: int) -> bytes:
        """The id that stands there; empty for none."""
        return self.words[place + 1 : place + _QUESTION_WORDS].tobytes()[: self.words[place]]

    def retain(self, leases: set[int]) -> None:
        """Free the slots of all leases but these."""
        for lease, base in tuple(self._taken.items()):
            if lease not in leases:
                self.free(base)

    def slot(self, lease: int) -> Notes:
        """A place for the notes of `lease`."""
        if not self._free:
            return NoNotes()
        base = self._free.pop()
        for word in range(base, base + SLOT_WORDS):
            self.words[word] = 0
        self.words[base + _LEASE] = lease
        self._taken[lease] = base
        return Slot(self, base)

    def free(self, base: int) -> None:
        """For Slot."""
        self._taken.pop(self.words[base + _LEASE], None)
        self.words[base + _LEASE] = 0
        self._free.append(base)

    def close(self) -> None:
        """Let go of the memory. No slot may be used any more."""
        self.words.release()
        self._map.close()
        os.close(self.fd)
