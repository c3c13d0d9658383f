"""What a conversation wants done; `relay` does it. No I/O."""

import msgspec

from gateway.errors import GatewayError
from gateway.large import Data


class ToChild(msgspec.Struct, frozen=True):
    """Write this line to the child."""

    line: bytes


class ToStream(msgspec.Struct, frozen=True):
    """Give this message to the stream; it is not the last one there."""

    stream: int
    data: bytes


class Answered(msgspec.Struct, frozen=True):
    """Give this answer to the stream; the request `call` is no longer in flight.

    `failure` is set where the answer is the gateway's own, in the child's place.
    """

    stream: int
    data: Data
    call: int
    failure: GatewayError | None = None


class Cancelled(msgspec.Struct, frozen=True):
    """The request `call` is no longer in flight, and its client wants no answer."""

    stream: int
    call: int


class Over(msgspec.Struct, frozen=True):
    """The session is over before it began: the child refused `initialize`."""


Effect = ToChild | ToStream | Answered | Cancelled | Over
