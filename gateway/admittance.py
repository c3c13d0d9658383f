"""Whether a request may go on its way: the one place where every door asks, before a relay gets anything.

A rule knows one thing, such as how often somebody may ask, or which tools are whose. Rules are asked in order, and the
first that refuses has the last word. What a refusal looks like is the door's affair (`gateway.http.admitted`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.toollists import tool_named

OPEN: Final = "initialize"
"""The method of whatever opens a session, also where a door has another way of saying so."""

CALL: Final = "tools/call"
FREE: Final = "ping"
"""Is answered by the gateway itself, and asked by clients that only want to know whether it is there."""


class Use(msgspec.Struct, frozen=True):
    """What a request is for. `server` is empty where a session id is asked for that is no server's yet.

    `tool` is empty for all but calls of tools, and for a call that names none, or of which it cannot be told for sure how
    its child will read it: that may be a call of any.
    """

    server: str
    method: str
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How near somebody is to a limit: `remaining` of `limit` requests, all of them again in `reset` seconds."""

    limit: int
    remaining: int
    reset: int


class Rule(Protocol):
    """One thing to be asked."""

    async def __call__(self, who: Who, use: Use, /) -> Standing | None:
        """Where `who` stands, if there is a limit. Raises GatewayError where the request may not pass."""


class Refused(GatewayError):
    """It may not pass, because of a limit: where its sender stands is known."""

    def __init__(self, reason: Reason, message: str, /, standing: Standing, **about: object) -> None:
        super().__init__(reason, message, **about)
        self.standing = standing


class Admittance:
    """The rules, and what each of them refused in `refusals`, by reason."""

    def __init__(self, rules: Sequence[Rule] = (), refusals: Counter[str] | None = None) -> None:
        self._rules = tuple(rules)
        self._refusals = refusals if refusals is not None else Counter()

    async def admit(self, who: Who, use: Use) -> Standing | None:
        """Where `who` stands with the limit that is nearest, if there is one. Raises GatewayError.

        Cancellation leaves counted what was counted by then.
        """
        if use.method == FREE:
            return None
        nearest: Standing | None = None
        for rule in self._rules:
            try:
                standing = await rule(who, use)
            except GatewayError as error:
                self._refusals[error.reason] += 1
                raise
            nearest = nearer(nearest, standing)
        return nearest


def nearer(one: Standing | None, other: Standing | None) -> Standing | None:
    """The one of which less remains."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda each: (each.remaining, -each.reset))


def use_of(server: str, message: Request) -> Use:
    """What `message` is for."""
    return Use(server, message.method, (tool_named(message.params) or "") if message.method == CALL else "")
