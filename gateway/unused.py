"""The time in which an id without a child must be used.

Anybody who may come in at all may ask for an id, so one of which nobody makes use ends by itself.
"""

import asyncio
from contextvars import Context
from typing import Final, Protocol

from common.reasons import Reason

UNUSED: Final = 300.0
"""Seconds after which an id without a child ends, if nothing was asked of it."""


class Usable(Protocol):
    """What has an id: a session, or a session set."""

    @property
    def in_use(self) -> bool:
        """Whether anything was ever asked of a child behind it, and may be again."""

    def end(self, reason: Reason) -> None:
        """End it."""


def arm_unused(idle: Usable) -> asyncio.TimerHandle:
    """End `idle` after UNUSED seconds, unless it is in use then."""
    # In a context of its own: the caller's holds the whole request.
    return asyncio.get_running_loop().call_later(UNUSED, _end_unused, idle, context=Context())


def _end_unused(idle: Usable) -> None:
    if not idle.in_use:
        idle.end(Reason.UNUSED)
