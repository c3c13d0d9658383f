"""prctl(2), which Python's standard library does not reach."""

import ctypes
import os
from typing import Final

_PR_SET_DUMPABLE: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int, pointer: int = 0) -> None:
    """Set one property of this process. Raises OSError."""
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(pointer), zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def hide_memory() -> None:
    """Nobody of the same user may trace this process or read its environment, and it leaves no core: PR_SET_DUMPABLE."""
    prctl(_PR_SET_DUMPABLE, 0)
