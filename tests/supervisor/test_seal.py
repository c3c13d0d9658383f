"""The seal: nobody below takes off a tag, and the supervisor alone can give one to a process that another has forked."""

import errno
import operator
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from supervisor import seal
from supervisor.seal import Abi, program

ROOT = Path(__file__).parents[2]
ABI = Abi(arch=1, setrlimit=2, prlimit64=3)
OTHER = 200
KEY = (0x1111111122222222, 0x3333333344444444)
NEW = 0x7F0012345678
RTTIME = resource.RLIMIT_RTTIME
ALU = {0x54: operator.and_, 0xA4: operator.xor, 0x4C: operator.or_}


@dataclass(frozen=True)
class Call:
    """A system call: its number, and its arguments as the kernel shows them."""

    number: int
    arguments: tuple[int, ...]
    arch: int = ABI.arch

    def passes(self) -> bool:
        """Whether the filter lets it through: the machine of classic BPF, as far as the filter needs one."""
        words = [*self.arguments, *([0] * (6 - len(self.arguments)))]
        data = {0: self.number, 4: self.arch}
        for at, word in enumerate(words):
            data |= {16 + 8 * at: word & 0xFFFFFFFF, 20 + 8 * at: word >> 32}
        code = program((ABI,), KEY)
        at, register, second, kept = 0, 0, 0, 0
        while True:
            operation, yes, no, operand = code[at]
            at += 1
            match operation:
                case 0x20:
                    register = data[operand]
                case 0x54 | 0xA4:
                    register = ALU[operation](register, operand)
                case 0x4C:
                    register = ALU[operation](register, second)
                case 0x02:
                    kept = register
                case 0x61:
                    second = kept
                case 0x15:
                    at += yes if register == operand else no
                case _:
                    assert operation == 0x06
                    return operand == 0x7FFF0000


@pytest.mark.parametrize(
    ("call", "passes"),
    [
        (Call(3, (OTHER, RTTIME, NEW, 0)), False),
        (Call(3, (0, RTTIME, NEW, 0)), False),
        (Call(3, (0, RTTIME, NEW & ~0xFFFFFFFF, 0)), False),
        (Call(3, (0, RTTIME, 0, NEW)), True),
        (Call(3, (0, resource.RLIMIT_NOFILE, NEW, 0)), True),
        (Call(2, (RTTIME, NEW)), False),
        (Call(2, (resource.RLIMIT_NOFILE, NEW)), True),
        (Call(1, (RTTIME, NEW)), True),
        (Call(3, (OTHER, RTTIME, NEW, 0, *KEY)), True),
        (Call(3, (OTHER, RTTIME, NEW, 0, KEY[0] ^ 1, KEY[1])), False),
        (Call(3, (OTHER, RTTIME, NEW, 0, KEY[0] ^ 1 << 32, KEY[1])), False),
        (Call(3, (OTHER, RTTIME, NEW, 0, KEY[0], KEY[1] ^ 1)), False),
        (Call(3, (OTHER, RTTIME, NEW, 0, KEY[0], KEY[1] ^ 1 << 63)), False),
        (Call(3, (OTHER, RTTIME, NEW, 0, KEY[1], KEY[0])), False),
        (Call(3, (OTHER, RTTIME, NEW, 0, KEY[0], 0)), False),
        (Call(2, (RTTIME, NEW, 0, 0, *KEY)), False),
        (Call(0x40000003, (OTHER, RTTIME, NEW, 0)), False),
        (Call(3, (OTHER, RTTIME, NEW, 0), arch=9), True),
    ],
)
def test_what_the_filter_lets_through(call: Call, passes: bool) -> None:
    assert call.passes() is passes


SEALED = """
    import os, resource, subprocess, sys
    from supervisor import seal
    seal.seal_tags()
    try:
        resource.prlimit(os.getpid(), resource.RLIMIT_RTTIME, (5, -1))
    except PermissionError:
        print("refused")  # who calls is no proof: in a PID namespace another can have this number
    cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    take_off = f'''if 1:
        import os, resource
        for pid in (0, os.getpid(), {cat.pid}):
            try:
                resource.prlimit(pid, resource.RLIMIT_RTTIME, (5, -1))
                print("changed")
            except PermissionError:
                print("refused")
        from supervisor import seal
        try:
            seal.set_tag({cat.pid}, 77)
            print("changed")
        except PermissionError:
            print("refused")
    '''
    subprocess.run([sys.executable, "-c", take_off], check=True)
    seal.set_tag(cat.pid, 42)
    print(resource.prlimit(cat.pid, resource.RLIMIT_RTTIME))
    cat.communicate()
    try:
        seal.set_tag(cat.pid, 43)
    except ProcessLookupError:
        print("gone")
"""


def test_under_the_seal_a_process_that_another_forked_is_tagged_by_the_supervisor_and_by_nobody_else() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", dedent(SEALED)], cwd=ROOT, capture_output=True, check=True, text=True, timeout=30
    )
    assert ran.stdout.splitlines() == ["refused"] * 5 + ["(42, -1)", "gone"]


def test_a_machine_that_is_not_known_has_tags_without_a_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    with pytest.raises(OSError, match="abacus") as caught:
        seal.seal_tags()
    assert caught.value.errno == errno.ENOSYS
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as cat:
        seal.set_tag(cat.pid, 42)
        assert resource.prlimit(cat.pid, RTTIME)[0] == 42
