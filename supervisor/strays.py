"""What got away from every tree, and is nobody's: found while children live, and killed.

A process that takes off every mark of its tree (supervisor.tree) can do so only where tags are not sealed. It is still
below the supervisor, which adopts orphans. One that bears the tag of a tree which was found empty has hidden from that
look (supervisor.nearby says how it could): it is found by its tag.
"""

import os
import signal
from collections.abc import Callable, Collection

from loguru import logger

from supervisor.ground import Ground
from supervisor.linux import Census, Process, look
from supervisor.tags import make_tag
from supervisor.tree import outlived, signal_all, strays


class Strays:
    """Finds them; `leaders` says the pids of all trees there are, `leases` the leases of all, `last` the newest ever."""

    def __init__(
        self,
        ground: Ground,
        leaders: Callable[[], Collection[int]],
        leases: Callable[[], Collection[int]],
        last: Callable[[], int],
    ) -> None:
        self._sealed = ground.sealed
        self._run = ground.reaping.run
        self._installation = ground.ledger.run.installation
        self._mark = make_tag(self._installation, 0)
        self._leaders = leaders
        self._leases = leases
        self._last = last
        self.outlived = 0
        """How many had hidden from the look that found their tree empty."""

    def __repr__(self) -> str:
        return f"<Strays {'none, under a seal' if self._sealed else 'that nothing keeps from getting away'}>"

    def among(self, census: Census) -> dict[int, Process]:
        """Those in `census`. Under a seal there can be none; and what is in a session's cgroup is that session's."""
        if self._sealed:
            return {}
        found = strays(census, os.getpid(), self._leaders(), self._mark)
        return {pid: each for pid, each in found.items() if self._run is None or not self._run.holds(pid)}

    def kill(self, census: Census) -> None:
        """Kill those in `census`, and do not wait: what hangs in the kernel would be waited for once a second."""
        if found := self.among(census):
            logger.warning("{} processes took off every mark of their trees; killing them", len(found))
            _kill(found)
        if late := self._outlived(census):
            self.outlived += len(late)
            logger.error("{} processes outlived their sessions; killing them", len(late))
            _kill(late)

    def _outlived(self, census: Census) -> dict[int, Process]:
        living = {make_tag(self._installation, lease) for lease in self._leases()}
        found = outlived(census, os.getpid(), living, self._mark, make_tag(self._installation, self._last()))
        return {pid: each for pid, each in found.items() if _lives(each)}  # the census may be older than its tree's end


def _lives(process: Process) -> bool:
    now = look(process.pid)
    return now is not None and now.start == process.start and now.alive


def _kill(found: dict[int, Process]) -> None:
    for pidfd in signal_all(found.values(), signal.SIGKILL):
        os.close(pidfd)
