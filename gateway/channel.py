"""Messages over one child's pipes. Owns both descriptors.

Reading is `add_reader` and `os.read`, because that costs a quarter of what a stream object does. `O_NONBLOCK` belongs to
our end of each pipe alone; the child's end stays as it was.

A pipe takes up to PIPE_BUF bytes in one piece or not at all (pipe(7)), so only while a longer line is written can this
process end with a line cut off in the middle. That is noted for the gateway after this one.
"""

import asyncio
import fcntl
import os
import select
from collections import deque
from contextvars import Context
from typing import Final, Protocol

from gateway.framing import LineSplitter, Oversized
from gateway.hotstate import NoNotes, Notes
from gateway.large import LargeLine

_READ: Final = 65536

UNSENT_BYTES: Final = 8 * 1024 * 1024
"""Beyond `max_message_bytes`, how much may wait for a child that does not read before it counts as not reading."""


_NOBODYS: Final = Context()
"""What the loop keeps of whoever has it watch a pipe, for as long as it does: the caller's holds the whole request."""


class ChildNotReading(Exception):
    """The child leaves so much of its input unread that nothing more is kept for it."""


class Listener(Protocol):
    """Whom a channel tells what happens on it. Called from the event loop, one at a time."""

    def on_line(self, line: bytes) -> None:
        """The child wrote a line."""

    def on_large(self, line: LargeLine) -> None:
        """The child wrote a long line."""

    def on_oversized(self, line: Oversized) -> None:
        """The child wrote a line over the limit; it was dropped."""

    def on_closed(self) -> None:
        """The child closed its stdout, or has gone. Called at most once."""


class Channel:
    """Both pipes of one child. `limit` bounds a line in bytes, both ways; `notes` outlive this process."""

    def __init__(self, stdin: int, stdout: int, limit: int, listener: Listener, notes: Notes | None = None) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._listener = listener
        self._splitter = LineSplitter(limit)
        self._unsent: deque[memoryview] | tuple[()] = ()
        self._unsent_bytes = 0
        self._unsent_limit = limit + UNSENT_BYTES
        self._paused = False
        self._notes = notes or NoNotes()
        self._half_written = False
        """Whether the first of what is unsent is the rest of a line."""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(stdin, False)
        os.set_blocking(stdout, False)
        self._listen()

    def __repr__(self) -> str:
        return f"<Channel {self._stdin}, {self._stdout}: {self._unsent_bytes} bytes unsent>"

    def write(self, line: bytes) -> None:
        """Send one line, now or as soon as the child reads. Raises ChildNotReading; a dead child is on_closed's news."""
        if self._stdin < 0:
            return
        if self._unsent_bytes > self._unsent_limit:
            raise ChildNotReading
        data = memoryview(line + b"\n")
        if not self._unsent:
            data = data[self._write_some(data) :]
            if not data or self._stdin < 0:
                return
            _NOBODYS.run(self._loop.add_writer, self._stdin, self._writable)
            self._unsent = deque()
        self._unsent.append(data)
        self._unsent_bytes += len(data)

    def pause(self) -> None:
        """Stop reading: the pipe fills, and then the child waits."""
        if not self._paused and self._stdout >= 0:
            self._paused = True
            self._loop.remove_reader(self._stdout)

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._stdout >= 0:
            self._paused = False
            self._listen()

    def drain(self) -> None:
        """Read what the child has written so far, without waiting: it has ended, and its last words count.

        No more than the pipe can hold, for something that it left behind may go on writing.
        """
        left = fcntl.fcntl(self._stdout, fcntl.F_GETPIPE_SZ) if self._stdout >= 0 else 0
        while left >= 0 and self._stdout >= 0 and (read := self._read_some()):
            left -= read

    def close(self) -> None:
        """Let go of both pipes. May be called again; nothing is reported afterwards."""
        for fd in self.detach():
            os.close(fd)

    def detach(self) -> tuple[int, ...]:
        """Stop reading and writing; the descriptors, which are the caller's to close from now on."""
        pipes = tuple(fd for fd in (self._stdin, self._stdout) if fd >= 0)
        for fd in pipes:
            self._loop.remove_writer(fd)
            self._loop.remove_reader(fd)
        self._stdin = self._stdout = -1
        self._unsent = ()
        self._unsent_bytes = 0
        return pipes

    def _listen(self) -> None:
        _NOBODYS.run(self._loop.add_reader, self._stdout, self._readable)

    def _readable(self) -> None:
        self._read_some()

    def _read_some(self) -> int:
        """How many bytes there were."""
        try:
            data = os.read(self._stdout, _READ)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._close_stdout()
            self._listener.on_closed()
            return 0
        for line in self._splitter.feed(data):
            if isinstance(line, bytes):
                self._listener.on_line(line)
            elif isinstance(line, LargeLine):
                self._listener.on_large(line)
            else:
                self._listener.on_oversized(line)
            if self._stdout < 0:
                break
        return len(data)

    def _write_some(self, data: memoryview) -> int:
        """How many bytes the pipe took."""
        was_half_written = self._half_written
        in_pieces = len(data) > select.PIPE_BUF
        if in_pieces and not was_half_written:
            self._notes.begin_line()
        sent = self._try_to_write(data)
        self._half_written = 0 < sent < len(data) or (was_half_written and not sent)
        if (in_pieces or was_half_written) and not self._half_written:
            self._notes.end_line()
        return sent

    def _try_to_write(self, data: memoryview) -> int:
        try:
            return os.write(self._stdin, data)
        except BlockingIOError:
            return 0
        except OSError:
            # EPIPE. The reader sees the end too, and reports it; but this callback must not run for ever.
            self._close_stdin()
            return 0

    def _writable(self) -> None:
        while self._unsent:
            data = self._unsent[0]
            sent = self._write_some(data)
            if self._stdin < 0:
                return
            self._unsent_bytes -= sent
            if sent < len(data):
                self._unsent[0] = data[sent:]
                return
            self._unsent.popleft()
        self._unsent = ()
        self._loop.remove_writer(self._stdin)

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
        self._unsent = ()
        self._unsent_bytes = 0

    def _close_stdout(self) -> None:
        if self._stdout >= 0:
            self._loop.remove_reader(self._stdout)
            os.close(self._stdout)
            self._stdout = -1
