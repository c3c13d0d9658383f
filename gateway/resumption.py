"""The first words of a gateway to a child that it took up: they settle what the one before it had begun. No I/O."""

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.errors import CHILD_LOST
from gateway.hotstate import UnderWay
from gateway.jsonrpc import Response, encode, notification

_RESTARTED: Final = "the gateway restarted"
_UNANSWERED: Final = msgspec.json.encode({"code": CHILD_LOST, "message": f"{_RESTARTED} before the client answered"})


def first_words(under_way: UnderWay) -> Iterator[bytes]:
    """The lines: the end of one that was begun, no more of the calls that nobody waits for, no to every open question.

    An answer to a question may have reached the child just before the end, and then it gets a second one, which says
    nothing to it.
    """
    if under_way.half_written:
        yield b""
    for call in under_way.calls:
        yield encode(notification("notifications/cancelled", {"requestId": call, "reason": _RESTARTED}))
    for question in under_way.questions:
        yield encode(Response(question, b"", _UNANSWERED))
