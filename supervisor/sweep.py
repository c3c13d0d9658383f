"""What the supervisor does first: end what its own last run left behind, and nothing else."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from loguru import logger

from supervisor.ledger import DeadRun, dead_runs, left_of, this_boot
from supervisor.reaping import cleared
from supervisor.tree import CensusTaker, kill_all, outrun
from supervisor.wiping import NotWiped

_TRY_AGAIN = 0.02
"""Seconds; a cgroup is empty a moment after its last process has gone."""

PATIENCE = 10.0
"""Seconds that the processes of a dead run may take to go. What hangs in the kernel must not keep us from starting."""


async def sweep(directory: Path, census: CensusTaker, wipe: Callable[[Path], object]) -> int:
    """End what the dead runs in `directory` left; how many processes that was. Their rooms are given to `wipe`.

    What cannot be ended within PATIENCE, or not be wiped, is logged as an error, and left to the next start.
    """
    found = 0
    for dead in dead_runs(directory):
        with anyio.move_on_after(PATIENCE) as scope:
            found += await _end(dead, census)
        if scope.cancelled_caught:
            logger.error("something of the last run cannot be killed; see {}", dead.path)
            continue
        if dead.run.rooms is None or await _wipe(Path(dead.run.rooms), wipe):
            dead.forget()
    if found:
        logger.warning("{} processes were left of a run that ended without warning; killed", found)
    return found


async def _wipe(rooms: Path, wipe: Callable[[Path], object]) -> bool:
    """In a thread, for as long as it takes; whether nothing is left."""
    try:
        await anyio.to_thread.run_sync(wipe, rooms)
    except (OSError, NotWiped) as error:
        logger.error("{}, of a run that is over, could not be wiped: {}", rooms, error)
        return False
    return True


async def _end(dead: DeadRun, census: CensusTaker) -> int:
    if dead.run.boot != this_boot():
        return 0
    killed: set[int] = set()
    while True:
        # The kernel outruns any forker; so first what is in a cgroup, then what bears a mark.
        empty = dead.run.cgroup is None or cleared(Path(dead.run.cgroup))
        seen = await census.fresh()
        left = left_of(dead, seen)
        if left:
            await kill_all(outrun(left, killed, partial(left_of, dead)).values())
        elif empty and seen.complete:
            return len(killed)
        else:
            await anyio.sleep(_TRY_AGAIN)
