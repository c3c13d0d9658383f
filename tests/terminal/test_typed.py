"""What somebody is told to type is what runs this program where they are."""

import sys
from pathlib import Path

import pytest

from terminal.typed import program


def test_what_is_to_be_typed_is_what_was_typed_or_what_a_shell_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / ".venv" / "bin" / "mcp-gateway"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    for ran in (".venv/bin/mcp-gateway", str(command)):
        monkeypatch.setattr(sys, "argv", [ran])
        assert program() == ran
    monkeypatch.setenv("PATH", str(command.parent))
    assert program() == "mcp-gateway"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    assert program() == "mcp-gateway"
