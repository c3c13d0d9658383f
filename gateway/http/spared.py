"""The status of a refusal that is one user's affair, where a front speaks for many.

LibreChat counts failed tries to open a session, those of all its users together, and after a few it keeps everybody away
from the server for half a minute and more. It counts everything but 401, 403 and 429. So where a front's user gets no
session, for a reason that holds for that user alone, the answer is a 403, whatever it is to others.
"""

from http import HTTPStatus
from typing import Final

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.asked import Asked
from gateway.http.mcp import SESSION_QUERY, header_id
from gateway.personal import FAULTS
from gateway.session import Session

_OF_ONE_USER: Final = FAULTS | {Reason.SERVER_NOT_FOUND}
"""What is missing in one user's requests; and a server that may be denied to one user, which is told like none at all."""


def status(asked: Asked, error: GatewayError, otherwise: int) -> int:
    """The status of the answer to a request, which is `error`."""
    if error.reason not in _OF_ONE_USER or not _is_one_of_many(asked):
        return otherwise
    opens = header_id(asked) is None and SESSION_QUERY not in asked.query
    return HTTPStatus.FORBIDDEN if opens else otherwise


def concerns(asked: Asked, session: Session) -> bool:
    """Whether it may be one user's own values that the child of `session` does not start with."""
    return bool(session.policy.personal) and _is_one_of_many(asked)


def _is_one_of_many(asked: Asked) -> bool:
    return asked.who is not None and bool(asked.who.principal.user)
