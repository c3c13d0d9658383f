"""Wiping and measuring a directory that somebody hostile has filled.

Nothing here follows a link, and nothing is named by a path that could be changed under us: each directory is opened
relative to one that is open already. Depth costs nothing: a directory within a directory is moved up to the top before
it is emptied, so two descriptors are enough for a tree of any depth. All of it blocks, and belongs in a thread.
"""

import errno
import fcntl
import itertools
import os
import secrets
import stat
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PATIENCE: Final = 600.0
"""Seconds for one room before it is given up: something that still lives adds to it as fast as it is emptied."""

_AT_ONCE: Final = 10_000
"""Entries that are looked at in one go."""

_SMALL: Final = 64 * 1024
"""Bytes of a directory itself; an empty one that is larger has held a thousand entries or more."""

_BLOCK: Final = 4096
_DEEPEST: Final = 100
"""Levels that are measured; each costs a descriptor."""

_FS_IOC_GETFLAGS: Final = 0x80086601
_FS_IOC_SETFLAGS: Final = 0x40086602
_UNCHANGEABLE: Final = 0x10 | 0x20
"""FS_IMMUTABLE_FL and FS_APPEND_FL, ioctl_iflags(2)."""


class NotWiped(Exception):
    """Something is left; the text says of what kind, and never a name that a child made up."""


def seal(directory: Path) -> None:
    """Close `directory` to everybody but this process's user; those inside it keep what they have open."""
    with _opened(str(directory), None) as fd:
        os.fchown(fd, os.geteuid(), os.getegid())
        os.fchmod(fd, stat.S_IRWXU)  # its owner may have opened it to everybody; this shuts an access list, too


def remove_if_empty(directory: Path, inner: Collection[str]) -> bool:
    """Remove `directory` where all that is in it is the empty directories `inner`; whether it is gone.

    It takes next to no time, so it need not be in a thread: one that has been large is left alone, for a file system such
    as ext4 looks through all the blocks that it once had. What cannot be removed this way is no error: some of `inner`
    may be gone then.
    """
    try:
        with _opened(str(directory), None) as fd:
            if os.fstat(fd).st_size > _SMALL:
                return False
            for name in inner:
                if os.stat(name, dir_fd=fd, follow_symlinks=False).st_size > _SMALL:
                    return False
                os.rmdir(name, dir_fd=fd)
        directory.rmdir()
    except OSError:
        return False
    return True


def wipe(directory: Path) -> None:
    """Remove `directory` with all that is in it. Raises NotWiped where something is left, OSError where all is.

    One that is not there any more is no error. Interrupted, it may be called again.
    """
    with suppress(FileNotFoundError):
        with _opened(str(directory), None) as top:
            _Wiping(top).work()
        directory.rmdir()


class _Wiping:
    """The work on one directory, which is open as `top`."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._device = os.fstat(top).st_dev
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._given_up: set[str] = set()
        self._trouble: OSError | None = None
        self._deadline = time.monotonic() + _PATIENCE

    def work(self) -> None:
        """Empty it. Raises NotWiped."""
        _clear_flags(self._top)
        while entries := _names(self._top, self._given_up):
            for name in entries:
                self._remove(name)
            if time.monotonic() > self._deadline:
                break
        if left := len(_names(self._top)):
            trouble = self._trouble.strerror if self._trouble else "more come as fast as they go"
            raise NotWiped(f"{left} entries are left{' and more' * (left == _AT_ONCE)}: {trouble}")

    def _remove(self, name: str) -> None:
        """Remove one entry of the top, with what is in it; what cannot be is given up."""
        try:
            if not self._unlink(self._top, name):
                with _opened(name, self._top) as fd:
                    _clear_flags(fd)
                    self._empty(fd)
                os.rmdir(name, dir_fd=self._top)
        except FileNotFoundError:
            return
        except OSError as error:
            self._trouble = error
            self._given_up.add(name)

    def _empty(self, fd: int) -> None:
        """Empty one directory: what is no directory is unlinked, what is one is moved up."""
        if os.fstat(fd).st_dev != self._device:
            raise OSError(errno.EXDEV, "something else is mounted there")
        while time.monotonic() < self._deadline:
            if not (names := _names(fd)):
                return
            for name in names:
                with suppress(FileNotFoundError):
                    if not self._unlink(fd, name):
                        self._move_up(fd, name)

    def _move_up(self, fd: int, name: str) -> None:
        new = f"{self._prefix}{next(self._numbers)}"
        try:
            os.rename(name, new, src_dir_fd=fd, dst_dir_fd=self._top)
        except PermissionError:
            with _opened(name, fd) as moving:  # writable for its owner now: to move it is to write to it
                _clear_flags(moving)
                os.rename(name, new, src_dir_fd=fd, dst_dir_fd=self._top)

    @staticmethod
    def _unlink(fd: int, name: str) -> bool:
        """Whether the entry was no directory, and so is removed."""
        for attempt in range(2):
            try:
                os.unlink(name, dir_fd=fd)
            except IsADirectoryError:
                return False
            except PermissionError:
                if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    return False
                if attempt or not _make_changeable(name, fd):
                    raise
            else:
                return True
        return False


def measure(directory: Path, enough: int) -> int:
    """The bytes that all in `directory` takes on disk, at least 4 KiB for each entry; a file with two names once.

    It stops as soon as that is above `enough`, and a tree that is nested too deeply to measure counts as that. What
    goes away meanwhile does not count; a directory that is not there takes nothing.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    try:
        with _opened(str(directory), None) as top:
            for status in _below(top, 0):
                if status is None:
                    return max(total, enough + 1)
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                total += max(_BLOCK, status.st_blocks * 512)
                if total > enough:
                    return total
    except FileNotFoundError:
        return total
    return total


def _below(fd: int, depth: int) -> Iterator[os.stat_result | None]:
    """Each entry below an open directory; None for what is too deep."""
    device = os.fstat(fd).st_dev
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield status
            if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                if depth == _DEEPEST:
                    yield None
                    return
                with suppress(OSError), _opened(entry.name, fd) as below:
                    yield from _below(below, depth + 1)


def _names(fd: int, without: Collection[str] = ()) -> list[str]:
    """Names in an open directory, AT_ONCE at most: a child may have made more than there is memory for."""
    with os.scandir(fd) as entries:
        return list(itertools.islice((entry.name for entry in entries if entry.name not in without), _AT_ONCE))


@contextmanager
def _opened(name: str, within: int | None) -> Iterator[int]:
    """The directory `name` opened, be it closed to its own owner. Raises OSError where it is none, or a link to one."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=within)
    try:
        status = os.fstat(handle)
        if stat.S_IMODE(status.st_mode) & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == os.geteuid():
            # Through the open handle: by its name it could have become a link.
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(status.st_mode) | stat.S_IRWXU)  # noqa: PTH101
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        yield fd
    finally:
        os.close(fd)


def _make_changeable(name: str, within: int) -> bool:
    """Take the flags off the entry `name` that forbid its removal, as root may; whether there were any.

    Only a regular file is opened: the others might wait for somebody, or do something.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
        return False
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within)
    try:
        return _clear_flags(fd)
    finally:
        os.close(fd)


def _clear_flags(fd: int) -> bool:
    try:
        flags = struct.unpack("i", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, struct.pack("i", 0)))[0]
        if not flags & _UNCHANGEABLE:
            return False
        fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("i", flags & ~_UNCHANGEABLE))
    except OSError:
        return False
    return True
