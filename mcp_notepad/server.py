"""A notepad whose notes live in its process, and nowhere else."""

import os
import secrets

from mcp.server.mcpserver import MCPServer

_instance = secrets.token_hex(4)
_notes: list[str] = []

server = MCPServer(
    "notepad", instructions="Notes that only this session sees, and that are gone when the session ends."
)


@server.tool()
def add(text: str) -> str:
    """Write a note."""
    _notes.append(text)
    return f"note {len(_notes)} added"


@server.tool(name="list")
def list_notes() -> list[str]:
    """All notes of this session, oldest first."""
    return _notes


@server.tool()
def clear() -> str:
    """Throw all notes of this session away."""
    count = len(_notes)
    _notes.clear()
    return f"{count} notes thrown away"


@server.tool()
def whoami() -> dict[str, str | int]:
    """The process that serves this session: its pid, and a random name that it gave itself when it started."""
    return {"pid": os.getpid(), "instance": _instance}


def main() -> None:
    """Serve on stdin and stdout until stdin closes."""
    server.run("stdio")


if __name__ == "__main__":
    main()
