"""What a child says on stderr: the last of it is kept, lines are logged at `debug`, none of it reaches a caller.

It is read as fast as the child writes, whatever becomes of it, so that no child ever waits for its log. A flood is kept
out of the log by a bucket of lines; what did not fit is counted, and a line says how much it was. Secrets are taken
out of all that leaves this module.
"""

import asyncio
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from loguru import logger

from common.bucket import Bucket
from common.redact import KEY_BEGINS, KEY_ENDS, REDACTED, Redactor

_READ: Final = 65536
_LINE: Final = 2000
"""Bytes of a line that are kept; a flood without newlines must not fill the memory."""
_LINES: Final = 200
"""Lines that are kept of each child."""

LOGGED_AT_ONCE: Final = 200
"""Lines of one child that may be logged in one go."""
LOGGED_PER_SECOND: Final = 50.0
"""Lines of one child that may be logged each second after that."""

FILE_SIZE: Final = 1024 * 1024
"""Bytes after which a session's file is put aside; one that was put aside before is removed then."""
FILES_KEPT: Final = 200
"""Sessions whose files are kept; the oldest are removed."""

_KEY_LINES: Final = 200
"""Lines after which a private key whose end never came is over."""


class StderrFile:
    """A session's own file, put aside as `….1` when it has grown large: twice `size` bytes at most on the disk.

    The standard library's rotating handler would do it, at the price of a logger, a lock and a formatter for each
    session; loguru's at that of a sink through which every line of everybody goes. This is one `write` for a portion.
    """

    def __init__(self, path: Path, size: int = FILE_SIZE) -> None:
        """Raises OSError where `path` cannot be written."""
        self.path = path
        self._limit = size
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size

    def write(self, lines: list[str]) -> None:
        """Add `lines`. What the disk will not take is lost, and said once."""
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        if self._fd < 0 or not data:
            return
        try:
            if self._size + len(data) > self._limit and self._size:
                self._put_aside()
            self._size += os.write(self._fd, data)
        except OSError as error:
            logger.error("{} is given up: {}", self.path, error.strerror)
            self.close()

    def close(self) -> None:
        """May be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put_aside(self) -> None:
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self.close()
        self._fd = self._open()
        self._size = 0

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o600)


def open_file(directory: Path | None, name: str) -> StderrFile | None:
    """The file `name` in `directory`, which is made if need be; None without a directory, or where it cannot be had.

    A child is not kept from starting because its log cannot be written.
    """
    if directory is None:
        return None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_oldest(directory)
        return StderrFile(directory / f"{name}.log")
    except OSError as error:
        logger.error("no file for what a child says in {}: {}", directory, error.strerror)
        return None


def _remove_oldest(directory: Path) -> None:
    """Make room for one more file."""
    times: list[tuple[float, Path]] = []
    for path in directory.glob("*.log"):
        with suppress(FileNotFoundError):
            times.append((path.lstat().st_mtime, path))
    for _, path in sorted(times)[: max(0, len(times) - FILES_KEPT + 1)]:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.1").unlink(missing_ok=True)


class StderrTail:
    """Owns the read end of one child's stderr, and `file`, if it is given one."""

    def __init__(
        self,
        fd: int,
        name: str,
        redact: Redactor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bytes = 0
        """How much it has said in all."""
        self.dropped = 0
        """Lines that were kept out of the log."""
        self.file: StderrFile | None = None
        """All that it says, without secrets; owned by this."""
        self._fd = fd
        self._name = name
        self._redact = redact or Redactor({})
        self._clock = clock
        self._bucket = Bucket(LOGGED_AT_ONCE, LOGGED_PER_SECOND, clock())
        self._untold = 0
        """Of `dropped`, those of which the log does not know yet."""
        self._key_lines = 0
        """How many more lines may belong to a private key that has begun."""
        self._partial = b""
        self._lines: deque[str] | tuple[()] = ()
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def tail(self, lines: int) -> list[str]:
        """The last `lines` lines without secrets, the one that is not complete yet included."""
        kept = [*self._lines, self._text(self._partial)] if self._partial else list(self._lines)
        first = max(0, len(kept) - lines)
        # A key may have begun before the last lines; nothing else that is looked for takes more than one.
        begin = next((at for at in range(first - 1, -1, -1) if KEY_BEGINS.search(kept[at])), first)
        return self._redact.lines(kept[begin:])[-lines:] if kept else []

    def close(self) -> None:
        """Read what is left without waiting, and let go of the descriptors. May be called again."""
        if self._fd >= 0:
            # No more than the pipe can hold: something that has left its tree may go on writing.
            left = fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)
            while left > 0 and self._fd >= 0 and (read := self._read()):
                left -= read
            self._let_go()
        self._tell_of_dropped()
        if self.file is not None:
            self.file.write([self._redact(self._text(self._partial))] if self._partial else [])
            self.file.close()
            self.file = None

    def _read(self) -> int:
        """How many bytes there were."""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return 0
        if not data:
            self._let_go()
            return 0
        self.bytes += len(data)
        *complete, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[:_LINE]
        self._take([self._text(line) for line in complete])
        return len(data)

    def _take(self, lines: list[str]) -> None:
        if lines:
            self._lines = self._lines or deque(maxlen=_LINES)
            self._lines.extend(lines)
        shown: list[str] = []
        for line in lines:
            hidden = self._is_of_key(line)
            logged = self._bucket.take(self._clock())
            if logged or self.file is not None:
                text = REDACTED if hidden else self._redact(line)
                shown.append(text)
            if logged:
                self._tell_of_dropped()
                logger.debug("{} stderr: {}", self._name, text)
            else:
                self.dropped += 1
                self._untold += 1
        if self.file is not None:
            self.file.write(shown)

    def _tell_of_dropped(self) -> None:
        if self._untold:
            logger.debug("{} stderr: {} lines came too fast and are not in this log", self._name, self._untold)
            self._untold = 0

    def _is_of_key(self, line: str) -> bool:
        """Whether `line` belongs to a private key; it may have begun in a line that was not logged."""
        if KEY_BEGINS.search(line):
            self._key_lines = _KEY_LINES
        within = self._key_lines > 0
        self._key_lines = 0 if KEY_ENDS.search(line) else max(0, self._key_lines - 1)
        return within

    def _text(self, line: bytes) -> str:
        text = line[:_LINE].decode("utf-8", "backslashreplace").rstrip("\r")
        return self._redact.end(text) if len(line) >= _LINE else text

    def _let_go(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
