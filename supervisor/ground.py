"""What a run of the supervisor stands on: how trees are kept whole here, and the ledger of what was started."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger

from common.config.model import SupervisorSettings
from supervisor.ledger import Ledger, Run, this_boot
from supervisor.places import PlaceError, runtime_directory
from supervisor.reaping import Reaping, ReapingError, choose
from supervisor.seal import seal_tags
from supervisor.sweep import sweep
from supervisor.tree import CensusTaker

_LARGEST = 1 << 31
"""Above the number of a run, which is half of a 63-bit tag."""


class GroundError(Exception):
    """The supervisor cannot run like this; the text says why, and what to do."""


@dataclass(frozen=True)
class Ground:
    """What a run stands on. `close` when it is over, and nothing of it is left."""

    reaping: Reaping
    ledger: Ledger
    runtime: Path
    sealed: bool = False
    """Whether tags cannot be taken off."""

    async def sweep(self, wipe: Callable[[Path], object]) -> None:
        """End what runs before this one left. See supervisor.sweep."""
        await sweep(self.runtime, CensusTaker(), wipe)

    def close(self, *, all_wiped: bool = True) -> None:
        """Take back what was made for this run. What cannot be, rooms that were not wiped too, the next sweep will."""
        released = _release(self.reaping)
        self.ledger.close(forget=all_wiped and released)


def _release(reaping: Reaping) -> bool:
    """Remove the cgroup of this run, which is empty; whether that is done."""
    if reaping.run is not None:
        try:
            reaping.run.everything().remove()
        except OSError as error:
            logger.error("the cgroup {} cannot be removed: {}", reaping.run.path, error.strerror)
            return False
    return True


def prepare(settings: SupervisorSettings, rooms: Path | None = None) -> Ground:
    """The ground for a run with these settings, whose sessions have their rooms in `rooms`. Raises GroundError.

    Starts a process or two to see what the machine allows: call it before there is an event loop.
    """
    installation = random.SystemRandom().randrange(1, _LARGEST)
    try:
        runtime = runtime_directory(settings)
        reaping = choose(settings.reaping, installation, settings.wrapper)
    except (PlaceError, ReapingError) as error:
        raise GroundError(str(error)) from None
    cgroup = str(reaping.run.path) if reaping.run is not None else None
    try:
        ledger = Ledger(runtime, Run(installation, this_boot(), cgroup, str(rooms) if rooms is not None else None))
    except OSError as error:
        _release(reaping)
        raise GroundError(f"no ledger can be kept in {runtime}: {error.strerror}") from None
    return Ground(reaping, ledger, runtime)


def seal(ground: Ground, settings: SupervisorSettings) -> Ground:
    """`ground`, with tags that cannot be taken off, where that can be had: see supervisor.seal."""
    return replace(ground, sealed=_seal(settings))


def _seal(settings: SupervisorSettings) -> bool:
    if os.geteuid() != 0 and not all(spec.isolation.no_new_privs for spec in settings.servers.values()):
        logger.info("tags are not sealed: that would keep servers with 'no_new_privs: false' from what they want")
        return False
    try:
        seal_tags()
    except OSError as error:
        logger.warning("tags cannot be sealed on this machine, so a process may take its own off: {}", error)
        return False
    return True
