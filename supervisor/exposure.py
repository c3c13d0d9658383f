"""Whether others could read what a server is given of each user's own. Pure, but for `tell`.

Processes of one user can read each other's environment (proc(5), /proc/PID/environ). So a session of such a server needs
a user id of its own (`uid_range`), or what runs as the same user must not see it: in a PID namespace or a sandbox each
has a /proc of its own. A child of root's can get out of a namespace, though not of a sandbox, in which it has no
capabilities; so root's namespace counts for nothing here.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from common.config.values import NO_ID
from common.personal import HEADER, placeholders, said
from common.reasons import Reason
from supervisor.environment import SpawnError
from supervisor.protocol import Answer
from supervisor.reaping import Reaping
from supervisor.wrapper import Inside

_REMEDIES: Final = (
    "give each session a user id of its own ('uid_range: 600000-665535', for which the supervisor must be root), or a "
    "/proc of its own ('sandbox: bubblewrap' for every server of this user, or 'reaping: namespace' with a 'user'), or "
    "say 'allow_shared_uid: true'"
)


def exposed(spec: ServerSpec, specs: Mapping[str, ServerSpec], inside: Inside) -> str | None:
    """Why a server is not to be started, and what to do; None where all is well.

    `specs` are all servers, `inside` is what every child runs in that has no sandbox.
    """
    if spec.allow_shared_uid or spec.isolation.uid_range is not None:
        return None
    headers = [said(name) for name in placeholders(*spec.env.values()) if name.startswith(HEADER)]
    if not headers:
        return None
    if not _sees_itself_alone(spec, inside):
        return f"other processes of its user could read what each user gives: {', '.join(headers)}; {_REMEDIES}"
    seeing = [
        each.name
        for each in specs.values()
        if each.isolation.uid_range is None and _uid(each) == _uid(spec) and not _sees_itself_alone(each, inside)
    ]
    if seeing:
        return f"sessions of {', '.join(seeing)}, of the same user, could read {', '.join(headers)}; {_REMEDIES}"
    return None


def certainly_exposed(settings: SupervisorSettings) -> Iterator[tuple[str, str]]:
    """The servers of which that is known before it is known how trees are kept whole, and why."""
    inside = Inside.NOTHING if settings.reaping in ("cgroup", "tagged") else Inside.NAMESPACE
    return _all(settings, inside)


def tell(settings: SupervisorSettings, reaping: Reaping) -> None:
    """Let the operator know which servers are not started."""
    for name, why in _all(settings, reaping.inside):
        logger.error("server {} is not started: {}", name, why)


def check(server: str, settings: SupervisorSettings, reaping: Reaping) -> None:
    """Raises SpawnError where `server` is not to be started. Its text leaves the rest to the log, and to health."""
    spec = settings.servers.get(server)
    if spec is not None and (why := exposed(spec, settings.servers, reaping.inside)) is not None:
        message = f"server '{server}' is not started, for others could read its users' own; the operator must say how"
        raise SpawnError(Reason.SHARED_UID, message, why)


def reported(answer: Answer, settings: SupervisorSettings, reaping: Reaping) -> Answer:
    """`answer`, in which servers that are not started are failing, and why."""
    why = dict(_all(settings, reaping.inside))
    servers = {
        name: msgspec.structs.replace(each, failing=why[name]) if name in why else each
        for name, each in answer.servers.items()
    }
    return msgspec.structs.replace(answer, servers=servers) if why else answer


def _all(settings: SupervisorSettings, inside: Inside) -> Iterator[tuple[str, str]]:
    for spec in settings.servers.values():
        if (why := exposed(spec, settings.servers, inside)) is not None:
            yield spec.name, why


def _sees_itself_alone(spec: ServerSpec, inside: Inside) -> bool:
    """Whether no session of this server sees the processes of another."""
    return spec.isolation.sandbox is not None or (inside is not Inside.NOTHING and _uid(spec) != 0)


def _uid(spec: ServerSpec) -> int:
    """The user id of a server without a range."""
    user = spec.isolation.user
    if user is None:
        return os.geteuid()
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        return NO_ID  # that there is no such user is told elsewhere
