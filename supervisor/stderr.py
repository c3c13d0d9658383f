"""What a child says on stderr: the last of it is kept, each line is logged at `debug`, none of it reaches a caller."""

import asyncio
import fcntl
import os
from collections import deque
from typing import Final

from loguru import logger

_READ: Final = 65536
_LINE: Final = 2000
"""Bytes of a line that are kept; a flood without newlines must not fill the memory."""
_LINES: Final = 200
"""Lines that are kept of each child."""


class StderrTail:
    """Owns the read end of one child's stderr."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._partial = b""
        self._lines: deque[str] = deque(maxlen=_LINES)
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def tail(self, lines: int) -> list[str]:
        """The last `lines` lines, the one that is not complete yet included."""
        kept = [*self._lines, self._text(self._partial)] if self._partial else list(self._lines)
        return kept[-lines:]

    def close(self) -> None:
        """Read what is left without waiting, and let go of the descriptor. May be called again."""
        if self._fd < 0:
            return
        # No more than the pipe can hold: something that has left its tree may go on writing.
        left = fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)
        while left > 0 and self._fd >= 0 and (read := self._read()):
            left -= read
        self._let_go()

    def _read(self) -> int:
        """How many bytes there were."""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return 0
        if not data:
            self._let_go()
            return 0
        *complete, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[:_LINE]
        for line in complete:
            text = self._text(line)
            self._lines.append(text)
            logger.debug("{} stderr: {}", self._name, text)
        return len(data)

    @staticmethod
    def _text(line: bytes) -> str:
        return line[:_LINE].decode("utf-8", "backslashreplace").rstrip("\r")

    def _let_go(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
