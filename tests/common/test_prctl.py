"""What others of the same user may see of a program that holds secrets."""

import subprocess
import sys

ASKS = """
import ctypes, pathlib
from common.prctl import hide_memory
hide_memory()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
"""


def test_a_program_that_hides_its_memory_cannot_be_traced_or_dumped() -> None:
    said = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True)
    assert said.stdout == "0\n"
