"""One request of a modern client, from its coming to its last answer. No I/O.

    WAITING ──its turn──▶ RUNNING ──the child asks──▶ PARKED ──the client answers──▶ WAITING …
                             │                           │
                             └────────cancelled, or its answers never come──▶ LEAVING

Where the child asks something, the modern client gets the questions as the answer to its request, which ends it; the
child's call is parked until the same request comes again with the answers. So a call has a number at the child for all
its life, and another one at the conversation for each try.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from gateway.jsonrpc import Response
from gateway.translation.legacy_child.envelope import Asked
from gateway.translation.legacy_child.handshake import Askable
from gateway.translation.legacy_child.questions import Question


class State(Enum):
    """Where a call stands."""

    WAITING = auto()
    """For its turn; where it was parked before, the child waits, too."""
    RUNNING = auto()
    PARKED = auto()
    """The child waits for answers, and no request of the client's is open."""
    LEAVING = auto()
    """Nobody wants it any more, but the child may not know that yet, so that its turn is not over."""


@dataclass(slots=True, eq=False)
class Call:
    """A request, and what became of it. `number` is the child's, `client` the conversation's, empty while none waits."""

    asked: Asked
    number: bytes
    client: bytes
    token: bytes
    """The progress token of the try that waits now; the child's is that of the first one."""
    level: str
    capabilities: Askable
    state: State = State.WAITING
    at_child: bool = False
    """Whether the child has got it, and has not answered."""
    questions: dict[str, Question] = field(default_factory=dict)
    """What the child waits for, by the key under which the client is asked."""
    outcome: Response | None = None
    """The child's answer, where it came while nobody waited."""
    digest: bytes = b""
    handle: str = ""
    """The `requestState` with which the client comes back, while it is parked."""

    def __repr__(self) -> str:
        return f"<Call {self.number.decode()} {self.asked.legacy.method} {self.state.name.lower()}>"

    @property
    def open_questions(self) -> dict[str, Question]:
        """Those that the client has not answered."""
        return {key: each for key, each in self.questions.items() if not each.answer}

    def input_required(self) -> bytes:
        """The result with which the client is asked what is open."""
        return msgspec.json.encode(
            {
                "resultType": "input_required",
                "inputRequests": {key: each.as_input_request() for key, each in self.open_questions.items()},
                "requestState": self.handle,
            }
        )

    def comes_again(self, asked: Asked) -> None:
        """The client tries again: with another number, and maybe other wishes."""
        self.client, self.token = asked.legacy.id, asked.token
        self.level, self.capabilities = asked.level, asked.capabilities


def new_call(asked: Asked) -> Call:
    """The call that `asked` begins."""
    number = asked.legacy.id
    return Call(asked, number, number, asked.token, asked.level, asked.capabilities)


class OwnIds:
    """Ids for requests of the gateway's own; `epoch` tells those of one gateway from those of the next."""

    def __init__(self, epoch: int) -> None:
        self._prefix = b'"gateway-%d-' % epoch
        self._last = 0

    def new(self) -> bytes:
        """One that was never given out."""
        self._last += 1
        return b'%b%d"' % (self._prefix, self._last)

    def own(self, id_: bytes) -> bool:
        """Whether this is one of them, or one of an earlier gateway's."""
        return id_.startswith(b'"gateway-')
