"""Where the audit log is written: a file, or standard error, by a thread of its own.

Whoever has a line never waits, and nothing that goes wrong with the file goes further than this module. Lines wait in a
queue that is bounded; each is one write at the file's end. What cannot be written is lost, and counted: the log says so
when it begins and when it is over, and the file has a line about it, too.

A file that was renamed or removed is opened anew, so rotating it needs no signal.
"""

import errno
import os
import queue
import threading
from typing import Final

from loguru import logger

QUEUED: Final = 4096
"""Lines that may wait: some seconds of a busy gateway."""

CLOSING: Final = 2.0
"""Seconds that the lines which wait have at the end."""

_STDERR: Final = 2
_MODE: Final = 0o600
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Not to wait for whoever reads a FIFO; to a file it means nothing."""


class CannotWrite(Exception):
    """The file cannot be opened; the text says which, and why."""


class Appender:
    """Writes lines at the end of the file at `path`; None is for standard error. Raises CannotWrite where it cannot."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._fd = _STDERR if path is None else _opened(path)
        self._torn = False
        """Whether the last line in the file is only a part of one."""

    def __repr__(self) -> str:
        return f"<Appender {self._path or 'stderr'}>"

    def write(self, line: bytes) -> None:
        """One write. Raises OSError, also where only a part of the line could be written."""
        self._follow()
        data = b"\n" + line if self._torn else line
        written = os.write(self._fd, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Nothing is written any more."""
        if self._path is not None:
            os.close(self._fd)

    def _follow(self) -> None:
        """Go on with another file where somebody has put this one away. Raises OSError."""
        if self._path is None:
            return
        try:
            there = os.stat(self._path)  # noqa: PTH116 - it is done for each line
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, os.fstat(self._fd)):
            fresh = os.open(self._path, _FLAGS, _MODE)
            os.close(self._fd)
            self._fd, self._torn = fresh, False


class AuditFile:
    """Has lines appended to a file. It owns `appender`, and the thread that writes."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self._overflowed = 0
        """Lines for which there was no room; this one is the caller's, the next two the thread's."""
        self._unwritten = 0
        self._told_of = 0
        """Of both together, how many the file knows of."""
        self._overflows = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<AuditFile {self._appender!r}: {self._queue.qsize()} lines wait, {self.lost} are lost>"

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        return self._overflowed + self._unwritten

    def put(self, line: bytes) -> None:
        """Have `line`, which ends with a newline, written. It never waits, and raises nothing."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._overflowed += 1
            if not self._overflows:
                self._overflows = True
                logger.error("the audit log is written too slowly; lines are lost")
        else:
            self._overflows = False

    def close(self, patience: float = CLOSING) -> None:
        """Write what waits, for at most `patience` seconds, and close the file."""
        try:
            self._queue.put(None, timeout=patience)
        except queue.Full:
            return
        self._thread.join(patience)

    # The thread.

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            self._write(line)
        self._appender.close()

    def _write(self, line: bytes) -> None:
        try:
            if (lost := self.lost) > self._told_of:
                self._appender.write(b'{"event":"lost","lines":%d}\n' % (lost - self._told_of))
                self._told_of = lost
            self._appender.write(line)
        except OSError as error:
            self._unwritten += 1
            if not self._failing:
                self._failing = True
                logger.error("the audit log cannot be written: {}; lines are lost", error.strerror)
            return
        if self._failing:
            self._failing = False
            logger.warning("the audit log is written again; {} lines were lost in all", self.lost)


def _opened(path: str) -> int:
    try:
        return os.open(path, _FLAGS, _MODE)
    except OSError as error:
        raise CannotWrite(f"cannot write the audit log {path}: {error.strerror}") from None
