"""Programs that the supervisor runs for itself, and is done with once they have ended.

Each is a tree of its own, with a tag of this run, so nothing takes it for a stray, and whatever ends a run ends it,
too. The one reaper tells of its end.
"""

import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import anyio

from supervisor.ground import Ground
from supervisor.protocol import Exit
from supervisor.spawn import run_helper
from supervisor.tags import make_tag
from supervisor.tree import CensusTaker, Tree

_LAST: Final = (1 << 32) - 1
"""The number of the first helper's tree. They count down, and leases, which count up, never come near."""

_LONGEST: Final = 1 << 16
"""Bytes that are read of what a helper prints."""


@dataclass(frozen=True)
class Ended:
    """How a helper ended, and what it printed."""

    exit: Exit
    out: str
    err: str


@dataclass
class _Running:
    process: "subprocess.Popen[bytes]"
    exit: Exit = field(default_factory=Exit)
    ended: anyio.Event = field(default_factory=anyio.Event)


class Helpers:
    """Runs helpers. `exited` must be told of every process that is reaped."""

    def __init__(self, ground: Ground, census: CensusTaker) -> None:
        self._installation = ground.ledger.run.installation
        self._programs = ground.reaping.programs
        self._census = census
        self._number = _LAST
        self._running: dict[int, _Running] = {}

    def __repr__(self) -> str:
        return f"<Helpers {sorted(self._running)}>"

    @property
    def pids(self) -> Set[int]:
        """Of those that have not been reaped."""
        return self._running.keys()

    def exited(self, pid: int, exit_: Exit) -> None:
        """This process was reaped; it may be nobody of ours."""
        if (running := self._running.pop(pid, None)) is not None:
            running.process.returncode = -exit_.signal if exit_.signal is not None else exit_.code
            running.exit = exit_
            running.ended.set()

    def next_number(self) -> int:
        """The number of a tree that is no lease's."""
        self._number -= 1
        return self._number + 1

    async def run(self, argv: Sequence[str], environment: Mapping[str, str], directory: Path) -> Ended:
        """Run `argv` in `directory` to its end; whatever it leaves is killed. Raises OSError where it cannot be started.

        Cancelling kills it, with all that came from it, and returns once it is gone.
        """
        tag = make_tag(self._installation, self.next_number())
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = run_helper(list(argv), environment, tag, directory, (out.fileno(), err.fileno()), self._programs)
            running = self._running[process.pid] = _Running(process)
            try:
                await running.ended.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await Tree(process.pid, tag, self._census).end(signal.SIGKILL)
                    await running.ended.wait()
            return Ended(running.exit, _read(out), _read(err))


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_LONGEST).decode(errors="replace")
