"""How the doors ask whether a request may pass, and what is said of it in the answer.

To a client with a live session a refusal is the JSON-RPC error that answers its request: it gives up the session over
any status but 200. Where there is no session yet, it is an HTTP answer of its own.
"""

from quart import Quart, Response, g
from quart.typing import ResponseTypes

from gateway.admittance import CALL, FREE, OPEN, Admittance, Refused, Standing, Use, nearer, use_of
from gateway.errors import GatewayError
from gateway.http import audited
from gateway.jsonrpc import Message, Request
from gateway.outbox import Outbox
from gateway.personal import personal
from gateway.relay import Relay
from gateway.session import Session
from gateway.toollists import LIST


def install(app: Quart, admittance: Admittance) -> None:
    """Have the doors of `app` ask `admittance`, and every answer say how near its client is to a limit."""

    async def begin() -> None:
        g.admittance, g.standing, g.refused = admittance, None, None

    async def finish(response: Response) -> Response:
        _mark(response)
        return response

    async def finish_handshake(response: ResponseTypes | None) -> ResponseTypes | None:
        if response is not None:
            _mark(response)
        return response

    app.before_request(begin)
    app.before_websocket(begin)
    app.after_request(finish)
    app.after_websocket(finish_handshake)


async def admit(use: Use) -> None:
    """Raises GatewayError where the sender of this request may not do that."""
    admittance: Admittance = g.admittance
    try:
        standing = await admittance.admit(g.who, use)
    except GatewayError as error:
        g.refused = error
        if isinstance(error, Refused):
            g.standing = nearer(g.standing, error.standing)
        raise
    g.standing = nearer(g.standing, standing)


async def admit_opening(server: str = "") -> None:
    """The same for a session that is opened, or an id for one."""
    await admit(Use(server, OPEN))


async def admit_listing(server: str = "") -> None:
    """The same for a look at the tools of a server, or of all of them."""
    await admit(Use(server, LIST))


async def refusal(session: Session, message: Message) -> GatewayError | None:
    """Why a message of a live session may not pass; None where it may. Only requests are ever refused.

    What it bears of its user's own is looked at here, and heeded by the relay, once the request is passed on.
    """
    if not isinstance(message, Request):
        return None
    try:
        await admit(use_of(session.server, message))
        personal(g.who, session.policy)
    except GatewayError as error:
        return error
    return None


def request(
    relay: Relay, message: Request, outbox: Outbox, refused: GatewayError | None, *, can_carry_more: bool = True
) -> None:
    """Pass a request on, unless it is `refused`, or too many are in flight: then the error comes to `outbox`."""
    try:
        if refused is not None:
            raise refused
        if message.method != FREE:
            relay.calls.check(of_tool=message.method == CALL)
    except GatewayError as error:
        g.refused = error
        audited.refused(error)
        relay.refuse(message, outbox, error)
    else:
        relay.request(message, outbox, who=g.who, can_carry_more=can_carry_more)


def _mark(response: ResponseTypes) -> None:
    # Where something before this one refused the request, there is neither.
    standing: Standing | None = g.get("standing")
    if standing is not None:
        response.headers["X-RateLimit-Limit"] = str(standing.limit)
        response.headers["X-RateLimit-Remaining"] = str(standing.remaining)
        response.headers["X-RateLimit-Reset"] = str(standing.reset)
    refused: GatewayError | None = g.get("refused")
    for name, value in (refused.headers if refused is not None else {}).items():
        response.headers.setdefault(name, value)
