"""What a translator is, and what it may want done. No I/O, no clock.

A translator stands between a conversation and a child of the other era. What either says to the other passes through it,
and it decides what becomes of that: the message as it is, another one, several, none. The ids that it is given by the
conversation are the gateway's own numbers, and the answers that it gives back bear them again.
"""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

from gateway.jsonrpc import Message


@dataclass(frozen=True, slots=True)
class Say:
    """Write `message` to the child."""

    message: Message


@dataclass(frozen=True, slots=True)
class Hear:
    """To the conversation it is as if the child had said `message`.

    `about` is the number of the call in flight that it belongs to, where that is known and does not stand in the message.
    """

    message: Message
    about: int | None = None


@dataclass(frozen=True, slots=True)
class Wake:
    """Call `wake(key)` after `seconds`; an earlier one with this key is forgotten, and None only forgets it."""

    key: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the idle clock from running (`on`), until it is let go of. Said only when it changes."""

    on: bool


@dataclass(frozen=True, slots=True)
class StepAside:
    """No translator is needed, now and later: the rest passes untouched. Comes last."""


Step = Say | Hear | Wake | Hold | StepAside


class Translator(Protocol):
    """Makes a child of one era look like one of the other. Every method says what is to be done, in order."""

    counters: Counter[str]
    """What was dropped, by why."""

    @property
    def adrift(self) -> Set[int]:
        """Calls that the child works at, and that the conversation does not know, or by another number."""

    @property
    def questions(self) -> Set[bytes]:
        """Ids of the child's questions that wait for an answer, and of which the conversation does not know."""

    def to_child(self, message: Message) -> list[Step]:
        """The conversation says `message` to the child."""

    def from_child(self, message: Message) -> list[Step]:
        """The child says `message`."""

    def wake(self, key: str) -> list[Step]:
        """The time of `Wake(key)` has come."""
