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


def programs_of(wrapper: str) -> dict[str, str]:
    """What `find_programs` finds where the shim was built, and where it was not."""
    return BOTH if wrapper == "shim" else SHELLS


either_way = pytest.mark.parametrize("programs", [programs_of(each) for each in WRAPPERS], ids=WRAPPERS)
