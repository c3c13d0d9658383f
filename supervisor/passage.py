"""Whether users who own nothing may start a program: what stands in their way, found before one of them tries."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from supervisor.places import closed_to_others

_LONGEST: Final = 256
"""Bytes of a script's first line that Linux looks at (BINPRM_BUF_SIZE)."""


def in_the_way(command: Path, search: str) -> Path | None:
    """The file or the directory that is closed to others, on the way to `command` or to what interprets it.

    `search` is the PATH on which env(1) looks. None where nothing is in the way, or where it cannot be seen.
    """
    for each in (command, *_interpreter(command, search)):
        for step in (each, each.parent):  # a link and what it leads to have ways of their own
            if (closed := closed_to_others(step)) is not None:
                return closed
    return None


def _interpreter(script: Path, search: str) -> Iterator[Path]:
    """What runs `script`, by its first line; nothing where that is no such line."""
    try:
        with script.open("rb") as file:
            line = file.read(_LONGEST).partition(b"\n")[0]
    except OSError:
        return
    words = os.fsdecode(line).removeprefix("#!").split()
    if not line.startswith(b"#!") or not words:
        return
    yield Path(words[0])
    if Path(words[0]).name == "env":
        program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        if (found := shutil.which(program, path=search)) is not None:
            yield Path(found)
