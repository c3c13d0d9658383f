"""Where on disk the supervisor keeps what is its own: directories that nobody else may look into."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.config.model import SupervisorSettings

_PRIVATE: Final = 0o700
_OPEN_TO_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022


class PlaceError(Exception):
    """A directory that is needed cannot be had; the text names it, and what to do."""


def runtime_directory(settings: SupervisorSettings, environ: Mapping[str, str] = os.environ) -> Path:
    """The directory for what is of this run: `runtime_dir`, systemd's, the user's own, or one in /tmp.

    It is made if need be, with mode 0700. Raises PlaceError where it belongs to somebody else or is open to others.
    """
    return private_directory(_runtime_directory(settings, environ), "runtime_dir")


def sessions_directory(
    settings: SupervisorSettings, *, other_users: bool, environ: Mapping[str, str] = os.environ
) -> Path:
    """The directory for the rooms of sessions: `sessions_dir`, systemd's, or `sessions` in the runtime directory.

    Where children run as `other_users` they must be able to reach it. The runtime directory is closed to them, so then
    the last resort is a directory of its own in /tmp. Raises PlaceError where it cannot be had, or not be reached.
    """
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if settings.sessions_dir is not None:
        directory = Path(settings.sessions_dir)
    elif state:
        directory = Path(state, "sessions")
    elif other_users:
        directory = Path(f"/tmp/mcp-gateway-sessions-{os.geteuid()}")  # noqa: S108 - checked to be our own
    else:
        directory = runtime_directory(settings, environ) / "sessions"
    _make(directory, 0o711 if other_users else _PRIVATE, "sessions_dir")
    _check_owner(directory, _WRITABLE_BY_OTHERS, "sessions_dir")
    if other_users:
        _check_reachable(directory, "sessions_dir")
    return directory.resolve()


def caches_directory(
    settings: SupervisorSettings, *, other_users: bool, environ: Mapping[str, str] = os.environ
) -> Path:
    """The directory for what was fetched, which only this user may write to: `caches_dir`, systemd's, or the user's own.

    Where children run as `other_users` they must be able to reach it. Raises PlaceError where it cannot be had, or not
    be reached.
    """
    directory = caches_path(settings, environ)
    if directory is None:
        raise PlaceError("there is no HOME to keep a cache in; give 'caches_dir' a directory")
    _make(directory, 0o755, "caches_dir")
    _check_owner(directory, _WRITABLE_BY_OTHERS, "caches_dir")
    if other_users:
        _check_reachable(directory, "caches_dir")
    return directory


def caches_path(settings: SupervisorSettings, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where that directory is, or would be; None where there is no place for it."""
    if settings.caches_dir is not None:
        return Path(settings.caches_dir).resolve()
    if given := environ.get("CACHE_DIRECTORY", "").partition(":")[0]:
        return Path(given).resolve()
    return Path(environ["HOME"], ".cache", "mcp-gateway").resolve() if environ.get("HOME") else None


def private_directory(directory: Path, key: str) -> Path:
    """`directory`, made with mode 0700 if need be; `key` of the configuration says where another one may be given.

    Raises PlaceError where it belongs to somebody else or is open to others.
    """
    _make(directory, _PRIVATE, key)
    _check_owner(directory, _OPEN_TO_OTHERS, key)
    return directory


def _runtime_directory(settings: SupervisorSettings, environ: Mapping[str, str]) -> Path:
    if settings.runtime_dir is not None:
        return Path(settings.runtime_dir)
    if given := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if users_own := environ.get("XDG_RUNTIME_DIR"):
        return Path(users_own, "mcp-gateway")
    return Path(f"/tmp/mcp-gateway-{os.geteuid()}")  # noqa: S108 - checked to be our own


def _make(directory: Path, mode: int, key: str) -> None:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            directory.mkdir(mode=mode)
            directory.chmod(mode)  # whatever our umask is
    except OSError as error:
        raise PlaceError(f"{directory} cannot be made ({error.strerror}); give '{key}' another directory") from None


def _check_owner(directory: Path, forbidden: int, key: str) -> None:
    """Refuse a directory that is not ours, or is a link, which its owner could turn to elsewhere."""
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise PlaceError(f"{directory} is no directory; give '{key}' another one")
    if status.st_uid != os.geteuid():
        raise PlaceError(f"{directory} belongs to user {status.st_uid}; give '{key}' a directory of your own")
    if stat.S_IMODE(status.st_mode) & forbidden:
        raise PlaceError(f"{directory} is open to others; close it (chmod 700), or give '{key}' another directory")


def is_reachable(directory: Path) -> bool:
    """Whether every user may pass through `directory`, which need not be there, and all above it."""
    return closed_to_others(directory) is None


def closed_to_others(directory: Path) -> Path | None:
    """Where users who own nothing cannot pass: `directory` itself, or one above it; None where they can."""
    for each in (directory, *directory.resolve().parents):
        with suppress(FileNotFoundError):
            if not each.stat().st_mode & stat.S_IXOTH:
                return each
    return None


def _check_reachable(directory: Path, key: str) -> None:
    if (each := closed_to_others(directory)) is not None:
        raise PlaceError(
            f"children that run as other users cannot reach {directory}, because {each} is closed to them; "
            f"give '{key}' another directory, or open that one to passing through (chmod o+x)"
        )
