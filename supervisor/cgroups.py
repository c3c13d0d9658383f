"""A cgroup v2 leaf for each session (cgroups(7); the kernel's Documentation/admin-guide/cgroup-v2.rst).

What is in a leaf cannot leave it without being allowed to write to the tree of the supervisor's own cgroup:
`cgroup.kill` ends all of it at once, `cgroup.events` says when it is empty, and, where controllers are delegated,
memory, tasks and processor time of the whole session are bounded by the kernel. The supervisor's cgroup holds

    programs/              the supervisor, and whoever was in its cgroup: with controllers, no process may be beside
    leaves run-<installation>/    of this run of the supervisor, removed at its end, or by the sweep of the next
        <lease>/           of one session
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.config.model import Limits
from common.reasons import Reason

CONTROLLERS: Final = ("cpu", "memory", "pids")
"""Those that limits need."""

_PERIOD: Final = 100_000
"""Microseconds of a `cpu.max` period."""

_DELEGATED: Final = ("user.delegate", "trusted.delegate")
"""What systemd sets on a cgroup that it has delegated (systemd.resource-control(5), Delegate=)."""


class CgroupError(Exception):
    """There is no cgroup in which leaves can be made; the text says why, and what to do."""


def own_cgroup(proc: Path = Path("/proc/self")) -> Path:
    """The directory of this process's cgroup v2. Raises CgroupError where none is mounted."""
    inside = next((line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::")), None)
    if inside is None:
        raise CgroupError("this machine has no cgroup v2")
    if inside.startswith("/.."):
        raise CgroupError("this process is in a cgroup outside of its cgroup namespace")
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ", 1)[0] == "cgroup2":
            root, mount_point = before.split(" ")[3:5]
            below = os.path.relpath(inside, root)
            if not below.startswith(".."):
                return Path(mount_point) / below
    raise CgroupError("this machine has no cgroup v2 mounted, or not the part that this process is in")


def is_delegated(cgroup: Path) -> bool:
    """Whether systemd says that `cgroup` is for us to cut up."""
    for attribute in _DELEGATED:
        with suppress(OSError):
            if os.getxattr(cgroup, attribute) == b"1":
                return True
    return False


class Leaf:
    """The cgroup of one session. Made by `Run.leaf`, removed by `remove`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Leaf {self.path}>"

    @property
    def procs(self) -> Path:
        """The file that a process writes 0 to, to move in."""
        return self.path / "cgroup.procs"

    def pids(self) -> Iterator[int]:
        """All in it, and in what was made below it."""
        for directory in self._directories():
            with suppress(OSError):
                yield from map(int, (directory / "cgroup.procs").read_text().split())

    def is_populated(self) -> bool:
        """Whether anything lives in it, at any depth."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """SIGKILL to all in it, at any depth, at once: nothing can fork its way out."""
        with suppress(FileNotFoundError):
            (self.path / "cgroup.kill").write_text("1")

    def limit(self, limits: Limits, controllers: frozenset[str]) -> None:
        """Have the kernel enforce what of `limits` the delegated `controllers` can."""
        if "memory" in controllers and limits.memory_max is not None:
            self._write("memory.max", str(int(limits.memory_max)))
            self._write("memory.oom.group", "1")  # half a tree is of no use
            self._write("memory.swap.max", "0", optional=True)
        if "pids" in controllers and limits.tasks_max is not None:
            self._write("pids.max", str(limits.tasks_max))
        if "cpu" in controllers and limits.cpu_max is not None:
            self._write("cpu.max", f"{max(1000, round(limits.cpu_max * _PERIOD))} {_PERIOD}")

    def weigh(self, weight: int) -> None:
        """Have it get `weight` parts of the processors where those beside it get 100 each. Raises OSError."""
        self._write("cpu.weight", str(weight))

    def limit_hit(self) -> Reason | None:
        """The limit that the kernel enforced here, if any. Of memory first: it kills, the other only refuses."""
        if self._event("memory.events", "oom_kill"):
            return Reason.MEMORY_MAX
        return Reason.TASKS_MAX if self._event("pids.events", "max") else None

    def remove(self) -> None:
        """Remove it, with all that was made below it. Raises OSError where something lives in it."""
        for directory in reversed(list(self._directories())):
            with suppress(FileNotFoundError):
                directory.rmdir()

    def _directories(self) -> Iterator[Path]:
        """Itself, and those below it, each after the one above."""
        yield self.path
        for path, directories, _ in os.walk(self.path):
            yield from (Path(path) / name for name in directories)

    def _event(self, file: str, name: str) -> int:
        try:
            lines = (self.path / file).read_text().splitlines()
        except OSError:  # there is no such controller, or no descriptor to look with: then it is not known
            return 0
        return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)

    def _write(self, file: str, value: str, *, optional: bool = False) -> None:
        try:
            (self.path / file).write_text(value)
        except OSError:
            if not optional:
                raise


class Run:
    """The leaves of one run of the supervisor, below its own cgroup."""

    def __init__(self, path: Path, controllers: frozenset[str]) -> None:
        self.path = path
        self.controllers = controllers

    def leaf(self, lease: int) -> Leaf:
        """A new, empty leaf. Raises OSError where there can be none."""
        leaf = Leaf(self.path / str(lease))
        leaf.path.mkdir()
        return leaf

    def holds(self, pid: int) -> bool:
        """Whether `pid` is in one of the leaves."""
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError:
            return False
        return any(line.startswith("0::") and f"/{self.path.name}/" in line for line in lines)

    def everything(self) -> Leaf:
        """All leaves, as one."""
        return Leaf(self.path)


def prepare(cgroup: Path, installation: int) -> Run:
    """Make `cgroup` ready for leaves. Raises CgroupError where that is not allowed, or the kernel is older than 5.14."""
    path = cgroup / f"run-{installation:x}"
    try:
        path.mkdir()
        try:
            controllers = _prepare_run(cgroup, path)
        except (OSError, CgroupError):
            with suppress(OSError):
                path.rmdir()
            raise
    except OSError as error:
        raise CgroupError(
            f"no cgroups can be made in {cgroup} ({error.strerror}); under systemd the unit needs Delegate=yes"
        ) from None
    return Run(path, controllers)


def _prepare_run(cgroup: Path, path: Path) -> frozenset[str]:
    if not (path / "cgroup.kill").exists():
        raise CgroupError("this kernel has no cgroup.kill; it is there since Linux 5.14")
    controllers = _enable_controllers(cgroup)
    if controllers:
        (path / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in sorted(controllers)))
    return controllers


def _enable_controllers(cgroup: Path) -> frozenset[str]:
    """Delegate what we may on to leaves; which that is."""
    available = frozenset((cgroup / "cgroup.controllers").read_text().split()) & frozenset(CONTROLLERS)
    if not available:
        return available
    programs = cgroup / "programs"
    programs.mkdir(exist_ok=True)
    for _ in range(10):  # what is forked while we move is in the old place
        pids = (cgroup / "cgroup.procs").read_text().split()
        if not pids:
            break
        for pid in pids:
            with suppress(ProcessLookupError):
                (programs / "cgroup.procs").write_text(pid)
    (cgroup / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in sorted(available)))
    return available
