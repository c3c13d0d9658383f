"""What a child is given besides its pipes: its command, its variables, its working directory. No process is started here.

A child's environment is a short list of the supervisor's variables, then the session's own places, then what the
server's `env` says, which wins.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from common.config.model import ServerSpec
from common.config.session_paths import fill
from common.reasons import Reason
from supervisor.rooms import Room
from supervisor.users import Identity

INHERITED_VARIABLES: Final = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "USER")
"""What a child gets of the supervisor's environment, with LC_*; the rest may hold the gateway's secrets."""

_IN_HOME: Final = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}
"""Where programs look first for what is otherwise below HOME: freedesktop.org's base directory specification."""


class SpawnError(Exception):
    """The child could not be started. `message` may be shown to a caller; `detail` is for the log alone."""

    def __init__(self, reason: Reason, message: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.reason = reason
        self.message = message
        self.detail = detail


def for_session(spec: ServerSpec, room: Room) -> ServerSpec:
    """`spec` as this session has it: the room's paths filled in, and a `path` to start in."""
    paths = room.session_paths
    return spec.model_copy(
        update={
            "args": tuple(fill(each, paths) for each in spec.args),
            "env": own_variables(spec, room),
            "path": str(room.work) if spec.path is None else fill(spec.path, paths),
        }
    )


def own_variables(spec: ServerSpec, room: Room) -> dict[str, str]:
    """The variables that `spec` gives, as this session has them."""
    paths = room.session_paths if spec.env else {}
    return {name: fill(value, paths) for name, value in spec.env.items()}


def child_environment(
    spec: ServerSpec, environ: Mapping[str, str], room: Room, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a child of `spec` that lives in `room`, with `extra`, over which nothing wins."""
    # Whoever asks for a value has it decoded, so only those are looked at that the child gets.
    wanted = {*INHERITED_VARIABLES, *spec.isolation.inherit_env, *(name for name in environ if name.startswith("LC_"))}
    inherited = {name: environ[name] for name in wanted if name in environ}
    own = {"PATH": os.defpath} | inherited | _of_the_user(room.identity) | _places(spec, room)
    return own | spec.env | dict(extra or {})


def _of_the_user(identity: Identity | None) -> dict[str, str]:
    """What names the user, where that is not the supervisor's own."""
    if identity is None:
        return {}
    name = identity.name or str(identity.uid)
    home = {"HOME": identity.home} if identity.home else {}
    return {"USER": name, "LOGNAME": name, **home}


def _places(spec: ServerSpec, room: Room) -> dict[str, str]:
    paths = room.session_paths
    temporary, home = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), paths["session.tmp"]), paths["session.home"]
    if spec.isolation.home == "inherit":
        return temporary
    return temporary | {"HOME": home} | {name: f"{home}/{below}" for name, below in _IN_HOME.items()}


def resolve_command(spec: ServerSpec, path: str) -> str:
    """The file that `command` names, looked for on `path` as a shell would, then beside the gateway's own programs.

    One with a slash is relative to the server's `path`, or to where the supervisor was started. Raises SpawnError where
    there is none.
    """
    command = spec.command
    if os.sep in command:
        here = Path(spec.path or ".") / os.path.expanduser(command)  # noqa: PTH111 - an unknown user is no error
        found = shutil.which(here.absolute())
        if found is None and os.path.exists(here):  # noqa: PTH110 - where it may not be looked, it is not there
            raise SpawnError(
                Reason.COMMAND_NOT_FOUND,
                f"the command of server '{spec.name}' cannot be executed",
                f"'{command}' is there, but it is no file that may be executed",
            )
    else:
        found = shutil.which(command, path=path) or shutil.which(command, path=str(Path(sys.executable).parent))
    if found is None:
        raise SpawnError(
            Reason.COMMAND_NOT_FOUND,
            f"the command of server '{spec.name}' was not found",
            f"command '{command}' not found on PATH={path}",
        )
    return str(Path(found).absolute())  # before the working directory becomes the child's
