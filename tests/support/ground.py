"""What children stand on in a test that has them below its own process, which must not be sealed for that."""

import os
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.config.model import SupervisorSettings
from supervisor.ground import Ground
from supervisor.ledger import Ledger, Run, this_boot
from supervisor.reaping import Reaping, find_programs
from supervisor.rooms import Rooms


@asynccontextmanager
async def grounded(settings: SupervisorSettings, *, sealed: bool = True) -> AsyncIterator[tuple[Ground, Rooms]]:
    """A ground in tagged mode, with a directory of its own, and rooms.

    It says that it is sealed, unless told otherwise, for what else a test has below its process is no stray.
    """
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)  # noqa: PTH101 - sessions may have a user of their own
        run = Run(random.randrange(1, 1 << 31), this_boot())
        ground = Ground(
            Reaping("tagged", find_programs()), Ledger(Path(directory), run), Path(directory), sealed=sealed
        )
        sessions = Path(directory) / "sessions"
        rooms = Rooms(settings.model_copy(update={"sessions_dir": str(sessions)}))
        try:
            yield ground, rooms
        finally:
            rooms.close()
            ground.close()
