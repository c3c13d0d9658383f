"""Which commands are Python programs that a zygote can run: scripts, and `python -m MODULE`. Reads one file."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_PYTHON: Final = re.compile(r"python(\d+(\.\d+)?)?")
_PLAIN_FLAGS: Final = re.compile(r"-[bBdEIOPqsSuv]+")
_WITH_VALUE: Final = ("-X", "-W")
_LONGEST_HEAD: Final = 4096
"""Bytes at the beginning of a script in which its interpreter is named."""

_LONG_SHEBANG: Final = re.compile(r"""#!\s*/bin/sh\n'''exec'?\s+(?:"([^"\n]+)"|'([^'\n]+)'|(\S+))\s""")
"""What pip and uv write where the path of the interpreter is too long for a shebang, or holds a space."""


class NoProgram(Exception):
    """This is nothing that a zygote can run; the text says why, and quotes no argument."""


@dataclass(frozen=True)
class Program:
    """A Python program, as its command line starts it."""

    interpreter: tuple[str, ...]
    """The interpreter and its flags."""
    kind: Literal["script", "module"]
    name: str
    """The absolute path of the script, or the module's name."""
    arguments: tuple[str, ...]
    """What comes behind it."""

    @property
    def command(self) -> list[str]:
        """The command line without the arguments, as Python sees it (`sys.orig_argv`)."""
        return [*self.interpreter, *(["-m"] if self.kind == "module" else []), self.name]

    @property
    def marks(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when the interpreter, or the script, is replaced: an update in place writes both anew, or one."""
        return tuple(map(_mark, [self.interpreter[0], *([self.name] if self.kind == "script" else [])]))


def _mark(path: str) -> tuple[int, int, int]:
    try:
        seen = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0, 0
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def understand(command: str, arguments: Sequence[str], directory: str, path: str) -> Program:
    """The program that `command`, an absolute path, starts with `arguments` in `directory`. Raises NoProgram.

    `path` is where an interpreter without a directory is looked for.
    """
    if _PYTHON.fullmatch(Path(command).name):
        return _of_interpreter(command, list(arguments), directory)
    try:
        with open(command, "rb") as file:  # noqa: PTH123
            head = file.read(_LONGEST_HEAD).decode(errors="replace")
    except OSError as error:
        raise NoProgram(f"{command} cannot be read: {error.strerror}") from None
    interpreter = _interpreter_of(head, command, path)
    return Program(interpreter, "script", command, tuple(arguments))


def _of_interpreter(command: str, arguments: list[str], directory: str) -> Program:
    flags: list[str] = []
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        flag = arguments.pop(0)
        if flag == "-m" and arguments:
            module = arguments.pop(0)
            return Program((command, *flags), "module", module, tuple(arguments))
        if flag in _WITH_VALUE and arguments:
            flags += [flag, arguments.pop(0)]
        elif _PLAIN_FLAGS.fullmatch(flag) or flag[:2] in _WITH_VALUE:
            flags.append(flag)
        else:
            raise NoProgram("its command line is Python's, with other options than those of 'python -m MODULE'")
    if not arguments or arguments[0] == "-":
        raise NoProgram("its command line names no script and no module")
    script = Path(directory) / arguments[0]
    if not script.is_file():
        raise NoProgram("the script that its command line names is not there, or a directory")
    return Program((command, *flags), "script", str(script), tuple(arguments[1:]))


def _interpreter_of(head: str, command: str, path: str) -> tuple[str, ...]:
    """What the first lines of a script say."""
    if long := _LONG_SHEBANG.match(head):
        words = [next(filter(None, long.groups()))]
    elif head.startswith("#!"):
        words = head[2:].split("\n", 1)[0].split(None, 1)  # one argument at most: execve(2)
        words = [word.strip() for word in words]
    else:
        words = []
    if words[:1] == ["/usr/bin/env"] and len(words) == 2:
        found = shutil.which(words[1], path=path)
        words = [found] if found is not None else []
    if not words or not _PYTHON.fullmatch(Path(words[0]).name) or not os.access(words[0], os.X_OK):
        raise NoProgram(f"{command} is no script of a Python that is here")
    if not all(_PLAIN_FLAGS.fullmatch(word) for word in words[1:]):
        raise NoProgram(f"{command} starts Python with other options than a zygote can have")
    return tuple(words)
