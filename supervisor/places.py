"""Where the supervisor keeps what lasts no longer than the machine runs: the runtime directory."""

import os
import stat
from pathlib import Path

from common.config.model import SupervisorSettings


class PlaceError(Exception):
    """A directory cannot be used; the text says which, why, and what to do."""


def runtime_directory(settings: SupervisorSettings) -> Path:
    """The directory, of mode 0700 and our own: `runtime_dir`, or systemd's, or the user's, or one in /tmp.

    Made if need be. Raises PlaceError where it is somebody else's or open to others.
    """
    path = Path(settings.runtime_dir) if settings.runtime_dir is not None else _usual()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise PlaceError(f"runtime_dir: {path} cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PlaceError(f"runtime_dir: {path} is open to others; expected a directory of your own with mode 0700")
    return path


def _usual() -> Path:
    if systemd := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(systemd.split(":")[0])
    if xdg := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(xdg) / "mcp-gateway"
    return Path(f"/tmp/mcp-gateway-{os.geteuid()}")  # noqa: S108 - refused where it is not ours
