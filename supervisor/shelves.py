"""Where what was fetched is kept, between runs: a shelf for each package, with a place for each time it was fetched.

Nothing is ever fetched into a place that is in use. A new place becomes the package's when all of it is there, by one
link that is replaced in one step, so whatever ends a fetch, by SIGKILL too, leaves what was there before it, and rubbish
that the next run removes. Children that were started from an older place go on with that: whoever starts children from a
place holds a lock on it (flock(2)), which ends with the holder, and what is held is not removed.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supervisor.packages import NotFetched, Package, Tool, command_in_npm, command_in_uv

_CURRENT: Final = "current"
_COMMANDS_OF_NPM: Final = "_npx/*/node_modules/.bin"


@dataclass(frozen=True)
class Shelf:
    """The directory of one package, which is made when something is put there."""

    path: Path

    @property
    def lock(self) -> Path:
        """A file for whoever puts something there, one at a time."""
        return self.path.with_name(f".{self.path.name}.lock")

    def new_place(self) -> Path:
        """An empty directory that everybody may read, for a fetch. Raises OSError."""
        make_readable(self.path)
        place = Path(tempfile.mkdtemp(dir=self.path, prefix="at-"))
        place.chmod(0o755)
        return place

    def command(self, package: Package) -> str | None:
        """The command of `package` in the place that is the package's; None where there is none, or it is not whole."""
        try:
            return command_in(self._current(), package)
        except (NotFetched, OSError):
            return None

    def keep(self, place: Path) -> None:
        """All of `place` is there: what is started from now on is started from it. Raises OSError."""
        link = self.path / f"{place.name}.link"
        link.symlink_to(place.name)
        link.replace(self.path / _CURRENT)

    def hold(self) -> tuple[Path, int]:
        """The package's place, and a descriptor, the caller's, that keeps it while it is open. Raises OSError."""
        place = self._current()
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return place, fd

    def clear(self) -> None:
        """Remove what was the package's place before, unless somebody holds it, and what was never finished."""
        if not self.path.is_dir():
            return
        kept = {_CURRENT, self._current().name}
        for each in list(self.path.iterdir()):
            if each.name in kept:
                continue
            if each.is_symlink():
                each.unlink(missing_ok=True)
            else:
                _remove(each)

    def _current(self) -> Path:
        return Path(os.path.realpath(self.path / _CURRENT))


def _remove(place: Path) -> None:
    """Remove `place`, unless somebody holds it."""
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with suppress(BlockingIOError):  # another supervisor of this user has children that run from it
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(fd)


def make_readable(directory: Path) -> None:
    """Make `directory`, and what is missing above it, for everybody to read and for us to write to. Raises OSError."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        each.chmod(0o755)  # whatever our umask is


def command_in(place: Path, package: Package) -> str:
    """The command of `package`, which was fetched into `place`. Raises NotFetched."""
    if package.tool is Tool.UV:
        return command_in_uv(place / "tools", package)
    commands = next(place.glob(_COMMANDS_OF_NPM), place)
    return command_in_npm(str(commands), place, package)
