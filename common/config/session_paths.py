"""`${session.dir}` and its like in a server's configuration: paths that nobody knows before a session has its room.

The loader puts a mark in the place of each, and the supervisor the path, once: a mark is made of NULs, which neither
the environment nor a path can bring in, so what `$${session.dir}` or a variable's value says is never taken for one.
Pure.
"""

import re
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "session."

SESSION_PATHS: Final = ("session.dir", "session.home", "session.tmp", "session.work")
"""All that there is: the room, and the three directories in it."""

_MARK = re.compile(r"\0(session\.[a-z]+)\0")


def mark(name: str) -> str:
    """What stands for `name`, one of SESSION_PATHS, until there is a session."""
    return f"\0{name}\0"


def begins_with_mark(text: str) -> bool:
    """Whether `text` begins with a session's path."""
    return _MARK.match(text) is not None


def fill(text: str, paths: Mapping[str, str]) -> str:
    """`text` with `paths`, by name, in the place of their marks. What is filled in is not looked at again."""
    return _MARK.sub(lambda found: paths.get(found[1], found[0]), text)
