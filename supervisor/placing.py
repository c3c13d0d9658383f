"""Where a child is put: its cgroup leaf, its namespace or sandbox, its limits; decided for each spawn."""

import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.config.model import ServerSpec
from common.reasons import Reason
from supervisor import sandbox
from supervisor.cgroups import Leaf
from supervisor.environment import SpawnError
from supervisor.places import is_reachable
from supervisor.reaping import Reaping
from supervisor.rooms import Room
from supervisor.wrapper import Inside, Wrapping


@dataclass(frozen=True)
class Place:
    """A place for one child. Whoever has it removes the leaf once its tree is gone, or was never spawned."""

    wrapping: Wrapping
    leaf: Leaf | None

    def clear(self) -> None:
        """Remove the leaf. Raises OSError where something lives in it."""
        if self.leaf is not None:
            self.leaf.remove()


@dataclass(frozen=True)
class Placer:
    """Makes places, as this machine allows. `soft_open_files` is what a program usually may open at once."""

    reaping: Reaping
    soft_open_files: int
    private: tuple[Path, ...] = ()
    """Directories that nobody in a sandbox may see."""
    shared: Path | None = None
    """The one that everybody in a sandbox may read, and nobody may write to."""

    def place(self, spec: ServerSpec, lease: int, room: Room) -> Place:
        """A place for a child of `spec`. Raises SpawnError."""
        inside = Inside.BUBBLEWRAP if spec.isolation.sandbox is not None else self.reaping.inside
        leaf = self._leaf(spec, lease)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        open_files = spec.limits.open_files_max
        wrapping = Wrapping(
            cgroup=str(leaf.procs) if leaf is not None else None,
            uid=room.identity.uid if room.identity is not None else None,
            gid=room.identity.gid if room.identity is not None else None,
            no_new_privs=spec.isolation.no_new_privs,
            open_files=min(open_files, hard) if open_files is not None else None,
            soft_open_files=self.soft_open_files,
            file_size=spec.limits.file_size_max,
            inside=inside,
            sandbox=self._sandbox(spec, room),
        )
        return Place(wrapping, leaf)

    def _sandbox(self, spec: ServerSpec, room: Room) -> list[str]:
        if spec.isolation.sandbox is None:
            return []
        private, shared = self.private, self.shared
        if room.identity is not None:  # bwrap fails at a path that its user cannot get to, however it is told to try
            private = tuple(each for each in private if is_reachable(each.parent))
            shared = shared if shared is not None and is_reachable(shared) else None
        return sandbox.options(spec.isolation.sandbox, room.path, private, shared)

    def _leaf(self, spec: ServerSpec, lease: int) -> Leaf | None:
        run = self.reaping.run
        if run is None:
            return None
        leaf = None
        try:
            leaf = run.leaf(lease)
            leaf.limit(spec.limits, run.controllers)
        except OSError as error:
            if leaf is not None:
                with suppress(OSError):  # nothing lives in it; should the kernel not let it go, the run's end will
                    leaf.remove()
            message = f"server '{spec.name}' could not be started"
            raise SpawnError(Reason.SPAWN_FAILED, message, f"no cgroup for it: {error}") from error
        return leaf
