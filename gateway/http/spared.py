"""The status of a refusal that is one user's affair, where a front speaks for many.

LibreChat counts failed tries to open a session, those of all its users together, and after a few it keeps everybody away
from the server for half a minute and more. It counts everything but 401, 403 and 429. So where a front's user gets no
session, for a reason that holds for that user alone, the answer is a 403, whatever it is to others.
"""

from http import HTTPStatus
from typing import Final

from quart import g

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.guards import asked
from gateway.http.mcp import SESSION_HEADER, SESSION_QUERY
from gateway.identity.who import Who
from gateway.personal import FAULTS
from gateway.session import Session

_OF_ONE_USER: Final = FAULTS | {Reason.SERVER_NOT_FOUND}
"""What is missing in one user's requests; and a server that may be denied to one user, which is told like none at all."""


def status(error: GatewayError, otherwise: int) -> int:
    """The status of the answer to this request, which is `error`."""
    opens = SESSION_HEADER not in asked().headers and SESSION_QUERY not in asked().args
    return HTTPStatus.FORBIDDEN if opens and error.reason in _OF_ONE_USER and _is_one_of_many() else otherwise


def concerns(session: Session) -> bool:
    """Whether it may be one user's own values that the child of `session` does not start with."""
    return bool(session.policy.personal) and _is_one_of_many()


def _is_one_of_many() -> bool:
    who: Who | None = g.get("who")
    return who is not None and bool(who.principal.user)
