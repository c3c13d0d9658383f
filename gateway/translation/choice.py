"""Which translator stands between a session and its child, if any does."""

import msgspec
from loguru import logger

from gateway.eras import Eras
from gateway.kept import Unreadable
from gateway.session import Session
from gateway.translation.modern_child import ModernChild
from gateway.translation.modern_child.opening import Opened
from gateway.translation.steps import Translator

_opened = msgspec.json.Decoder(Opened)


def check(opened: str) -> None:
    """Whether `opened` is what an earlier gateway kept for a translator. Raises Unreadable."""
    try:
        if opened:
            _opened.decode(opened)
    except (msgspec.MsgspecError, RecursionError):
        raise Unreadable("what was kept of its opening cannot be read") from None


def for_handshake(session: Session, eras: Eras) -> Translator | None:
    """For a client that begins with `initialize`. A child that may not know that is asked in another way if it refuses.

    A session that an earlier gateway opened goes on as it began: what its translator has to know was kept with it.
    """
    if session.opened:
        return ModernChild(opened=_opened.decode(session.opened))
    if session.resumes:
        return None
    knows = eras.handshake(session.server)

    def is_modern(opened: Opened) -> None:
        session.opened = msgspec.json.encode(opened).decode()
        if knows is None:
            logger.info("server '{}' speaks only the revisions without a handshake", session.server)
        eras.saw(session.server, handshake=False, modern=True)

    if knows:
        return None
    return ModernChild(
        known=knows is False,
        on_opened=is_modern,
        on_handshake=lambda: eras.saw(session.server, handshake=True),
        on_refused=lambda: eras.forget(session.server),
    )
