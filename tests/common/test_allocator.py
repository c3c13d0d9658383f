"""What is freed is kept for what comes next."""

import subprocess
import sys

import pytest

from common.allocator import KEPT, keep_some

MIB = 1024 * 1024
PROGRAM = """
import resource, sys
from common.allocator import keep_some
if sys.argv[1] == "kept":
    assert keep_some()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [b"x" * (65536 - number % 2) for number in range(int(sys.argv[2]) // 65536)]
    pieces.clear()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


def measured(how: str, size: int) -> tuple[int, int]:
    """New pages for `size` bytes in pieces, the second time; bytes that the process has once they are freed."""
    command = [sys.executable, "-c", PROGRAM, how, str(size)]
    pages, kilobytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(pages), int(kilobytes) * 1024


@pytest.mark.slow
def test_a_second_large_answer_needs_no_new_pages() -> None:
    assert measured("given back", 16 * MIB)[0] > 3000, "else this is for nothing"
    assert measured("kept", 16 * MIB)[0] < 200


@pytest.mark.slow
def test_no_more_is_kept_than_that() -> None:
    _, usual = measured("given back", 16 * MIB)
    _, kept = measured("kept", 200 * MIB)
    assert kept < usual + KEPT + 8 * MIB


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not keep_some()
