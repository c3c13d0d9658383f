"""What a conversation wants done; `relay` does it. No I/O."""

from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.large import Data


@dataclass(frozen=True, slots=True)
class ToChild:
    """Write this line to the child."""

    line: bytes


@dataclass(frozen=True, slots=True)
class ToStream:
    """Give this message to the stream; it is not the last one there."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """Give this answer to the stream; the request `call` is no longer in flight.

    `failure` is set where the answer is the gateway's own, in the child's place.
    """

    stream: int
    data: Data
    call: int
    failure: GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The request `call` is no longer in flight, and its client wants no answer."""

    stream: int
    call: int


@dataclass(frozen=True, slots=True)
class Over:
    """The session is over before it began: the child refused `initialize`."""


Effect = ToChild | ToStream | Answered | Cancelled | Over
