"""Whether what a child says is too long for the client that is to get it. No I/O.

Most clients take whatever the gateway does. LibreChat does not: an answer of over 16 MiB is a broken exchange to it, over
which it gives up the session, and with it the child; a line of over 5 MiB on an event stream fails the call. So a longer
answer becomes an error that says so, and the session goes on.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec

from common.config.model import ServerPolicy
from gateway.errors import mebibytes
from gateway.jsonrpc import Response, decode, encode
from gateway.large import Data, LargeAnswer
from gateway.rawjson import members, text
from gateway.specification import INTERNAL_ERROR

LIBRECHAT: Final = "@librechat/api-client"
"""As which LibreChat introduces itself in `clientInfo`."""

RESULT: Final = "max_result_bytes"
EVENT: Final = "max_event_bytes"
"""The keys of the configuration."""

LIBRECHAT_RESULT: Final = 15 * 1024 * 1024
LIBRECHAT_EVENT: Final = 9 * 1024 * 1024 // 2
"""Bytes, below its own 16 MiB and 5 MiB by what stands around a message on the wire."""

_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes that one answer, and one event, may have; None is no bound."""

    result: int | None = None
    event: int | None = None


def client_name(info: bytes) -> str:
    """The name in the JSON of a `clientInfo`; empty where there is none."""
    return (text(bytes(members(info).get("name", b""))) or "")[:_LONGEST_NAME]


def bounds(policy: ServerPolicy, client: str) -> Bounds:
    """What holds for the `client` of that name."""
    known = Bounds(LIBRECHAT_RESULT, LIBRECHAT_EVENT) if client == LIBRECHAT else Bounds()
    result, event = policy.max_result_bytes, policy.max_event_bytes
    return Bounds(known.result if result == "auto" else result, known.event if event == "auto" else event)


class Fit:
    """What one exchange may carry, which is a stream's whole life where there is one.

    `endless` is for a stream that is no answer, so that there is no bound on all of it. What is dropped is counted in
    `counters`, as `oversized`.
    """

    def __init__(self, bounds: Bounds, counters: Counter[str], *, endless: bool = False) -> None:
        given = [each for each in (bounds.event, None if endless else bounds.result) if each is not None]
        self._result = bounds.result
        self._longest = min(given, default=None)
        self._name = EVENT if self._longest == bounds.event else RESULT
        splits = not endless and bounds.event is not None and bounds.result is not None and bounds.event < bounds.result
        self._spare = bounds.result - bounds.event if splits else None  # type: ignore[operator]
        """Bytes that the answer on a stream never needs, and what comes before it may have."""
        self._counters = counters

    def alone(self, data: Data) -> Data:
        """The answer `data` as it is to be sent with nothing around it."""
        return _bounded(data, self._result, RESULT)

    def event(self, data: Data) -> Data:
        """The message `data` as it is to be sent as an event; empty where it is no answer and there is no room for it."""
        if self._longest is None:
            return data
        if len(data) <= min(self._longest, self._longest if self._spare is None else self._spare):
            if self._spare is not None:
                self._spare -= len(data)
            return data
        if isinstance(data, LargeAnswer) or isinstance(decode(data), Response):
            return _bounded(data, self._longest, self._name)
        self._counters["oversized"] += 1
        return b""


def _bounded(data: Data, bound: int | None, key: str) -> Data:
    """`data`, or an error in the place of the answer that is too long; what is no answer, as it is."""
    if bound is None or len(data) <= bound:
        return data
    message = data if isinstance(data, LargeAnswer) else decode(data)
    if not isinstance(message, Response | LargeAnswer):
        return data
    sentence = (
        f"the server's answer has {mebibytes(len(data))}, and its client takes no more than {mebibytes(bound)} "
        f"in this place ({key}); ask for less"
    )
    error = {"code": INTERNAL_ERROR, "message": sentence, "data": {"size": len(data), key: bound}}
    return encode(Response(message.id, b"", msgspec.json.encode(error)))
