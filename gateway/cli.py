"""The command line: `mcp-gateway`. It imports little, for `serve` replaces it at once."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from gateway import options
from gateway.hash_command import hash_

SHORTLY: Final[Mapping[str, str]] = {
    "call": "Call one tool, and print what it says.",
    "check": "Validate the configuration, and start each server once.",
    "doctor": "Prove that two users of a running gateway are apart.",
    "hash": "Print the hash of a secret, for the configuration.",
    "init": "Write a first configuration, or take over another program's.",
    "install": "Fetch the packages of servers that npx or uvx starts.",
    "schema": "Print what the servers offer, as an OpenAPI document.",
    "serve": "Run the gateway, until Ctrl-C or SIGTERM.",
    "sessions": "List your own sessions, show one, or end one.",
    "start": "The same as 'serve'.",
}
"""Each command in a line, for the list of them: nothing is imported to print it."""

ELSEWHERE: Final[Mapping[str, str]] = {
    name: f"terminal.{name}" for name in ("call", "check", "init", "schema", "sessions")
}
"""Commands that are imported when they are used: the module that has each, as `command`."""

_SCHEMA_FORMAT = click.option(
    "--schemaFormat", "schema_format", type=click.Choice(["yaml", "json"]), default="yaml", hidden=True, is_eager=True
)


def _dump_schema(config: Path, schema_format: str) -> None:
    """What users of acehoss/mcp-gateway know `schema` as."""
    schema = import_module(ELSEWHERE["schema"])
    schema.dump(schema.Asked(config, schema_format))


def _dump_schema_at_once(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        _dump_schema(Path(os.environ.get("CONFIG_PATH") or "config.yaml"), ctx.params.get("schema_format", "yaml"))
        ctx.exit()


class _Commands(click.Group):
    """The commands, here and elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            command: click.Command = import_module(ELSEWHERE[cmd_name]).command
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SHORTLY[name]) for name in self.list_commands(ctx)])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mcp-gateway")
@_SCHEMA_FORMAT
@click.option("--schemaDump", is_flag=True, hidden=True, expose_value=False, callback=_dump_schema_at_once)
def main(schema_format: str) -> None:
    """A bridge that gives every client session a stdio MCP server of its own."""


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def doctor(arguments: tuple[str, ...]) -> None:
    """Prove that two users of a running gateway are apart, and look at its configuration and a librechat.yaml."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "doctor", *arguments])


@main.command()
@options.config()
@click.option("--hostname", "--host", help="Listen here, whatever the configuration says.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here, whatever the configuration says; 0: any.")
@_SCHEMA_FORMAT
@click.option("--schemaDump", "schema_dump", is_flag=True, hidden=True)
def serve(config: Path, hostname: str | None, port: int | None, schema_format: str, schema_dump: bool) -> None:
    """Run the gateway and its supervisor in the foreground, until Ctrl-C or SIGTERM."""
    if schema_dump:
        _dump_schema(config, schema_format)
        return
    options = []
    if hostname is not None:
        options += ["--hostname", hostname]
    if port is not None:
        options += ["--port", str(port)]
    launcher = [sys.executable, "-P", "-m", "supervisor.launcher"]
    os.execv(sys.executable, [*launcher, os.fspath(config), *options])


@main.command()
@options.config()
def install(config: Path) -> None:
    """Fetch the packages of servers that npx or uvx starts, as a start of the gateway would, and end.

    For an image, or before a service starts for the first time. Exit status 0: all are there. 1: one is not. 2: the
    configuration cannot be used.
    """
    os.execv(sys.executable, [sys.executable, "-P", "-m", "supervisor", "--config", os.fspath(config), "--install"])


main.add_command(serve, "start")
main.add_command(hash_)
