"""Makes the tag one that nobody below can take off: a seccomp filter (seccomp(2)) that refuses to change RLIMIT_RTTIME.

A filter is inherited by all that a process starts, through fork and exec, and can never be removed, not even by root.
The supervisor puts it on itself, before it starts anything, so whatever comes to run below it keeps the tag that it
was given. One call is let through: `prlimit` with a **key** behind its four arguments, where the kernel looks at nothing
and the filter sees all. That is how the supervisor sets its own tag, which the next child inherits, and that of a process
that another has forked (supervisor.zygote). Its own number would be no proof of who calls: a process in a PID namespace
can have the same there.

The key is 128 random bits that only the supervisor's memory holds, which nobody of the same user may read; and the filter
itself cannot be read back by a process that is below one (PTRACE_SECCOMP_GET_FILTER, ptrace(2)). It is compared as a
whole, in the same steps whatever is guessed, so that the time of a call does not tell which part of it was right. Whoever
can read that memory, as root may, could make the supervisor do what it likes anyway. Reading limits is free, and so is
changing any other.
"""

import ctypes
import errno
import os
import platform
import resource
import secrets
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

_XOR, _OR, _KEEP, _KEPT = 0xA4, 0x4C, 0x02, 0x61
"""BPF_ALU|BPF_XOR|BPF_K, BPF_ALU|BPF_OR|BPF_X, BPF_ST, BPF_LDX|BPF_MEM: with X, and the first place of its memory."""

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
Key = tuple[int, int]
"""Two numbers of 64 bits."""

_KEY: Final[Key] = (secrets.randbits(64), secrets.randbits(64))
"""This process's own. It is passed to nobody, and printed nowhere."""

_ALL_BITS: Final = 0xFFFFFFFFFFFFFFFF

_libc = ctypes.CDLL(None, use_errno=True)


def program(abis: tuple[Abi, ...], key: Key) -> list[Instruction]:
    """The filter, as instructions of classic BPF: code, jump if true, jump if false, operand. Pure."""
    code: list[Instruction] = []
    for abi in abis:
        check = _check(abi, key)
        code += [(_LOAD, 0, 0, _ARCH), (_EQUAL, 0, len(check), abi.arch), *check]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _check(abi: Abi, key: Key) -> list[Instruction]:
    is_rttime = resource.RLIMIT_RTTIME
    with_key = _bears(key)
    return [
        (_LOAD, 0, 0, _NR),
        (_AND, 0, 0, 0xFFFFFFFF ^ _X32),
        (_EQUAL, 2, 0, abi.prlimit64),
        (_EQUAL, 9 + len(with_key), 0, abi.setrlimit),
        (_RETURN, 0, 0, _ALLOW),
        # prlimit64(pid, resource, new, old), and behind them the key
        (_LOAD, 0, 0, _ARGS + 8),
        (_EQUAL, 0, 5 + len(with_key), is_rttime),
        (_LOAD, 0, 0, _ARGS + 16),
        (_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, _ARGS + 20),
        (_EQUAL, 1 + len(with_key), 0, 0),  # no new limit: it is only read
        *with_key,
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
        # setrlimit(resource, new)
        (_LOAD, 0, 0, _ARGS),
        (_EQUAL, 1, 0, is_rttime),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]


def _bears(key: Key) -> list[Instruction]:
    """Whether the fifth and the sixth argument are `key`; if so, the instruction after these is skipped."""
    words = [half for number in key for half in (number & 0xFFFFFFFF, number >> 32)]
    code: list[Instruction] = []
    for at, word in enumerate(words):
        code += [(_LOAD, 0, 0, _ARGS + 32 + 4 * at), (_XOR, 0, 0, word)]
        if at > 0:
            code += [(_KEPT, 0, 0, 0), (_OR, 0, 0, 0)]
        if at < len(words) - 1:
            code.append((_KEEP, 0, 0, 0))
    return [*code, (_EQUAL, 1, 0, 0)]


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
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program(abis, _KEY))
    filter_ = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(filter_))
    buffer = ctypes.create_string_buffer(fprog, len(fprog))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(buffer))


class _Limit(ctypes.Structure):
    """struct rlimit64, getrlimit(2)."""

    _fields_ = (("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64))


def set_tag(pid: int, tag: int) -> None:
    """Give the process `pid`, this one or a child of ours that was not reaped, the tag `tag`, whether sealed or not.

    Raises OSError: where it has gone, and where it is of a user whose limits this process may not change.
    """
    hard = resource.prlimit(pid, resource.RLIMIT_RTTIME)[1]
    abis = _ABIS.get(platform.machine())
    if abis is None:  # no seal either
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (tag, hard))
        return
    limit = _Limit(tag & _ALL_BITS, hard & _ALL_BITS)
    arguments = (ctypes.c_long(pid), ctypes.c_long(resource.RLIMIT_RTTIME), ctypes.byref(limit), ctypes.c_void_p(None))
    if _libc.syscall(ctypes.c_long(abis[0].prlimit64), *arguments, *map(ctypes.c_uint64, _KEY)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prlimit({pid}): {os.strerror(number)}")
