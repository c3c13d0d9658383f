"""What got away from every tree, and is nobody's: found while children live, and killed.

A process that takes off every mark of its tree (supervisor.tree) can do so only where tags are not sealed. It is still
below the supervisor, which adopts orphans.
"""

import os
import signal
from collections.abc import Callable, Collection

from loguru import logger

from supervisor.ground import Ground
from supervisor.linux import Census, Process
from supervisor.tags import make_tag
from supervisor.tree import signal_all, strays


class Strays:
    """Finds them; `leaders` says the pids of all trees there are."""

    def __init__(self, ground: Ground, leaders: Callable[[], Collection[int]]) -> None:
        self._sealed = ground.sealed
        self._run = ground.reaping.run
        self._mark = make_tag(ground.ledger.run.installation, 0)
        self._leaders = leaders

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
            for pidfd in signal_all(found.values(), signal.SIGKILL):
                os.close(pidfd)
