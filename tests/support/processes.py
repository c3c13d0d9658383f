"""Facts about processes: which are there, and when one has gone, without asking again and again."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psutil
from loguru import logger

PATIENCE = 30.0
"""Seconds: the one generous bound of every wait in the tests. Nothing is expected to take near as long."""


class Watched:
    """A process that is to end: a pidfd, so that its pid can never be another's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    async def ended(self) -> None:
        """Wait for its end."""
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(self._pidfd)

    def close(self) -> None:
        os.close(self._pidfd)


@contextmanager
def watching(*pids: int) -> Iterator[list[Watched]]:
    """Watch processes that live now."""
    watched = [Watched(pid) for pid in pids]
    try:
        yield watched
    finally:
        for each in watched:
            each.close()


def tree_of(pid: int) -> set[int]:
    """`pid` and everything below it."""
    try:
        process = psutil.Process(pid)
        return {pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def bearing(marker: str) -> list[psutil.Process]:
    """The processes, whoever's children they are now, whose environment holds `marker`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and marker in process.environ().values():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return psutil.Process(pid).num_fds()


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """No more than `count` descriptors can be opened."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [fd for fd in range(old[0]) if not Path(f"/proc/self/fd/{fd}").exists()]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


@contextmanager
def complaints(level: str = "ERROR") -> Iterator[anyio.Event]:
    """Set once something was logged as an error, or as what `level` says."""
    complained = anyio.Event()
    handler = logger.add(lambda _: complained.set(), level=level)
    try:
        yield complained
    finally:
        logger.remove(handler)
