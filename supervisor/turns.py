"""One at a time, among programs that share a directory: a lock on a file (flock(2)), which ends with its holder."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

_GLANCE: Final = 0.1
"""Seconds between two tries: the kernel tells nobody that such a lock is free, but who blocks for it in a thread."""


@asynccontextmanager
async def a_turn(path: Path) -> AsyncIterator[None]:
    """Hold the lock on the file `path`, which is made if need be, and stays: two that remove it would both have it.

    Waits for as long as somebody else holds it; may be cancelled. Raises OSError where the file cannot be had.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while not _is_ours(fd):  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(_GLANCE)
        yield
    finally:
        os.close(fd)


def _is_ours(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
