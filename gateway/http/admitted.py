"""How the doors ask whether a request may pass, and what is said of it in the answer.

To a client with a live session a refusal is the JSON-RPC error that answers its request: it gives up the session over
any status but 200. Where there is no session yet, it is an HTTP answer of its own.
"""

from gateway.admittance import CALL, FREE, OPEN, Refused, Use, nearer, use_of
from gateway.errors import GatewayError
from gateway.hot.exchange import put, value_of
from gateway.http import audited
from gateway.http.asked import Asked
from gateway.jsonrpc import Message, Request
from gateway.outbox import Outbox
from gateway.personal import personal
from gateway.relay import Relay
from gateway.session import Session
from gateway.toollists import LIST


async def admit(asked: Asked, use: Use) -> None:
    """Raises GatewayError where the sender of `asked` may not do that."""
    try:
        standing = await asked.checks.admittance.admit(asked.sender, use)
    except GatewayError as error:
        asked.refused = error
        if isinstance(error, Refused):
            asked.standing = nearer(asked.standing, error.standing)
        raise
    asked.standing = nearer(asked.standing, standing)


async def admit_opening(asked: Asked, server: str = "") -> None:
    """The same for a session that is opened, or an id for one."""
    await admit(asked, Use(server, OPEN))


async def admit_listing(asked: Asked, server: str = "") -> None:
    """The same for a look at the tools of a server, or of all of them."""
    await admit(asked, Use(server, LIST))


async def refusal(asked: Asked, session: Session, message: Message) -> GatewayError | None:
    """Why a message of a live session may not pass; None where it may. Only requests are ever refused.

    What it bears of its user's own is looked at here, and heeded by the relay, once the request is passed on.
    """
    if not isinstance(message, Request):
        return None
    try:
        await admit(asked, use_of(session.server, message))
        personal(asked.sender, session.policy)
    except GatewayError as error:
        return error
    return None


def request(
    asked: Asked,
    relay: Relay,
    message: Request,
    outbox: Outbox,
    refused: GatewayError | None,
    *,
    can_carry_more: bool = True,
) -> None:
    """Pass a request on, unless it is `refused`, or too many are in flight: then the error comes to `outbox`."""
    try:
        if refused is not None:
            raise refused
        if message.method != FREE:
            relay.calls.check(of_tool=message.method == CALL)
    except GatewayError as error:
        asked.refused = error
        audited.refused(asked, error)
        relay.refuse(message, outbox, error)
    else:
        relay.request(message, outbox, who=asked.sender, can_carry_more=can_carry_more)


def mark(asked: Asked, headers: list[tuple[str, str]]) -> None:
    """Have the `headers` of the answer say how near its client is to a limit, and when to come again."""
    if asked.standing is not None:
        put(headers, "X-RateLimit-Limit", str(asked.standing.limit))
        put(headers, "X-RateLimit-Remaining", str(asked.standing.remaining))
        put(headers, "X-RateLimit-Reset", str(asked.standing.reset))
    for name, value in (asked.refused.headers if asked.refused is not None else {}).items():
        if value_of(headers, name) is None:
            headers.append((name, value))
