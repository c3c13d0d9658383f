"""The two ways in which a child is started: through the shim, and through the system's shells."""

import shutil

import pytest

from supervisor.reaping import find_programs

BOTH = find_programs()
SHELLS = {name: path for name, path in BOTH.items() if name != "shim"}
HAS_COMPILER = shutil.which("cc") is not None
HAS_SHIM = "shim" in BOTH or HAS_COMPILER
"""Without a compiler nobody can have it; with one, whoever has it not is to be told so by each test."""

WRAPPERS = ["shells", "shim"] if HAS_SHIM else ["shells"]

either_way = pytest.mark.parametrize("programs", [SHELLS, BOTH] if HAS_SHIM else [SHELLS], ids=WRAPPERS)
"""What `find_programs` finds where it was not built, and where it was."""
