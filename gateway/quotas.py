"""What each user and each key has at once: sessions, children, calls in flight; and each server. No I/O, no clock.

A **user** is a whole principal; a **key** is a principal without the user for whom it speaks, so all users of one front
together. The anonymous are one user, and one key. What is taken here is given back by whoever took it, when it ends,
whatever ends it: so every count is kept by the one module that sees every end of its kind.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from msgspec import structs

from common.config.amounts import KeyQuota
from common.config.amounts import Quotas as Settings
from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.drain import CallsInFlight
from gateway.errors import refused
from gateway.identity.principal import Principal
from gateway.refusals import counting

SESSIONS_RETRY: Final = 30.0
CHILDREN_RETRY: Final = 5.0
CALLS_RETRY: Final = 1.0
"""Seconds after which another try may do better: sessions end slowly, calls soon."""

_KEYS: Final = frozenset({"basic", "bearer", "apikey"})
"""Issuers of principals whose subject is the name of a key in the configuration."""


def key_of(principal: Principal) -> Principal:
    """Whose credentials they are."""
    return structs.replace(principal, user="") if principal.user else principal


def key_name(principal: Principal) -> str | None:
    """What the configuration calls the key, if it stands there."""
    return principal.subject if principal.issuer in _KEYS else None


class Tally:
    """How many things of one kind each user and each key has."""

    def __init__(self) -> None:
        self._by_user: Counter[Principal] = Counter()
        self._by_key: Counter[Principal] = Counter()

    def __repr__(self) -> str:
        return f"<Tally: {self._by_key.total()} of {len(self._by_user)} users of {len(self._by_key)} keys>"

    def of_user(self, principal: Principal) -> int:
        """How many this one has."""
        return self._by_user[principal]

    def of_key(self, principal: Principal) -> int:
        """How many all have together who come with the same key."""
        return self._by_key[key_of(principal)]

    def take(self, principal: Principal) -> None:
        """One more."""
        self._by_user[principal] += 1
        self._by_key[key_of(principal)] += 1

    def give_back(self, principal: Principal) -> None:
        """One less; who has none is forgotten."""
        for counter, whose in ((self._by_user, principal), (self._by_key, key_of(principal))):
            counter[whose] -= 1
            if not counter[whose]:
                del counter[whose]


class Quotas:
    """The counts, and what they may be. `calls_in_flight` counts the calls of all."""

    def __init__(self, settings: Settings | None = None, calls_in_flight: CallsInFlight | None = None) -> None:
        self._settings = settings or Settings()
        self._calls_in_flight = calls_in_flight or CallsInFlight()
        self.sessions = Tally()
        self.children = Tally()
        self.calls = Tally()
        self.max_concurrency: Mapping[str, int] = {}
        """Calls of tools that each server may have in flight at once, where there is a bound."""
        self._of_tools: Counter[str] = Counter()
        """Calls of tools in flight, by server."""
        self.refusals: Counter[str] = Counter()
        """How often there was too much of anything, these or others, by reason."""

    def __repr__(self) -> str:
        return f"<Quotas: sessions {self.sessions!r}, children {self.children!r}, calls {self.calls!r}>"

    def take_over(self, settings: Settings) -> None:
        """It may be this much from now on. Whoever has more keeps it, and gets no more until they have less."""
        self._settings = settings

    def heed(self, policies: Mapping[str, ServerPolicy]) -> None:
        """The servers are these from now on, with as many calls at once as each may have."""
        bounds = {server: each.max_concurrency for server, each in policies.items()}
        self.max_concurrency = {server: bound for server, bound in bounds.items() if bound is not None}

    def check_sessions(self, principal: Principal) -> None:
        """Raises GatewayError where they may have no more sessions."""
        user, key = self._settings.user.sessions, self._of_key(principal).sessions
        if user is not None and self.sessions.of_user(principal) >= user:
            message = "you have all the sessions that one user may have; end one, or try again later"
            raise refused(Reason.MAX_USER_SESSIONS, message, SESSIONS_RETRY, quota="user.sessions", limit=user)
        if key is not None and self.sessions.of_key(principal) >= key:
            message = "your key has all the sessions that it may have; try again later"
            raise refused(Reason.MAX_KEY_SESSIONS, message, SESSIONS_RETRY, quota="key.sessions", limit=key)

    def check_children(self, principal: Principal) -> None:
        """Raises GatewayError where a key may have no more children; those of a user the supervisor counts."""
        key = self._of_key(principal).children
        if key is not None and self.children.of_key(principal) >= key:
            message = "your key has all the children that it may have; try again later"
            raise refused(Reason.MAX_KEY_SESSIONS, message, CHILDREN_RETRY, quota="key.children", limit=key)

    def check_calls(self, principal: Principal) -> None:
        """Raises GatewayError where they may have no more calls in flight."""
        user, key = self._settings.user.calls_in_flight, self._of_key(principal).calls_in_flight
        if user is None and key is None:
            return
        with counting(self.refusals):
            if user is not None and self.calls.of_user(principal) >= user:
                message = "you have as many calls in flight as one user may have; try again when one is answered"
                raise refused(Reason.MAX_USER_CALLS, message, CALLS_RETRY, quota="user.calls_in_flight", limit=user)
            if key is not None and self.calls.of_key(principal) >= key:
                message = "your key has as many calls in flight as it may have; try again later"
                raise refused(Reason.MAX_KEY_CALLS, message, CALLS_RETRY, quota="key.calls_in_flight", limit=key)

    def check_concurrency(self, server: str) -> None:
        """Raises GatewayError where `server` may have no more calls of its tools in flight."""
        most = self.max_concurrency.get(server)
        if most is not None and self._of_tools[server] >= most:
            message = f"server '{server}' has as many calls in flight as it may; try again when one is answered"
            with counting(self.refusals):
                raise refused(Reason.MAX_CONCURRENCY, message, CALLS_RETRY, server=server, limit=most)

    def count_of_tools(self, server: str, number: int) -> None:
        """`number` more calls of the tools of `server` are in flight, or fewer."""
        self._of_tools[server] += number
        if not self._of_tools[server]:
            del self._of_tools[server]

    def calls_of(self, principal: Principal, server: str) -> "CallsOf":
        """What counts the calls of one of their children, which is of `server`."""
        return CallsOf(self, principal, self._calls_in_flight, server)

    def _of_key(self, principal: Principal) -> KeyQuota:
        return self._settings.keys.get(key_name(principal) or "", self._settings.key)


class CallsOf:
    """Counts one principal's calls (`gateway.drain.Calls`), with those of all."""

    def __init__(self, quotas: Quotas, principal: Principal, total: CallsInFlight, server: str) -> None:
        self._quotas = quotas
        self._principal = principal
        self._total = total
        self._server = server

    def begin(self, *, bounded: bool = True, of_tool: bool = False) -> None:
        """One more."""
        self._total.begin(bounded=bounded)
        self._quotas.calls.take(self._principal)
        if of_tool:
            self._quotas.count_of_tools(self._server, 1)

    def end(self, *, bounded: bool = True, of_tool: bool = False) -> None:
        """One less."""
        if of_tool:
            self._quotas.count_of_tools(self._server, -1)
        self._quotas.calls.give_back(self._principal)
        self._total.end(bounded=bounded)

    def check(self, *, of_tool: bool = True) -> None:
        """Raises GatewayError where there may be no more."""
        self._quotas.check_calls(self._principal)
        if of_tool:
            self._quotas.check_concurrency(self._server)
