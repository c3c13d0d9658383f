"""What a program gives for a configuration: the path of a file, or the same keys as a dict.

A dict may hold secrets, so it never becomes a file that others could read: it goes to the supervisor as a descriptor, of
memory that nobody can write any more (memfd_create(2)).
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.representer import RepresenterError

from common.config.load import load
from common.config.source import ConfigError

NAME: Final = "configuration"
"""What a dict is called where something is wrong with it."""

_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL

ConfigLike = str | os.PathLike[str] | Mapping[str, object]


@dataclass(frozen=True)
class Configuration:
    """A configuration that has been looked at, and that a supervisor can be given as often as it takes."""

    path: Path | None = None
    text: bytes = field(default=b"", repr=False)

    @contextmanager
    def given(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The path by which a process can read it, and the descriptors that the process must be started with for that."""
        if self.path is not None:
            yield os.fspath(self.path), ()
            return
        fd = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(self.text)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            yield f"/dev/fd/{fd}", (fd,)
        finally:
            os.close(fd)


def checked(config: ConfigLike) -> Configuration:
    """What `config` is. Raises ConfigError with every mistake in it, and TypeError for what could be none."""
    if isinstance(config, str | os.PathLike):
        found = Configuration(Path(config).absolute())
    elif isinstance(config, Mapping):
        found = Configuration(text=_written(config))
    else:
        raise TypeError(
            f"expected the path of a configuration file or a dict of its keys, not a {type(config).__name__}"
        )
    with found.given() as (path, _):
        try:
            load(Path(path))
        except ConfigError as error:
            raise error if found.path else _in_no_file(error) from None
    return found


def _in_no_file(error: ConfigError) -> ConfigError:
    """The same mistakes, where lines mean nothing."""
    return ConfigError([replace(each, file=NAME, line=0) for each in error.problems])


def _written(config: Mapping[str, object]) -> bytes:
    """The dict as the text of a file."""
    file = BytesIO()
    yaml = YAML(typ="safe", pure=True)
    try:
        yaml.dump(_plain(config), file)
    except RepresenterError:
        raise TypeError(
            "expected texts, numbers, booleans, None, paths, lists and dicts in the configuration"
        ) from None
    return file.getvalue()


def _plain(value: object) -> object:
    """`value` as a file could say it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
