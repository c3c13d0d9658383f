"""What a run of the supervisor has started, on disk, so that the next one can end what was left.

Each run has a file of its own in the runtime directory, and holds a lock on it (flock(2)) for as long as it lives: so
a file whose lock can be had belongs to a run that is over, however it ended, and a directory may serve several
gateways. The first line says which run it is; each line after it is a leader that was spawned (`lease pid start`) or
a lease that is gone (`-lease`). It needs no fsync: it is to survive this process, not the machine. A line that cannot
be written, on a full disk for instance, is logged and no more: the other marks are still there.

The **sweep** ends what bears a mark of such a run: its tag, its token in the environment, its cgroups, or a pid in
the ledger together with the start time that the ledger gives. It looks at all processes, for an orphan of a dead
supervisor may be anybody's child, and it touches nothing else.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from supervisor.linux import Census, Process, descendants, look
from supervisor.tags import bears_token

_SUFFIX: Final = ".ledger"
_UNSEEN: Final = ".new"
COMPACT_AFTER: Final = 1000
"""Lines of leases that are gone, after which the file is written anew."""


class Run(msgspec.Struct, frozen=True):
    """The first line: which run this is, and where it keeps what."""

    installation: int
    boot: str
    """The boot in which it ran; after another one nothing of it can live."""
    cgroup: str | None = None
    rooms: str | None = None


class DeadRun(msgspec.Struct, frozen=True):
    """A run that is over, and the leaders that it had not seen the end of: start times by pid."""

    run: Run
    leaders: dict[int, int]
    path: Path

    def forget(self) -> None:
        """Nothing is left of it: remove its file."""
        for path in (self.path, self.path.with_suffix(_UNSEEN)):
            path.unlink(missing_ok=True)


def this_boot() -> str:
    """The id of this boot: proc_sys_kernel(5), random/boot_id."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Ledger:
    """The file of this run. Raises OSError where it cannot be made."""

    def __init__(self, directory: Path, run: Run) -> None:
        self.run = run
        self._path = directory / f"{run.installation:x}{_SUFFIX}"
        self._head = msgspec.json.encode(run) + b"\n"
        self._leaders: dict[int, bytes] = {}
        self._dead = 0
        self._fd = self._anew()

    def _anew(self) -> int:
        """Put a file in place that says only what still matters, and nobody sees half-written, or without its lock."""
        unseen = self._path.with_suffix(_UNSEEN)
        fd = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, self._head + b"".join(self._leaders.values()))
            unseen.rename(self._path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def born(self, lease: int, pid: int) -> None:
        """A leader was spawned. Without a descriptor to look with, its other marks must do."""
        try:
            process = look(pid)
        except OSError as error:
            logger.error("pid {} cannot be looked at for the ledger: {}", pid, error.strerror)
            process = None
        line = b"%d %d %d\n" % (lease, pid, process.start if process is not None else 0)
        self._leaders[lease] = line
        self._write(line)

    def gone(self, lease: int) -> None:
        """A tree was verified empty."""
        del self._leaders[lease]
        self._dead += 1
        self._write(b"-%d\n" % lease)
        if self._dead >= COMPACT_AFTER:
            self._compact()

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._fd, line)
        except OSError as error:
            logger.error("the ledger {} cannot be written: {}", self._path, error.strerror)

    def _compact(self) -> None:
        self._dead = 0
        try:
            anew = self._anew()
        except OSError as error:
            logger.error("the ledger {} cannot be written anew: {}", self._path, error.strerror)
            return
        os.close(self._fd)
        self._fd = anew

    def close(self, *, forget: bool = True) -> None:
        """This run is over, and nothing of it is left; or else the next one is to look after it (`forget=False`)."""
        if forget:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


def dead_runs(directory: Path) -> Iterator[DeadRun]:
    """The runs in `directory` whose supervisor no longer lives. A file that says nothing legible is removed."""
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError):
            text = _read_unlocked(path)
            if text is not None:
                run = _parse(path, text)
                if run is None:
                    path.unlink(missing_ok=True)
                else:
                    yield run


def _read_unlocked(path: Path) -> bytes | None:
    """What is in it, or None where somebody holds its lock, or it was replaced since it was opened."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return file.read() if os.fstat(file.fileno()).st_nlink else None


def _parse(path: Path, text: bytes) -> DeadRun | None:
    head, *lines = text.split(b"\n")
    try:
        run = msgspec.json.decode(head, type=Run)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    leaders: dict[bytes, tuple[int, int]] = {}
    for line in lines:
        words = line.split()
        if len(words) == 3 and all(word.isdigit() for word in words):  # the last one may be half a line
            leaders[words[0]] = int(words[1]), int(words[2])
        elif line.startswith(b"-"):
            leaders.pop(line[1:], None)
    return DeadRun(run, dict(leaders.values()), path)


def left_of(dead: DeadRun, census: Census) -> dict[int, Process]:
    """The living processes of a dead run: those that bear a mark of it, and what is below them."""
    installation = dead.run.installation
    found = {
        pid
        for pid, process in census.items()
        if (process.tag > 0 and process.tag >> 32 == installation)
        or dead.leaders.get(pid) == process.start
        or bears_token(_environ(pid), installation)
    }
    for pid in tuple(found):
        found |= descendants(census, pid)
    return {pid: census[pid] for pid in found - _kin(census) if census[pid].alive}


def _kin(census: Census) -> set[int]:
    """Ourselves, who started us, and what it started besides.

    A gateway that was started by a child of one that is dead bears that one's marks, and is not a thing that was left.
    """
    siblings = census.by_parent.get(os.getppid(), ())
    # Not whoever has the same parent: that may be init, or a manager of services, and then it has all orphans, too.
    kin = {os.getpid()} | {each for each in siblings if each in census and census[each].sid == os.getsid(0)}
    pid = os.getppid()
    while pid in census and pid not in kin:
        kin.add(pid)
        pid = census[pid].ppid
    return kin


def _environ(pid: int) -> bytes:
    """Its environment, as it was when it began; empty where it may not be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
