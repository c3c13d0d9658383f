"""What a lane needs of the three that it stands between: its relay, the shared child, and the table of those."""

from typing import TYPE_CHECKING, Protocol

from common.reasons import Reason
from gateway.childside import Hearer
from gateway.hotstate import Notes
from gateway.jsonrpc import Message
from gateway.personal import Personal
from gateway.sharing.whose import Whose
from supervisor.protocol import Exit

if TYPE_CHECKING:
    from gateway.sharing.lane import Lane


class Rider(Hearer, Protocol):
    """The relay whose lane it is."""

    lease: int
    pid: int
    certificate: str
    kept: bool
    """Whether another gateway could go on with its session."""

    @property
    def initialized(self) -> bool:
        """Whether its client has been through the handshake."""

    @property
    def version(self) -> str:
        """The revision that its client and the child agreed on."""

    def on_ending(self, reason: Reason, exit_: Exit | None, certificate: str = "") -> None:
        """The child is being ended, or has ended."""


class Child(Protocol):
    """A shared child (`gateway.sharing.shared`)."""

    lease: int
    pid: int
    certificate: str
    whose: Whose
    notes: Notes
    ended: Reason | None

    def from_lane(self, lane: "Lane", message: Message) -> None:
        """The lane says something to it."""

    def leave(self, lane: "Lane", reason: Reason) -> None:
        """The lane's session goes on without it, or has ended."""

    def drop(self, lane: "Lane") -> None:
        """The lane is no more, and nothing is to be said of it: the child has ended, or another gateway goes on."""

    def in_flight(self, lane: "Lane") -> int:
        """How many calls of the lane wait for it."""

    def hold(self, who: object) -> None:
        """Keep its idle clock from running, until `who` lets go."""

    def unhold(self, who: object) -> None:
        """Let it run, for all that `who` cares."""

    def use(self) -> None:
        """It was used just now."""

    def pause(self, who: object) -> None:
        """Stop listening to it, until `who` says `resume`."""

    def resume(self, who: object) -> None:
        """Listen again, for all that `who` cares."""


class Station(Protocol):
    """Where lanes get their children (`gateway.sharing.shares`)."""

    async def reach(self, whose: Whose, lane: "Lane", personal: Personal) -> Child:
        """The child for `whose`, which the lane has joined; spawned, and given what is `personal`, where there is none.

        Raises GatewayError where none can be had. Cancellation gives back what was being spawned.
        """
