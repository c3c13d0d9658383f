"""Calls that wait for their client to come back, each under a handle that it was given. No I/O.

A handle is the client's to bring, so it may be anything: made up, used before, too late, or somebody else's. One that is
known still counts only for the request for which it was given out, and only once. Whose it is needs no check here: a
translator, and so its parking, serves one isolation key.
"""

import hmac
import secrets
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from gateway.translation.legacy_child.call import Call

PARKED: Final = 64
"""Calls of one child that may be parked; what one more asks is not put to its client."""

_REMEMBERED: Final = 256
"""Handles that are no longer good, of which it is known why."""

HANDLE_BYTES: Final = 24


class NoGood(StrEnum):
    """Why a handle is refused: `data.reason` of the error."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"
    MISMATCH = "mismatch"


def random_handle() -> str:
    """A new handle of 192 bits, which nobody guesses."""
    return secrets.token_urlsafe(HANDLE_BYTES)


class Parking:
    """The parked calls of one child. `new_handle()` is a string that nobody can guess."""

    def __init__(self, new_handle: Callable[[], str] = random_handle) -> None:
        self._new_handle = new_handle
        self._calls: dict[str, Call] = {}
        self._gone: dict[str, NoGood] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._calls.values()))

    @property
    def is_full(self) -> bool:
        """Whether no call can be parked."""
        return len(self._calls) >= PARKED

    def put(self, call: Call) -> None:
        """Park `call` under a new handle."""
        call.handle = self._new_handle()
        if not call.digest:
            call.digest, call.asked = call.asked.digest(), call.asked.without_body()
        self._calls[call.handle] = call

    def find(self, handle: str, digest: bytes) -> Call | NoGood:
        """The call parked under `handle`, if the request with `digest` is the one that was parked."""
        call = self._calls.get(handle)
        if call is None:
            return self._gone.get(handle, NoGood.UNKNOWN)
        return call if hmac.compare_digest(call.digest, digest) else NoGood.MISMATCH

    def take(self, call: Call, why: NoGood) -> None:
        """`call` is parked no longer, and its handle no good any more."""
        del self._calls[call.handle]
        self._gone[call.handle] = why
        call.handle = ""
        while len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
