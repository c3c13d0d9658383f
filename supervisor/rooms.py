"""A session's own room: a directory that is made with its child, and wiped with it.

The rooms of one run of the supervisor stand in a directory of that run's, its **base**, on which the run holds a lock
(flock(2)) for as long as it lives: so a later run, or another one beside it, can tell what nobody needs any more.
"""

import fcntl
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from supervisor.places import PlaceError, sessions_directory
from supervisor.users import Identities, Identity
from supervisor.wiping import NotWiped, remove_if_empty, seal, wipe

_RUN: Final = "run-"
_INNER: Final = ("home", "tmp", "work")
"""The directories in a room."""
_WIPED_AT_ONCE: Final = 2
"""Threads that wipe: more would only take the processors from those who live."""


@dataclass(frozen=True)
class Room:
    """One session's directory, and who lives there: None for the supervisor's own user."""

    path: Path
    identity: Identity | None = None

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"

    @property
    def work(self) -> Path:
        """Where the child starts, unless its server has a `path`."""
        return self.path / "work"

    @property
    def session_paths(self) -> dict[str, str]:
        """What `${session.dir}` and its like stand for."""
        path = str(self.path)
        below = {f"session.{name}": f"{path}/{name}" for name in _INNER}
        return {"session.dir": path, **below}


class Rooms:
    """Makes rooms and wipes them. Its `base` goes when it is closed, if nothing is left in it."""

    def __init__(self, settings: SupervisorSettings, environ: Mapping[str, str] = os.environ) -> None:
        """Make the base. Raises PlaceError or UserError where the configuration asks for what cannot be had."""
        self._identities = Identities(settings)
        others = self._for_others = self._identities.are_others
        self.base = sessions_directory(settings, other_users=others, environ=environ) / f"{_RUN}{secrets.token_hex(8)}"
        self._lock = _make_base(self.base, 0o711 if others else 0o700)
        self._wipers = anyio.CapacityLimiter(_WIPED_AT_ONCE)
        self.unwiped = 0
        """How many rooms could not be wiped."""

    def __repr__(self) -> str:
        return f"<Rooms in {self.base}>"

    def take_over(self, settings: SupervisorSettings) -> None:
        """Give new sessions rooms by `settings`, in the same place.

        Raises UserError or PlaceError where they ask for what cannot be had, and then nothing has changed.
        """
        if Identities(settings).are_others and not self._for_others:
            raise PlaceError("children that run as other users cannot reach the rooms; restart the supervisor")
        self._identities.take_over(settings)

    def has_user_for(self, spec: ServerSpec) -> bool:
        """Whether a user id is free for a child of `spec`, where it needs one of its own."""
        return self._identities.has_one_for(spec)

    def make(self, spec: ServerSpec) -> Room:
        """A room for a child of `spec`. Raises AllInUse, or OSError, and then nothing is left of it."""
        room = Room(self.base / secrets.token_hex(16), self._identities.acquire(spec))
        outer, *inner = room.session_paths.values()
        try:
            for directory in (outer, *inner):
                os.mkdir(directory, 0o700)  # noqa: PTH102 - for each session; a Path costs more than the kernel does
            if room.identity is not None:
                for directory in (*inner, outer):
                    os.chown(directory, room.identity.uid, room.identity.gid)
        except OSError:
            self._identities.release(room.identity)
            with suppress(OSError, NotWiped):
                wipe(room.path)
            raise
        return room

    def close_room(self, room: Room) -> None:
        """Take `room` from its child, which is gone, so that whoever is given its user id next cannot enter.

        `wipe` must follow. The user id of a room that cannot be taken back is given to nobody else.
        """
        try:
            seal(room.path)
        except FileNotFoundError:
            logger.debug("{} is gone already", room.path)
        except OSError as error:
            logger.error("a session's directory cannot be taken back: {}", error.strerror)
            return
        self._identities.release(room.identity)

    def remove_empty(self, room: Room) -> bool:
        """Remove `room`, which was closed, if its child has left nothing in it; whether it is gone. That takes no thread.

        If not, `wipe` has to do it.
        """
        if not remove_if_empty(room.path, _INNER):
            return False
        logger.debug("wiped {}, which was empty", room.path)
        return True

    async def wipe(self, room: Room) -> None:
        """Remove `room`, in a thread, to the end; cancellation does not reach it. What is left is logged and counted."""
        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(wipe, room.path, limiter=self._wipers)
            except (OSError, NotWiped) as error:
                self.unwiped += 1
                logger.error("{} could not be wiped: {}", room.path, error)
            else:
                logger.debug("wiped {}", room.path)

    def close(self) -> None:
        """Let go of the base."""
        with suppress(OSError):  # what could not be wiped was told, and is wiped at the next start
            self.base.rmdir()
        os.close(self._lock)


def wipe_leftovers(base: Path) -> int:
    """Wipe the rooms of a run that is dead, and its base; how many rooms there were. Blocks.

    Nothing of that run may live any more. A base that a living run holds is left alone, and so is a path that is no
    run's base, or is not there. Raises NotWiped, or OSError, where something is left.
    """
    if not base.name.startswith(_RUN) or not base.is_dir() or _is_in_use(base):
        return 0
    rooms = len(os.listdir(base))  # noqa: PTH208 - no need of paths
    wipe(base)
    return rooms


def _make_base(base: Path, mode: int) -> int:
    """Make a base and lock it; the descriptor that holds the lock, and that no child inherits.

    It gets its name once it is locked: before, somebody might take it for a dead run's.
    """
    unnamed = base.with_name(f".{base.name}")
    fd = -1
    try:
        unnamed.mkdir(mode=mode)
        fd = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchmod(fd, mode)  # whatever our umask is: children may have to pass through
        fcntl.flock(fd, fcntl.LOCK_EX)
        unnamed.rename(base)
    except OSError as error:
        with suppress(OSError):
            unnamed.rmdir()
        if fd >= 0:
            os.close(fd)
        raise PlaceError(f"{base} cannot be made ({error.strerror}); give 'sessions_dir' another directory") from None
    return fd


def _is_in_use(base: Path) -> bool:
    try:
        fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
