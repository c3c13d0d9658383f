"""Which sessions have a lane in place of a child of their own, and the lane that one gets.

A session that shares its child has one; and so has a session whose child is given anything of its user's own, because
another child may have to take that one's place.
"""

from typing import Final

from common.logs import masked
from gateway.session import Door, Session
from gateway.sharing.kept import KeptSession
from gateway.sharing.lane import Lane
from gateway.sharing.shares import Shares
from gateway.sharing.whose import Whose, key_alone
from supervisor.client import Grant

NOWHERE: Final = Grant(0, 0, -1, -1)
"""What a relay gets whose lane knows the child."""

_KEPT: Final = frozenset({Door.STREAMABLE, Door.REST})
"""The doors whose sessions outlive their connections."""


def needs_lane(session: Session) -> bool:
    """Whether its child may be others' too, or may have to be replaced."""
    return session.door is not Door.STATELESS and (session.share is not None or bool(session.policy.personal))


def lane_of(session: Session, shares: Shares, epoch: int) -> Lane:
    """The lane of `session`, on its way to the child that it is to have."""
    principal, server, alone = session.principal, session.server, session.share is None
    key = key_alone(session.id) if session.share is None else session.share
    lane = Lane(
        shares,
        Whose(principal, server, key, session.personal.digest, generation=session.policy.generation),
        session.policy,
        label=masked(session.id),
        epoch=epoch,
        ids=shares.ids(principal, server),
        personal=session.personal,
        alone=alone,
    )

    def describe() -> KeptSession | None:
        relay = session.relay
        if relay is None or session.ended is not None or not relay.initialized or session.door not in _KEPT:
            return None
        hello = lane.hello.decode() if session.policy.personal else ""
        return KeptSession(session.id, session.door.value, relay.version, hello, relay.client, session.key)

    lane.describe = describe
    return lane
