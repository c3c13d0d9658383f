"""How much freed memory is kept for what comes next. Only a process of our own is told that."""

import ctypes
from typing import Final

KEPT: Final = 32 * 1024 * 1024
"""Bytes at most that are not given back to the kernel once they are free: two answers of the usual largest size."""

SLICE: Final = 1024 * 1024
"""Bytes that are given back at a time, once more are free; and of a block from which on it is given back by itself."""

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3


def keep_some() -> bool:
    """Have the C library keep what was freed; whether it is one that can be told, which glibc is (mallopt(3)).

    Else it gives back every 128 KiB. A large answer, which comes in pieces of half that size, then costs four times the
    processor time: for each page the kernel is asked once to take it back, in one go when the answer goes, and once for a
    new one. What is kept was used before, so this makes the most that the process ever has no larger.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    wanted = {_M_TRIM_THRESHOLD: KEPT, _M_TOP_PAD: KEPT - SLICE, _M_MMAP_THRESHOLD: SLICE}
    return all(mallopt(option, value) for option, value in wanted.items())
