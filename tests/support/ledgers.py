"""What the rogue servers started, and what is left of it: `tests/servers/rogue.py` says why it can be trusted."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
import psutil

from tests.support.processes import PATIENCE

_HEADING: Final = "processes, one a line\n"


class Ledger:
    """The ledger of one server's processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(_HEADING)
        path.chmod(0o666)

    def started(self) -> int:
        """How many processes have signed."""
        return self.path.read_text().count("\n") - 1

    async def held(self) -> bool:
        """Whether a process that signed, or one that it forked, still lives.

        Where it seems so, it is waited for: a look at /proc/PID/cmdline by anybody on the machine keeps the memory of a
        process that has just ended, and with that its lock, for a moment.
        """
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return False
        command = ["flock", "--exclusive", "--timeout", str(PATIENCE / 3), str(self.path), "true"]
        return (await anyio.run_process(command, check=False)).returncode != 0


class Ledgers:
    """A ledger for each of some servers, and the news of their processes."""

    def __init__(self, directory: Path, names: Iterable[str]) -> None:
        self.directory = directory
        self.by_name = {name: Ledger(directory / f"{name}.ledger") for name in names}
        news = directory / "news"
        os.mkfifo(news)
        news.chmod(0o666)
        self._news = os.open(news, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._partial = ""

    def close(self) -> None:
        """Let go of the news."""
        os.close(self._news)

    async def in_effect(self, names: Iterable[str]) -> None:
        """Wait until the servers `names` do what they are to do."""
        missing = set(names)
        with anyio.move_on_after(PATIENCE):
            while missing:
                await anyio.wait_readable(self._news)
                *said, self._partial = (self._partial + os.read(self._news, 65536).decode()).split("\n")
                missing -= set(said)
        assert not missing, f"no news of {missing}"

    def bearers(self) -> dict[str, list[psutil.Process]]:
        """The living processes whose command line names a ledger, whoever they are and wherever they live."""
        found: dict[str, list[psutil.Process]] = {name: [] for name in self.by_name}
        for process in psutil.process_iter():
            for name in self._named_by(process):
                found[name].append(process)
        return found

    def _named_by(self, process: psutil.Process) -> list[str]:
        try:
            line = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie, too
            return []
        if str(self.directory) not in line:
            return []
        return [name for name, ledger in self.by_name.items() if str(ledger.path) in line]

    async def left(self) -> dict[str, int]:
        """How many processes of each server live, at least, at this moment."""
        bearers = self.bearers()
        return {name: max(len(bearers[name]), int(await ledger.held())) for name, ledger in self.by_name.items()}

    def kill(self, *names: str, only: str = "") -> None:
        """Kill processes of the servers `names`, of all by default, that are called `only`, or anything."""
        for name in names or tuple(self.by_name):
            for process in self.bearers()[name]:
                with suppress(psutil.NoSuchProcess):
                    if only in ("", process.name()):
                        process.kill()


@contextmanager
def ledgers(names: Iterable[str]) -> Iterator[Ledgers]:
    """Ledgers in a directory that any user can reach; on leaving, what is left of the processes is killed."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.chmod(0o711)
    made = Ledgers(directory, names)
    try:
        yield made
    finally:
        while any(made.bearers().values()):
            made.kill()
        made.close()
        shutil.rmtree(directory)
