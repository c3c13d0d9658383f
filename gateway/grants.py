"""A child from the supervisor: asked for, and waited for as long as its start may take."""

from typing import Final

import anyio

from common.reasons import Reason
from gateway import errors
from gateway.errors import GatewayError, refused
from gateway.personal import NOTHING, Personal
from supervisor.client import Grant, OpenRefused, SupervisorClient, SupervisorLost

LEAST_TO_START: Final = 1.0
"""Seconds that a child gets for answering `initialize`, however long it had to be waited for."""


def left_to_start(start_timeout: float, waited: float) -> float:
    """Seconds that a child has for answering `initialize`, when it was `waited` for: the timeout is for both together."""
    return max(start_timeout - waited, min(start_timeout, LEAST_TO_START))


async def grant(
    supervisor: SupervisorClient,
    server: str,
    label: str,
    user: str,
    within: float,
    personal: Personal = NOTHING,
    *,
    gives_way: bool = False,
) -> Grant:
    """A new child of `server`, in `within` seconds, with what it is given of its user's own.

    One that `gives_way` is nobody's (`SupervisorClient.open`). Raises GatewayError where none can be had.

    Cancellation gives back what was being spawned.
    """
    try:
        with anyio.fail_after(within):
            return await supervisor.open(server, label, user, personal.values, gives_way=gives_way)
    except TimeoutError:
        raise GatewayError(Reason.START_TIMEOUT, "the server could not be started in time", server=server) from None
    except OpenRefused as no:
        raise refused(no.reason, no.message, no.retry_after, server=server) from None
    except SupervisorLost:
        raise errors.ended(Reason.SUPERVISOR_LOST, server) from None
