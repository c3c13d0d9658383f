"""The command line: `mcp-gateway`. It imports little, for `serve` replaces it at once."""

import os
import sys
from pathlib import Path

import click

from gateway.hash_command import hash_

_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="CONFIG_PATH",
    default="config.yaml",
    show_default=True,
    help="The configuration file; the environment variable CONFIG_PATH names one, too.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mcp-gateway")
def main() -> None:
    """A bridge that gives every client session a stdio MCP server of its own."""


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


main.add_command(hash_)
