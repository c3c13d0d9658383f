"""The way of one request of 2026-07-28 to a child: which one, found or started, and what is done to it on the way.

In this order: whether this server serves the revision at all, for which one of its children may have to be asked
(`probe`); the handle, if the model has named one (`handles`); the key (`affinity`); a retry's own child (`rounds`); the
session with that key (`keyed`).
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from common.reasons import Reason
from gateway.jsonrpc import Malformed, Request, Response, decode, encode
from gateway.large import Data
from gateway.meta import envelope_of
from gateway.modern import handles
from gateway.modern.affinity import Asked, affinity, by_header, for_capabilities
from gateway.modern.envelope import Envelope, Rejected
from gateway.modern.handles import Gone, Handles, TooMany, Whose
from gateway.modern.keyed import begin
from gateway.modern.probe import Probe
from gateway.modern.rounds import Rounds
from gateway.personal import personal
from gateway.rawjson import Members, members, put_together
from gateway.relay import Relay
from gateway.session import Session
from gateway.sessions import Sessions
from gateway.specification import (
    HANDSHAKE_PROTOCOL_VERSIONS,
    HEADER_MISMATCH,
    INVALID_REQUEST,
    LATEST_MODERN_VERSION,
    MCP_PARAM_HEADER_PREFIX,
)
from gateway.toollists import UnknownTool, permitted
from gateway.translation.legacy_child.handshake import askable

_FALL_BACK: Final = (
    f"Bad Request: Unsupported protocol version: {LATEST_MODERN_VERSION} "
    f"(supported: {', '.join(HANDSHAKE_PROTOCOL_VERSIONS)})"
)
"""No error of this era, so that a client of both goes back to `initialize` (specification: versioning)."""

_HANDLE_HEADER: Final = MCP_PARAM_HEADER_PREFIX + handles.HEADER.lower()
_CALL: Final = "tools/call"
_LIST: Final = "tools/list"


class AnsweredHere(Exception):
    """The gateway itself has the answer: `answer` is a JSON-RPC response."""

    def __init__(self, id_: bytes, result: dict[str, Any]) -> None:
        super().__init__()
        self.answer = encode(Response(id_, msgspec.json.encode(result), b""))


@dataclass(frozen=True, slots=True)
class Reached:
    """A bridge, the request as the child at its end gets it, and what becomes of its answer."""

    relay: Relay
    message: Request
    through: Callable[[Data], Data]
    is_ephemeral: bool
    """Whether the child is for this request alone."""


class Reach:
    """Finds the way. `sessions` is the table, `probe` asks children what they speak."""

    def __init__(self, sessions: Sessions, probe: Probe) -> None:
        self._sessions = sessions
        self._probe = probe
        self._rounds = Rounds()
        self._handles = Handles()

    def __repr__(self) -> str:
        return f"<Reach: {self._rounds!r}, {self._handles!r}>"

    async def __call__(self, asked: Asked, server: str, envelope: Envelope, leaving: ExitStack) -> Reached:
        """The way of `envelope`; what has to be done once the exchange is over is put into `leaving`.

        Raises GatewayError where no child can be had, Rejected for what the client did wrong, and AnsweredHere.
        """
        who = envelope_of(envelope.message.params)
        await self._check_served(asked, server, envelope.message)
        self._check_permitted(asked, server, envelope.message)
        reached = await self._reach(asked, server, envelope, who, leaving)
        if asked.policy.handles == "inject" and envelope.message.method == _LIST:
            own = self._sessions.oversight.permission(asked.who, server).tool
            return replace(reached, through=_both(reached.through, self._injecting(envelope, own)))
        return reached

    async def _check_served(self, asked: Asked, server: str, message: Request) -> None:
        """Raises Rejected where clients of this era are sent back to `initialize`."""
        if asked.policy.modern != "off":
            speaks = self._sessions.eras.modern(server)
            if speaks is None:
                speaks = await self._probe.speaks_modern(server, asked.policy, personal(asked.who, asked.policy))
            if speaks or asked.policy.modern == "auto":
                return
        raise not_served(message.id)

    def _check_permitted(self, asked: Asked, server: str, message: Request) -> None:
        """Raises Rejected for a tool that is not the sender's, before anything shows that there is one of that name."""
        oversight = self._sessions.oversight
        try:
            permitted(message, oversight.permission(asked.who, server), server)
        except UnknownTool as error:
            oversight.denied(asked.who, server, message, error)
            raise Rejected(error.rpc_code, error.message, id_=message.id) from None

    async def _reach(self, asked: Asked, server: str, envelope: Envelope, who: Members, leaving: ExitStack) -> Reached:
        message = envelope.message
        if asked.policy.handles == "inject" and message.method == _CALL:
            asked, message = self._with_handle(asked, server, envelope)
            envelope = replace(envelope, message=message, params=members(message.params))
        whose = affinity(asked)
        # A round of a child for one request alone goes on with it, whoever has got a cookie, say, with its question.
        if not whose.ephemeral and not self._rounds.knows(envelope.value("requestState"), asked.who.principal):
            key = self._key(whose.key, server, envelope)
            relay = await self._sessions.keyed.start(asked.who, server, key, who)
            return Reached(relay, message, _as_it_is, is_ephemeral=False)
        own = personal(asked.who, asked.policy)
        claimed = self._rounds.claim(asked.who.principal, server, envelope, own)
        session, message = claimed or (self._sessions.keyed.ephemeral(asked.who, server), message)
        leaving.callback(self._leave, session)
        relay = await begin(session, who)
        return Reached(relay, message, lambda answer: self._rounds.keep(session, envelope, answer), is_ephemeral=True)

    def _key(self, key: str, server: str, envelope: Envelope) -> str:
        """The whole key: a child that is told once what its client can do is not for one that can do something else."""
        if self._sessions.eras.modern(server):
            return key
        return for_capabilities(key, msgspec.json.encode(askable(envelope.capabilities), order="deterministic"))

    def _leave(self, session: Session) -> None:
        """The request is over that `session` was for."""
        if not self._rounds.keeps(session):
            session.end(Reason.REQUEST_DONE)

    # Handles.

    def _with_handle(self, asked: Asked, server: str, envelope: Envelope) -> tuple[Asked, Request]:
        """What was asked, with the handle that the model named; the call without it. Raises AnsweredHere, Rejected."""
        message = envelope.message
        call = handles.read(message.params)
        if not handles.agrees(call, [value for name, value in envelope.headers if name.lower() == _HANDLE_HEADER]):
            text = f"the header Mcp-Param-{handles.HEADER} and the argument '{handles.ARGUMENT}' do not agree"
            raise Rejected(HEADER_MISMATCH, text, id_=message.id)
        try:
            if call.tool == handles.OPEN:
                raise AnsweredHere(message.id, handles.opened(self._open(_whose(asked, server))))
            if call.tool == handles.CLOSE:
                self._close(call.handle or "", asked, server, envelope)
                raise AnsweredHere(message.id, handles.closed())
            if call.handle is not None:
                asked, _ = self._check_handle(call.handle, asked, server, envelope)
        except (Gone, TooMany) as error:
            raise AnsweredHere(message.id, handles.failed(error)) from None
        return asked, Request(message.id, message.method, call.params)

    def _open(self, whose: Whose) -> str:
        return self._handles.open(whose, lambda key: self._sessions.keyed.is_live(whose.principal, whose.server, key))

    def _close(self, handle: str, asked: Asked, server: str, envelope: Envelope) -> None:
        """End the session of this handle. Raises Gone."""
        _, key = self._check_handle(handle, asked, server, envelope)
        self._handles.close(handle, _whose(asked, server))
        self._sessions.keyed.end(asked.who.principal, server, key)

    def _check_handle(self, handle: str, asked: Asked, server: str, envelope: Envelope) -> tuple[Asked, str]:
        """What was asked, with the handle, if its session is there, or was not begun yet; its key. Raises Gone."""
        asked = replace(asked, handle=handle)
        key = self._key(affinity(asked).key, server, envelope)
        is_live = self._sessions.keyed.is_live(asked.who.principal, server, key)
        self._handles.check(handle, _whose(asked, server), key, is_live=is_live)
        return asked, key

    @staticmethod
    def _injecting(envelope: Envelope, permits: Callable[[str], bool]) -> Callable[[Data], Data]:
        first = envelope.value("cursor") is None

        def inject(answer: Data) -> Data:
            message = _response(bytes(answer))
            if message is None:
                return answer
            result = handles.with_handles(members(message.result), permits, first_page=first)
            return encode(Response(message.id, put_together(result), b""))

        return inject


def _whose(asked: Asked, server: str) -> Whose:
    return Whose(asked.who.principal, server, by_header(asked) or "")


def not_served(id_: bytes) -> Rejected:
    """What a client of this era is told where only the others are served."""
    return Rejected(INVALID_REQUEST, _FALL_BACK, id_=id_)


def _as_it_is(answer: Data) -> Data:
    return answer


def _both(first: Callable[[Data], Data], then: Callable[[Data], Data]) -> Callable[[Data], Data]:
    return lambda answer: then(first(answer))


def _response(answer: bytes) -> Response | None:
    """A response with a result, or None."""
    try:
        message = decode(answer)
    except Malformed:
        return None
    return message if isinstance(message, Response) and message.result else None
