"""From one gateway to the next: sessions are left, and taken up.

Where the supervisor runs as a service of its own it keeps the children of a gateway that has gone. The next one finds
the same sessions, under the same ids and with the same owners, as soon as it accepts its first connection; what was in
flight is lost, and everybody concerned is told: the client by an error or by its broken connection, the child by
`notifications/cancelled`, and by an error where it had asked the client something (`gateway.resumption`).
"""

from collections.abc import Iterable

from loguru import logger

from common.logs import masked
from common.reasons import Reason
from gateway.identity.principal import Principal
from gateway.kept import Kept, Unreadable, read
from gateway.personal import Personal, remembered
from gateway.session import Door, Session
from gateway.sessions import Sessions
from gateway.sharing import kept as shared_kept
from gateway.sharing.kept import KeptChild, KeptSession
from gateway.translation import choice
from supervisor.client import Inherited
from supervisor.protocol import Lapsed


def take_up(sessions: Sessions, inherited: Iterable[Inherited], lapsed: Iterable[Lapsed]) -> int:
    """Go on with the sessions that an earlier gateway left; how many. The descriptors are the table's from now on.

    What cannot be gone on with is let go; of what has `lapsed` meanwhile its owner is told the reason.
    """
    # In the order of their making: of two with one server in one set, the later one counts.
    left: list[Inherited | Lapsed] = [*inherited, *lapsed]
    in_order = sorted(left, key=lambda each: each.lease)
    return sum(_take_up(sessions, each) if isinstance(each, Inherited) else _mourn(sessions, each) for each in in_order)


def leave(sessions: Sessions) -> None:
    """Another gateway goes on: end what cannot be kept, let go of the rest.

    Whoever still waits gets an error, and every stream is closed.
    """
    sessions.refuse(Reason.GATEWAY_RESTARTED)
    sessions.leases.shares.write_all()
    for relay in sessions.leases.relays():
        if relay.kept:
            relay.leave()
        else:
            relay.end(Reason.SHUTDOWN)
    sessions.leases.shares.hand_on()
    sessions.afterlife.end()


def _take_up(sessions: Sessions, inherited: Inherited) -> bool:
    if shared_kept.is_shared(inherited.state):
        return _take_up_shared(sessions, inherited)
    try:
        kept = read(inherited.state)
        session = _restore(sessions, kept, inherited.server)
    except Unreadable as error:
        logger.warning("a session of {} is let go: {}", inherited.server, error)
        sessions.leases.let_go(inherited.grant, Reason.GATEWAY_LOST)
        return False
    sessions.leases.attach(session, inherited.grant)
    if session.relay is not None:
        session.relay.version, session.relay.client = kept.revision, kept.client
    logger.debug("went on with session {} of {} pid {}", masked(session.id), session.server, inherited.grant.pid)
    return True


def _take_up_shared(sessions: Sessions, inherited: Inherited) -> bool:
    """Go on with a child that several sessions shared, and with them."""
    try:
        kept = shared_kept.read(inherited.state)
        restored = _restore_all(sessions, kept, inherited.server)
    except Unreadable as error:
        logger.warning("the sessions of a child of {} are let go: {}", inherited.server, error)
        sessions.leases.let_go(inherited.grant, Reason.GATEWAY_LOST)
        return False
    child = sessions.leases.take_up(inherited.grant, kept, sessions.policies[inherited.server])
    for session, left in restored:
        session.share = None if kept.alone else kept.key
        sessions.leases.rejoin(session, child, left.hello.encode())
        if session.relay is not None:
            session.relay.version, session.relay.client = left.revision, left.client
    sessions.leases.shares.settle(child)
    logger.info("{} sessions share the child of {} pid {}", len(restored), inherited.server, inherited.grant.pid)
    return True


def _restore_all(sessions: Sessions, kept: KeptChild, server: str) -> list[tuple[Session, KeptSession]]:
    """The sessions of a shared child, in the table again. Raises Unreadable where there can be none of them."""
    _check(sessions, kept.server, server)
    choice.check(Door.STREAMABLE, kept.opened)
    principal = Principal(kept.issuer, kept.subject, kept.user)
    restored = []
    for left in kept.sessions:
        session = sessions.restore(left.id, principal, server, _door(left.door), _personal(kept.given), left.key)
        if session is not None:
            restored.append((session, left))
    return restored


def _mourn(sessions: Sessions, lapsed: Lapsed) -> bool:
    """Remember why a session has ended, or several; never goes on with it."""
    try:
        if shared_kept.is_shared(lapsed.state):
            ended = [each for each, _ in _restore_all(sessions, shared_kept.read(lapsed.state), lapsed.server)]
        else:
            ended = [_restore(sessions, read(lapsed.state), lapsed.server)]
    except Unreadable as error:
        logger.warning("a session of {} that has ended is forgotten: {}", lapsed.server, error)
        return False
    for session in ended:
        session.lapse(lapsed.reason)
    return False


def _restore(sessions: Sessions, kept: Kept, server: str) -> Session:
    """The session of which `kept` tells, in the table again. Raises Unreadable where it cannot be."""
    _check(sessions, kept.server, server)
    principal = Principal(kept.issuer, kept.subject, kept.user)
    session = sessions.restore(kept.id, principal, server, _door(kept.door), _personal(kept.personal), kept.key)
    if session is None:
        raise Unreadable("its id is another's")
    choice.check(session.door, kept.opened)
    session.opened, session.resumes = kept.opened, True
    return session


def _check(sessions: Sessions, kept: str, server: str) -> None:
    """Raises Unreadable where there is no such server any more."""
    if kept != server or server not in sessions.policies:
        raise Unreadable("its server is no longer configured")


def _personal(digest: str) -> Personal:
    """Raises Unreadable for what is no digest."""
    try:
        return remembered(bytes.fromhex(digest))
    except ValueError:
        raise Unreadable("what was kept of its user's own is no digest") from None


def _door(value: str) -> Door:
    """Raises Unreadable for a door that there is not, and for one whose stream is the session."""
    try:
        door = Door(value)
    except ValueError:
        raise Unreadable("there is no such door") from None
    if door in (Door.SSE, Door.WEBSOCKET):
        raise Unreadable("its stream was the session")
    return door
