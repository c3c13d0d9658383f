"""What a relay needs of the conversation that it carries. No I/O, no clock.

There is one for clients of each era: `conversation` for those with sessions, `gateway.modern.conversation` for those
without. Which era the child is of is not their concern: where it is the other one, a translator stands in between.
"""

from collections import Counter
from collections.abc import Set
from typing import Protocol

from gateway.effects import Effect
from gateway.errors import GatewayError
from gateway.jsonrpc import Message, Notification, Request, Response
from gateway.large import LargeAnswer


class Talk(Protocol):
    """The state of one conversation; every method returns what is to be done, in order."""

    initialized: bool
    """Whether the child has shown that it can serve."""
    version: str
    """The revision on which client and child agreed; empty where they did not, or not yet."""
    client: str
    """What the client called itself in `initialize`; empty before, and where each request says so anew."""
    counters: Counter[str]
    """What was dropped, by why."""

    @property
    def questions(self) -> Set[bytes]:
        """The ids of the child's questions that wait for the client's answer. It changes with the conversation."""

    def opens(self, call: int) -> bool:
        """Whether the request `call` is the one with which the child shows that it can serve."""

    def waits(self, call: int, /) -> bool:
        """Whether the request `call` is one that is not answered for as long as the client likes."""

    def request(
        self, message: Request, stream: int, *, can_carry_more: bool = True, only_questions: bool = False
    ) -> tuple[int | None, list[Effect]]:
        """The client asks, and wants the answer on `stream`; the call's number, if it is in flight, and what to do."""

    def notify(self, message: Notification) -> list[Effect]:
        """The client tells the child something."""

    def respond(self, message: Response) -> list[Effect]:
        """The client answers a question of the child's."""

    def stand(self, stream: int) -> list[Effect]:
        """From now on `stream` is the standing one."""

    def reopen(self, stream: int) -> list[Effect]:
        """The client has come back to `stream`, on which it had hung up."""

    def close_stream(self, stream: int) -> list[Effect]:
        """The client hung up on `stream`."""

    def from_child(self, message: Message, line: bytes, about: int | None = None) -> list[Effect]:
        """The child said `message`, which stood in `line`, of the call `about` where that is known."""

    def large(self, answer: LargeAnswer) -> list[Effect] | None:
        """The child gave this long answer. None where it is to be read as a whole, and then nothing has changed."""

    def expire(self, call: int, error: GatewayError) -> list[Effect]:
        """`call` takes too long: its client gets `error`, the child is told to stop."""

    def expire_question(self, question: bytes) -> list[Effect]:
        """The client takes too long to answer the child's `question`."""

    def fail(self, error: GatewayError) -> list[Effect]:
        """The child is no more: every request in flight gets `error`."""

    def leave(self, error: GatewayError) -> list[Effect]:
        """Another gateway goes on with the child: every request gets `error`."""
