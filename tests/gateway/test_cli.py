"""What `mcp-gateway` says of its commands, and what each of them takes."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gateway.cli import SHORTLY, main

CONTEXT = click.Context(main)


def test_each_command_has_a_line_which_is_not_cut() -> None:
    said = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout.splitlines()
    assert set(SHORTLY) == set(main.list_commands(CONTEXT))
    assert [" ".join(line.split()) for line in said[said.index("Commands:") + 1 :]] == [
        f"{name} {SHORTLY[name]}" for name in sorted(SHORTLY)
    ]


def test_the_list_of_commands_needs_nothing_of_what_they_need() -> None:
    heavy = ("anyio", "asyncio", "httpx2", "loguru", "pydantic", "quart", "ruamel.yaml", "terminal.call")
    code = (
        "import sys\nfrom gateway.cli import main\nmain(['--help'], standalone_mode=False)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["call", "check", "install", "schema", "serve", "sessions", "start"])
def test_whichever_command_has_a_configuration_takes_it_as_c(name: str) -> None:
    command = main.get_command(CONTEXT, name)
    assert command is not None
    assert ["--config", "-c"] in [each.opts for each in command.params]
