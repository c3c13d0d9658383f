"""Makes the tag one that nobody below can take off: a seccomp filter (seccomp(2)) that refuses to change RLIMIT_RTTIME.

A filter is inherited by all that a process starts, through fork and exec, and can never be removed, not even by root.
The supervisor puts it on itself, before it starts anything, so whatever comes to run below it keeps the tag that it
was given. The one call that is let through is `prlimit` with the supervisor's own number: that is how it sets the tag
that the next child inherits. Reading limits is free, and so is changing any other.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
from dataclasses import dataclass
from typing import Final

from common.prctl import prctl

_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_MODE_FILTER: Final = 2

_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM

_LOAD, _EQUAL, _RETURN, _AND = 0x20, 0x15, 0x06, 0x54
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K, BPF_ALU|BPF_AND|BPF_K."""

_NR, _ARCH, _ARGS = 0, 4, 16
"""Offsets in struct seccomp_data."""

_X32: Final = 0x40000000
"""What marks a system call of the x32 ABI, whose numbers are those of x86-64 otherwise."""


@dataclass(frozen=True)
class Abi:
    """One way to make system calls: its number in audit.h, and those of the two calls that change a limit."""

    arch: int
    setrlimit: int
    prlimit64: int


_ABIS: Final = {
    "x86_64": (Abi(0xC000003E, 160, 302), Abi(0x40000003, 75, 340)),
    "aarch64": (Abi(0xC00000B7, 164, 261), Abi(0x40000028, 75, 369)),
    "riscv64": (Abi(0xC00000F3, 164, 261),),
}
"""Those of each machine, the one of 32-bit programs included."""

Instruction = tuple[int, int, int, int]


def program(abis: tuple[Abi, ...], pid: int) -> list[Instruction]:
    """The filter, as instructions of classic BPF: code, jump if true, jump if false, operand. Pure."""
    code: list[Instruction] = []
    for abi in abis:
        check = _check(abi, pid)
        code += [(_LOAD, 0, 0, _ARCH), (_EQUAL, 0, len(check), abi.arch), *check]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _check(abi: Abi, pid: int) -> list[Instruction]:
    is_rttime = resource.RLIMIT_RTTIME
    return [
        (_LOAD, 0, 0, _NR),
        (_AND, 0, 0, 0xFFFFFFFF ^ _X32),
        (_EQUAL, 2, 0, abi.prlimit64),
        (_EQUAL, 10, 0, abi.setrlimit),
        (_RETURN, 0, 0, _ALLOW),
        # prlimit64(pid, resource, new, old)
        (_LOAD, 0, 0, _ARGS + 8),
        (_EQUAL, 0, 6, is_rttime),
        (_LOAD, 0, 0, _ARGS + 16),
        (_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, _ARGS + 20),
        (_EQUAL, 2, 0, 0),  # no new limit: it is only read
        (_LOAD, 0, 0, _ARGS),
        (_EQUAL, 0, 4, pid),
        (_RETURN, 0, 0, _ALLOW),
        # setrlimit(resource, new)
        (_LOAD, 0, 0, _ARGS),
        (_EQUAL, 1, 0, is_rttime),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]


def seal_tags() -> None:
    """Put the filter on this process. Call it on the only thread there is.

    Without being root it also rules out that this process, or one below it, gains privileges (PR_SET_NO_NEW_PRIVS).
    Raises OSError where the kernel, or this kind of machine, has no such filter; then tags are as they were.
    """
    abis = _ABIS.get(platform.machine())
    if abis is None:
        raise OSError(errno.ENOSYS, f"no filter is known for {platform.machine()}")
    if os.geteuid() != 0:
        prctl(_PR_SET_NO_NEW_PRIVS, 1)
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program(abis, os.getpid()))
    filter_ = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(filter_))
    buffer = ctypes.create_string_buffer(fprog, len(fprog))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(buffer))
