"""The command line: `mcp-gateway`. It imports little, for `serve` replaces it at once."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from gateway.hash_command import hash_

ELSEWHERE: Final[Mapping[str, str]] = {"call": "terminal.call", "check": "terminal.check", "init": "terminal.init"}
"""Commands that are imported when they are used: the module that has each, as `command`."""

_CONFIG = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    envvar="CONFIG_PATH",
    default="config.yaml",
    show_default=True,
    help="The configuration file; the environment variable CONFIG_PATH names one, too.",
)


class _Commands(click.Group):
    """The commands, here and elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            command: click.Command = import_module(ELSEWHERE[cmd_name]).command
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mcp-gateway")
def main() -> None:
    """A bridge that gives every client session a stdio MCP server of its own."""


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def doctor(arguments: tuple[str, ...]) -> None:
    """Prove that two users of a running gateway are apart, and look at its configuration and a librechat.yaml."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "doctor", *arguments])


@main.command()
@_CONFIG
@click.option("--hostname", "--host", help="Listen here, whatever the configuration says.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here, whatever the configuration says; 0: any.")
def serve(config: Path, hostname: str | None, port: int | None) -> None:
    """Run the gateway and its supervisor in the foreground, until Ctrl-C or SIGTERM."""
    options = []
    if hostname is not None:
        options += ["--hostname", hostname]
    if port is not None:
        options += ["--port", str(port)]
    launcher = [sys.executable, "-P", "-m", "supervisor.launcher"]
    os.execv(sys.executable, [*launcher, os.fspath(config), *options])


main.add_command(serve, "start")
main.add_command(hash_)
