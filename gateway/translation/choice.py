"""Which translator stands between a session and its child, if any does; and what is kept of it for a later gateway."""

from typing import Any, Final, Protocol

import msgspec
from loguru import logger
from msgspec import Raw

from gateway.eras import Eras
from gateway.kept import Unreadable
from gateway.rawjson import Members, put
from gateway.session import Door, Session
from gateway.specification import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY
from gateway.translation.legacy_child import LegacyChild
from gateway.translation.legacy_child.handshake import askable
from gateway.translation.modern_child import ModernChild
from gateway.translation.modern_child.opening import Opened
from gateway.translation.steps import Translator


class _ToldOnce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a legacy child and its client have said of themselves."""

    capabilities: dict[str, Any]
    info: dict[str, Any]
    welcome: Raw = Raw(b"")
    """The child's InitializeResult."""


_LONGEST: Final = 256
"""Characters of a client's name that are passed on, and kept."""

_opened = msgspec.json.Decoder(Opened)
_told_once = msgspec.json.Decoder(_ToldOnce)


class Opens(Protocol):
    """What begins, or goes on, with a handshake: a session, or a child that several share."""

    server: str
    opened: str
    resumes: bool


def translator(session: Session, eras: Eras, epoch: int) -> Translator | None:
    """The translator for a session whose child has been spawned, or was left by an earlier gateway.

    `epoch` is how many gateways there were before this one.
    """
    if session.door is Door.STATELESS:
        return _for_envelopes(session, eras, epoch)
    return for_handshake(session, eras)


def to_keep(session: Session, translator: Translator | None) -> str:
    """What a later gateway needs to know of the translator; nothing where there is none."""
    if isinstance(translator, LegacyChild):
        told = _told(session.envelope)
        return msgspec.json.encode(_ToldOnce(told.capabilities, told.info, Raw(translator.welcome))).decode()
    return session.opened


def check(door: Door, opened: str) -> None:
    """Whether `opened` is what an earlier gateway kept for a translator. Raises Unreadable."""
    try:
        if opened:
            (_told_once if door is Door.STATELESS else _opened).decode(opened)
    except (msgspec.MsgspecError, RecursionError):
        raise Unreadable("what was kept of its opening cannot be read") from None


def _for_envelopes(session: Session, eras: Eras, epoch: int) -> Translator | None:
    """For a client of 2026-07-28. A child of which nobody knows better has a handshake."""
    if session.resumes:
        if not session.opened:
            return None
        told = _told_once.decode(session.opened)
        return LegacyChild(told.capabilities, told.info, welcome=bytes(told.welcome), epoch=epoch)
    if eras.modern(session.server):
        session.envelope = {}
        return None
    told = _told(session.envelope)
    session.envelope = {CLIENT_CAPABILITIES_META_KEY: put(told.capabilities), CLIENT_INFO_META_KEY: put(told.info)}
    return LegacyChild(told.capabilities, told.info, epoch=epoch)


def _told(envelope: Members) -> _ToldOnce:
    capabilities, info = envelope.get(CLIENT_CAPABILITIES_META_KEY), envelope.get(CLIENT_INFO_META_KEY)
    return _ToldOnce(dict(askable(_object(capabilities))), _info(_object(info)))


def _info(said: dict[str, Any]) -> dict[str, str]:
    """Of what a client says of itself no more than a child cannot take amiss: others may share the child."""
    known = {name: said[name][:_LONGEST] for name in ("name", "title", "version") if isinstance(said.get(name), str)}
    return {"name": "unknown", "version": "", **known}


def _object(data: Raw | None) -> dict[str, Any]:
    try:
        return msgspec.json.decode(bytes(data or b"{}"), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}


def for_handshake(session: Opens, eras: Eras) -> Translator | None:
    """For a client that begins with `initialize`. A child that may not know that is asked in another way if it refuses.

    A session that an earlier gateway opened goes on as it began: what its translator has to know was kept with it.
    """
    if session.opened:
        return ModernChild(opened=_opened.decode(session.opened))
    if session.resumes:
        return None
    knows, edition = eras.handshake(session.server), eras.edition
    if knows:
        return None

    def is_modern(opened: Opened) -> None:
        session.opened = msgspec.json.encode(opened).decode()
        if knows is None:
            logger.info("server '{}' speaks only the revisions without a handshake", session.server)
        eras.saw(session.server, edition=edition, handshake=False, modern=True)

    return ModernChild(
        known=knows is False,
        on_opened=is_modern,
        on_handshake=lambda: eras.saw(session.server, edition=edition, handshake=True),
        on_refused=lambda: eras.forget(session.server),
    )
