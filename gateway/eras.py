"""Which eras the children of each server speak, as far as that is known: what the configuration says, else what was seen.

Two things are to be known, and are found out apart: whether a child knows the handshake of the revisions up to
2025-11-25, and whether it knows the requests of 2026-07-28. What was seen holds for a day, and not beyond a reload of the
configuration: the program behind a name may have become another. Where nobody can be asked anew, though, as on a machine
that is full, what was seen last is better than to refuse clients whose child is there.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from common.config.model import ServerPolicy

HOLDS: Final = 24 * 3600.0
"""Seconds for which something seen is believed."""

PROLONGED: Final = 600.0
"""Seconds for which it is believed again where nobody could be asked."""


def remedy(policy: ServerPolicy) -> str:
    """What to do about a child that refuses the first request, for the end of a sentence; empty where nobody knows."""
    if policy.era == "auto":
        return ""
    return f"; it is configured with 'era: {policy.era}', and if it speaks another one, 'era: auto' finds out which"


@dataclass(slots=True)
class _Seen:
    handshake: bool | None = None
    modern: bool | None = None
    at: float = field(default_factory=time.time)


class Eras:
    """What is known of each server's children. `now` is the time in seconds since 1970."""

    def __init__(self, policies: Mapping[str, ServerPolicy], now: Callable[[], float] = time.time) -> None:
        self._policies = policies
        self._retired: dict[str, ServerPolicy] = {}
        """Of servers that the configuration no longer has; their live sessions go on."""
        self._seen: dict[str, _Seen] = {}
        """What is too old is no longer believed, but stays until something newer is seen."""
        self._now = now
        self.edition = 0
        """How often the configuration was read again."""

    def __repr__(self) -> str:
        return f"<Eras: {self.report()}>"

    def take_over(self, policies: Mapping[str, ServerPolicy]) -> None:
        """The configuration is another now."""
        known = {**self._retired, **self._policies}
        self._retired = {name: policy for name, policy in known.items() if name not in policies}
        self._policies = policies
        for name in policies.keys() & self._seen.keys():
            self._seen[name].at = float("-inf")
        self.edition += 1

    def handshake(self, server: str) -> bool | None:
        """Whether a child of `server` knows `initialize`; None where nobody knows."""
        era = self._configured(server)
        return era != "modern" if era != "auto" else self._of(server).handshake

    def modern(self, server: str) -> bool | None:
        """Whether a child of `server` knows revision 2026-07-28; None where nobody knows."""
        era = self._configured(server)
        return era != "legacy" if era != "auto" else self._of(server).modern

    def saw(self, server: str, *, edition: int, handshake: bool | None = None, modern: bool | None = None) -> None:
        """A child of `server` has shown what it knows; None says nothing.

        `edition` is that of the configuration by which it was spawned; of an earlier one nothing is believed. What is
        seen in addition does not make older what was seen before any younger.
        """
        if edition != self.edition:
            return
        seen = self._seen[server] = self._of(server)
        seen.handshake = seen.handshake if handshake is None else handshake
        seen.modern = seen.modern if modern is None else modern

    def forget(self, server: str) -> None:
        """What was seen of `server` has turned out to be wrong."""
        self._seen.pop(server, None)

    def prolong(self, server: str) -> bool:
        """Believe again, for PROLONGED seconds, what was seen of `server` last; whether there is anything to believe."""
        if not self.remembers(server):
            return False
        self._seen[server].at = self._now() - HOLDS + PROLONGED
        return True

    def remembers(self, server: str) -> bool:
        """Whether it was ever seen, however long ago, if a child of `server` knows revision 2026-07-28."""
        seen = self._seen.get(server)
        return seen is not None and seen.modern is not None

    def report(self) -> dict[str, dict[str, str]]:
        """The era of each server of which any is known, and since when: what `/health` shows."""
        return {server: facts for server in self._policies if (facts := self._facts(server))}

    def _facts(self, server: str) -> dict[str, str]:
        handshake, modern = self.handshake(server), self.modern(server)
        if modern is None and handshake is not False:
            return {"era": "legacy", "since": self._since(server)} if handshake else {}
        era = "modern" if handshake is False else "dual" if modern and handshake else "modern" if modern else "legacy"
        return {"era": era, "since": self._since(server)}

    def _since(self, server: str) -> str:
        if self._configured(server) != "auto":
            return "configured"
        return datetime.fromtimestamp(self._of(server).at, UTC).isoformat(timespec="seconds")

    def _configured(self, server: str) -> str:
        policy = self._policies.get(server) or self._retired.get(server)
        return policy.era if policy is not None else "auto"

    def _of(self, server: str) -> _Seen:
        seen = self._seen.get(server)
        if seen is None or self._now() - seen.at > HOLDS:
            return _Seen(at=self._now())
        return seen
