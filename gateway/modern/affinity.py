"""Which child a client without a session gets. No I/O.

The protocol leaves it to whoever bridges HTTP to one process for each session (SEP-2567, Backward Compatibility), so
this is one small function, and another source of the key is another line in it.
"""

from dataclasses import dataclass

from common.config.model import ServerPolicy
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.modern.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Affinity:
    """Requests of one principal to one server with the same `key` share a child."""

    key: str
    ephemeral: bool = False
    """There is no key: the child is for this request alone."""


def affinity(principal: Principal, server: str, policy: ServerPolicy, envelope: Envelope) -> Affinity:  # noqa: ARG001
    """Whose child the request is for: its principal's. Who has no name has a child for each request, unless `policy`
    says that all of them share one.
    """
    return Affinity("", ephemeral=principal == ANONYMOUS and policy.anonymous != "shared")
