"""`mcp-gateway sessions`: one's own sessions at a gateway that runs."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from doctor.client import printable
from terminal.client import Remote, addressed

PATH: Final = "/api/v1/sessions"

_STYLES: Final = {"ready": "green", "starting": "yellow", "unused": "dim", "ended": "red"}
_HEADINGS: Final = ("handle", "door", "server", "state", "pid", "age", "idle", "calls")
_MOST_PAGES: Final = 100
Session = Mapping[str, Any]


@click.command("sessions")
@addressed
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.argument("action", type=click.Choice(["list", "show", "end"]), default="list")
@click.argument("handle", required=False)
def command(
    config: Path,
    url: str | None,
    token_file: Path | None,
    headers: tuple[str, ...],
    action: str,
    handle: str | None,
    *,
    as_json: bool,
) -> None:
    """List your own sessions at a gateway that runs, show one, or end one.

    A session is named by its handle, or by the beginning of it, as `list` prints it.

    Who asks is taken from the environment: MCP_GATEWAY_TOKEN, or MCP_GATEWAY_API_KEY, or MCP_GATEWAY_USER with
    MCP_GATEWAY_PASSWORD. Exit status 0: done. 1: it could not be done, and one line says why.
    """
    if (handle is None) != (action == "list"):
        raise click.UsageError(
            "'list' takes no handle" if handle else f"'{action}' takes a handle, as 'list' prints it"
        )
    with Remote.of(config, url, token_file, headers) as gateway:
        found = _all(gateway)
        if action == "list":
            _print_list(found, as_json=as_json)
            return
        whole = _whole(found["sessions"], handle or "")
        if action == "end":
            gateway.delete(f"{PATH}/{whole}")
            click.echo(json.dumps({"ended": whole}) if as_json else f"{whole} has ended")
            return
        session = gateway.get(f"{PATH}/{whole}")
        if as_json:
            click.echo(json.dumps(session, indent=2))
        else:
            show([session], sys.stdout, whole=True)


def _all(gateway: Remote) -> dict[str, Any]:
    """What the gateway lists, all pages together."""
    found: dict[str, Any] = {"sessions": [], "unlisted": 0}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = gateway.get(PATH, {"limit": 500} | ({"cursor": cursor} if cursor else {}))
        found["sessions"] += page["sessions"]
        found["unlisted"], cursor = page["unlisted"], page["nextCursor"]
        if cursor is None:
            break
    return found


def _print_list(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if found["sessions"]:
        show(found["sessions"], sys.stdout)
    elif not found["unlisted"]:
        click.echo("you have no sessions")
    if found["unlisted"]:
        many = "1 session is" if found["unlisted"] == 1 else f"{found['unlisted']} sessions are"
        click.echo(
            f"{many} not listed: without `auth` everybody is the same caller, and an id is all "
            "that keeps one from another's"
        )


def _whole(sessions: list[Session], beginning: str) -> str:
    """The one handle that begins so. Raises ClickException for none, and for several."""
    handles = [str(each["handle"]) for each in sessions if str(each["handle"]).startswith(beginning)]
    if not handles and len(beginning) >= 32:  # the gateway says what is to be said of it
        return beginning
    if len(handles) != 1:
        what = "none" if not handles else f"{len(handles)}"
        raise click.ClickException(f"{what} of your sessions has a handle that begins with '{printable(beginning)}'")
    return handles[0]


def show(sessions: list[Session], file: TextIO, *, whole: bool = False) -> None:
    """Print a table, a line for each server of each session; on a terminal handles are cut unless `whole`."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if not file.isatty():
        for row in _rows(sessions, whole=True):
            print("\t".join(cell or "-" for cell in row), file=file)
        return
    table = Table(box=None, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in ("pid", "age", "idle", "calls") else "left")
    for row in _rows(sessions, whole=whole):
        cells = [Text(cell, style=_STYLES.get(cell, "") if index == 3 else "") for index, cell in enumerate(row)]
        table.add_row(*cells)
    console.print(table)


def _rows(sessions: list[Session], *, whole: bool) -> Iterator[tuple[str, ...]]:
    for session in sessions:
        handle = str(session["handle"]) if whole else str(session["handle"])[:12]
        door = f"{session['door']}, your own" if session["own"] else str(session["door"])
        first = (printable(handle), printable(door))
        for each in session["servers"] or [session]:
            yield (*first, *_of_server(each))


def _of_server(each: Session) -> tuple[str, ...]:
    calls = each["calls"]
    waiting = f" ({calls['inFlight']} in flight)" if calls["inFlight"] else ""
    state = str(each["state"])
    if each.get("reason"):
        state = f"{state}: {each['reason']}"
    return (
        printable(str(each.get("server") or "")),
        printable(state),
        str(each.get("pid") or ""),
        duration(each["ageSeconds"]),
        duration(each["idleSeconds"]),
        f"{calls['total']}{waiting}",
    )


def duration(seconds: float | None) -> str:
    """`3 s`, `4 min`, `5 h`, `6 d`: the largest unit of which there is one."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
