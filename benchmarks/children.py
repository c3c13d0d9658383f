"""The stdio servers that stand behind every program: one that costs nothing, and two that people use."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
NODE_MODULES: Final = ROOT / "benchmarks" / "node" / "node_modules"


@dataclass(frozen=True)
class Child:
    """A stdio server, and the one call that is made of it."""

    name: str
    title: str
    command: tuple[str, ...]
    tool: str
    arguments: str
    """JSON of the call's arguments; `%s` stands for a text that is another one each time."""
    answer: str
    """What the answer to that call has in it."""

    @property
    def program(self) -> str:
        """The file that is executed, without links."""
        return str(Path(shutil.which(self.command[0]) or self.command[0]).resolve())

    def call(self, text: str) -> bytes:
        """JSON of the arguments of a call with `text`."""
        return self.arguments.replace("%s", text).encode()

    def expected(self, text: str) -> bytes:
        """What the answer to the call with `text` has in it."""
        return self.answer.replace("%s", text).encode()


def _system_python() -> str:
    """A Python that starts quickly: not the one of an environment, if there is another."""
    return shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable


CHILDREN: Final[Mapping[str, Child]] = {
    child.name: child
    for child in (
        Child(
            "trivial",
            "a trivial server",
            (_system_python(), "-I", "-S", str(ROOT / "benchmarks" / "light_child.py")),
            "echo",
            '{"text":"%s"}',
            "%s",
        ),
        Child(
            "everything",
            "server-everything",
            ("node", str(NODE_MODULES / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"), "stdio"),
            "echo",
            '{"message":"%s"}',
            "%s",
        ),
        Child(
            "time",
            "mcp-server-time",
            (sys.executable, "-m", "mcp_server_time", "--local-timezone", "Etc/UTC"),
            "get_current_time",
            '{"timezone":"Etc/UTC"}',
            "Etc/UTC",
        ),
    )
}


def missing(child: Child) -> str:
    """Why `child` cannot be started here, or nothing."""
    if shutil.which(child.command[0]) is None:
        return f"{child.command[0]} is not installed"
    if child.name == "everything" and not Path(child.command[1]).exists():
        return "server-everything is not installed: scripts/bench does that"
    return ""
