"""`mcp-gateway check`: is the configuration good, and does each server start?"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import click

from common.config.load import Settings
from common.config.source import ConfigError
from common.reasons import Reason
from doctor.client import printable
from embedding.running import Running
from gateway import options
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from supervisor.feasible import load_for_here
from terminal.alone import alone
from terminal.credentials import API_KEY, TOKEN, USER, headers_of
from terminal.table import Row, State, progress, show

AT_ONCE = 3
"""Servers that are started at the same time."""

_WHO_ASKS = Principal("gateway", "")
"""As the catalog's children are asked."""

_LINES = 5
"""Of what a child wrote to standard error, that are shown."""

_WRONG = 2


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    config: Path
    names: tuple[str, ...]
    who: Who


@click.command("check")
@options.config()
@click.option("--server", "names", multiple=True, metavar="NAME", help="Only this server; may be given again.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: ${VARIABLE}'",
    help="A user's own value, for servers that are given one; may be given again.",
)
def command(config: Path, names: tuple[str, ...], headers: tuple[str, ...]) -> None:
    """Validate the configuration, start each server once, and say what it offers.

    Nothing listens meanwhile, and a gateway that runs is not asked. Exit status 0: all is well. 1: a server failed.
    2: the configuration cannot be used; each mistake is a line.
    """
    settings = _load(config)
    unknown = [name for name in names if name not in _servers(settings)]
    if unknown:
        known = ", ".join(_servers(settings))
        raise click.BadParameter(f"there is no server '{unknown[0]}'; there is {known}", param_hint="--server")
    rows = anyio.run(_look, settings, Wanted(config, names, _who(headers)))
    show(rows, sys.stdout)
    sys.exit(1 if any(row.state is State.FAILED for row in rows) else 0)


def _load(config: Path) -> Settings:
    try:
        settings = load_for_here(config)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        count = len(error.problems)
        click.echo(f"{count} mistake{'s' if count > 1 else ''} in the configuration; no server was started", err=True)
        sys.exit(_WRONG)
    for note in settings.notes:
        click.echo(note, err=True)
    return settings


def _who(headers: Iterable[str]) -> Who:
    """Whoever has these headers. Raises click.ClickException."""
    environ = {name: value for name, value in os.environ.items() if name not in (TOKEN, API_KEY, USER)}
    given = {name.lower(): [value] for name, value in headers_of(None, headers, environ).items()}
    return Who(header=lambda name: given.get(name.lower(), []))


def _servers(settings: Settings) -> list[str]:
    """All names, those that are switched off included."""
    return [str(name) for name in settings.source.document["servers"]]


def _is_off(settings: Settings, server: str) -> bool:
    entries = settings.source.document["servers"]
    return next(entry for name, entry in entries.items() if str(name) == server).get("enabled") is False


async def _look(settings: Settings, wanted: Wanted) -> Sequence[Row]:
    """A row for each server, in the order of the file."""
    rows: dict[str, Row] = {}
    to_start = []
    for server in wanted.names or _servers(settings):
        if _is_off(settings, server):
            rows[server] = Row(server, State.OFF)
        elif missing := _missing(settings, server, wanted.who):
            rows[server] = Row(server, State.SKIPPED, what=f"needs each user's own {', '.join(missing)}: not started")
        else:
            to_start.append(server)
    if to_start:
        rows |= await _started(wanted, {name: settings.supervisor.servers[name].as_written for name in to_start})
    return [rows[server] for server in wanted.names or _servers(settings)]


def _missing(settings: Settings, server: str, who: Who) -> list[str]:
    """The placeholders of a user's own for which there is no value."""
    return [
        name
        for name in settings.gateway.servers[server].personal
        if not (name.startswith("header:") and who.header(name.removeprefix("header:")))
    ]


async def _started(wanted: Wanted, servers: Mapping[str, str]) -> dict[str, Row]:
    """The rows of `servers`, which are given with their command lines as the file has them."""
    rows: dict[str, Row] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)
    with progress(len(servers), sys.stderr) as tell:
        async with alone(wanted.config) as gateway, anyio.create_task_group() as tasks:

            async def start(server: str) -> None:
                async with limiter:
                    rows[server] = await _row(gateway, server, wanted.who, servers[server])
                tell(server)

            for server in servers:
                tasks.start_soon(start, server, name=f"check {server}")
    return rows


async def _row(gateway: Running, server: str, who: Who, command_line: str) -> Row:
    listing = await gateway.catalog.listing(server, who)
    if listing.offer is not None:
        return Row(server, State.OK, offer=listing.offer)
    failure = listing.failure
    assert failure is not None
    try:
        certificate = await gateway.sessions.leases.certificates_aside.find(
            str(failure.about.get("certificate")), _WHO_ASKS
        )
    except GatewayError:  # it had no child, or wrote nothing down
        command = f": {printable(command_line)}" if failure.reason is Reason.COMMAND_NOT_FOUND else ""
        return Row(server, State.FAILED, what=f"{failure}{command}")
    code = certificate.exit.code
    status = f" (exit status {code})" if code is not None and failure.reason is Reason.CHILD_EXITED else ""
    return Row(server, State.FAILED, what=f"{failure}{status}", lines=certificate.stderr[-_LINES:])
