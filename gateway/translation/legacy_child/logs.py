"""Log lines of a legacy child, which has one level for everybody, for clients that name one in each request. No I/O."""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway import rawjson
from gateway.jsonrpc import Notification, Request
from gateway.translation.legacy_child.call import Call, OwnIds
from gateway.translation.legacy_child.envelope import LEVELS

_RANK: Final = {level: rank for rank, level in enumerate(LEVELS)}


class Levels:
    """The child's level, which is set only when a call runs that wants another one."""

    def __init__(self, ids: OwnIds, *, settable: bool) -> None:
        self._ids = ids
        self._settable = settable
        self._level = ""

    def set_for(self, running: Iterable[Call]) -> Request | None:
        """What to say to the child, if anything, so that each of these calls gets what it wants."""
        wanted = min((call.level for call in running if call.level), key=_RANK.__getitem__, default="")
        if not self._settable or wanted in ("", self._level):
            return None
        self._level = wanted
        return Request(self._ids.new(), "logging/setLevel", msgspec.json.encode({"level": wanted}))


def hears(running: Iterable[Call], message: Notification) -> Call | None:
    """The call to which the log line belongs, if there can be no doubt of that, and it wants the line."""
    calls = tuple(running)
    if len(calls) != 1 or not calls[0].level:
        return None
    level = rawjson.text(rawjson.members(message.params).get("level", b""))
    if level is None or _RANK.get(level, -1) < _RANK[calls[0].level]:
        return None
    return calls[0]
