"""What somebody has to type to run this program again: in a clone it is in no directory that a shell looks into."""

import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "mcp-gateway"


def program() -> str:
    """The command, as it was typed or as a shell finds it."""
    ran = Path(sys.argv[0])
    if ran.name != NAME:
        return NAME
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).absolute() == ran.absolute() else str(ran)
