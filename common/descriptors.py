"""Descriptors that somebody owns and is done with."""

import os
from collections.abc import Iterable


def close_all(fds: Iterable[int]) -> None:
    """Close each of `fds`. Raises OSError for one that is not open, which is the caller's own fault."""
    for fd in fds:
        os.close(fd)
