"""How each server was when it was last asked: well, or failing, and since when. No I/O, no clock.

Of a server whose children are given something of a user's own nothing is known here: whether it starts is each user's own
affair.
"""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from gateway.catalog.offers import Offer
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Condition:
    """What came of the last question to a server that was its own affair. It fails where there is a `failure`."""

    asked: datetime
    """In UTC."""
    since: datetime
    """When it was asked first of all the times, one after the other, when it was as it is."""
    offer: Offer | None
    """The last one that was told."""
    failure: GatewayError | None = None

    def report(self) -> dict[str, object]:
        """For `/health`."""
        state = "well" if self.failure is None else "failing"
        report: dict[str, object] = {"state": state, "since": _second(self.since), "asked": _second(self.asked)}
        if self.failure is not None:
            return report | {"code": self.failure.reason, "message": self.failure.message}
        return report | (counts(self.offer) | {"startSeconds": round(self.offer.took, 1)} if self.offer else {})


class Conditions:
    """Those of the servers that were asked."""

    def __init__(self) -> None:
        self._by_server: dict[str, Condition] = {}

    def __repr__(self) -> str:
        failing = [server for server, each in self._by_server.items() if each.failure is not None]
        return f"<Conditions of {len(self._by_server)} servers, failing: {failing}>"

    def of(self, server: str) -> Condition | None:
        """The one of `server`, if it was asked."""
        return self._by_server.get(server)

    def note(self, server: str, offer: Offer | None, failure: GatewayError | None, now: datetime) -> bool:
        """It was asked. Whether it is another way now than it was, or than was to be hoped."""
        before = self._by_server.get(server)
        was, is_ = before is not None and before.failure is not None, failure is not None
        since = before.since if before is not None and was == is_ else now
        self._by_server[server] = Condition(now, since, offer, failure)
        return was != is_

    def retain(self, servers: Container[str]) -> None:
        """Forget all others."""
        self._by_server = {server: each for server, each in self._by_server.items() if server in servers}


def counts(offer: Offer) -> dict[str, object]:
    """How many things are offered, by kind."""
    return {"tools": len(offer.tools), "resources": len(offer.resources), "prompts": len(offer.prompts)}


def in_words(offer: Offer) -> str:
    """The same, as a person would say it: the tools always, the rest where there is any."""
    kinds = (("tool", len(offer.tools)), ("resource", len(offer.resources)), ("prompt", len(offer.prompts)))
    said = [f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in kinds if number or kind == "tool"]
    return ", ".join(said)


def _second(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
