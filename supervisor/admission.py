"""Whether one more child may be spawned. No I/O, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from common.config.model import SupervisorSettings
from common.reasons import Reason


@dataclass(frozen=True)
class Refusal:
    """Why not: `message` is a sentence for a person."""

    reason: Reason
    message: str


def admit(settings: SupervisorSettings, server: str, children: Mapping[str, int]) -> Refusal | None:
    """None where a child of `server` may be spawned.

    `children` counts the children of each server that are not gone yet: one that is being ended still takes its place
    on the machine. Nobody's child is ever ended to make room.
    """
    spec = settings.servers.get(server)
    if spec is None:
        return Refusal(Reason.SERVER_NOT_FOUND, f"there is no server '{server}'")
    if spec.max_sessions is not None and children.get(server, 0) >= spec.max_sessions:
        return Refusal(
            Reason.MAX_SESSIONS,
            f"server '{server}' has all the {spec.max_sessions} sessions that it may have",
        )
    if sum(children.values()) >= settings.max_sessions:
        return Refusal(
            Reason.MAX_SESSIONS, f"the gateway has all the {settings.max_sessions} sessions that it may have"
        )
    return None
