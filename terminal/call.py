"""`mcp-gateway call`: one call of one tool, in a session of its own."""

import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import anyio
import click

from common.config.load import load
from common.config.model import GatewaySettings
from common.config.source import ConfigError
from doctor.client import printable
from doctor.surroundings import default_url
from terminal.arguments import Mistyped, arguments
from terminal.client import Refusal, Remote, addressed
from terminal.contents import safe, said, saved
from terminal.credentials import headers_of
from terminal.doors import Door, There

_CONNECTING: Final = 3.0
"""Seconds within which something near answers, or nothing does."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. No `repr` shows what is sent."""

    server: str
    tool: str
    words: tuple[str, ...] = field(repr=False)
    given: Mapping[str, Any] = field(repr=False)
    timeout: float
    config: Path
    url: str | None
    token_file: Path | None
    headers: tuple[str, ...] = field(repr=False)


@click.command("call")
@addressed
@click.argument("server")
@click.argument("tool")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "as_json", metavar="OBJECT", help="The arguments as a JSON object; '-' reads it from stdin.")
@click.option("--raw", is_flag=True, help="Print the whole result, as JSON.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Save an image, sound or file there.")
@click.option(
    "--timeout", type=click.FloatRange(1, 86400), default=300.0, show_default=True, help="Seconds for the answer."
)
def command(
    server: str,
    tool: str,
    words: tuple[str, ...],
    as_json: str | None,
    output: Path | None,
    timeout: float,
    config: Path,
    url: str | None,
    token_file: Path | None,
    headers: tuple[str, ...],
    *,
    raw: bool,
) -> None:
    """Call TOOL of SERVER, and print what it says.

    Each KEY=VALUE is an argument, of the type that the tool wants; KEY several times is a list. The gateway that the
    configuration describes is asked; where none answers, the server is started for this call alone.

    Exit status 0: the tool did it. 1: it did not, or could not be asked.
    """
    wanted = Wanted(server, tool, words, _object(as_json), timeout, config, url, token_file, headers)
    result = anyio.run(_result, wanted)
    if raw:
        click.echo(json.dumps(result, ensure_ascii=False, indent=2))
    failed = result.get("isError") is True
    text = said(result)
    if failed:
        raise click.ClickException(safe(text, sys.stderr) or "the tool failed, and did not say why")
    files = saved(result, output) if output is not None else []
    for each in files:
        click.echo(f"saved {each}", err=True)
    if output is not None and not files:
        raise click.ClickException("the result holds no image, sound or file to be saved; nothing was written")
    if not raw and text:
        click.echo(safe(text, sys.stdout))


def _object(text: str | None) -> Mapping[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(sys.stdin.read() if text == "-" else text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise click.BadParameter("expected a JSON object such as '{\"a\": 1}'", param_hint="--json")
    return found


async def _result(wanted: Wanted) -> Mapping[str, Any]:
    """What the tool answers, in a session that ends with it. Raises click.ClickException."""
    async with _door(wanted) as door:
        session = (await door.ask("GET", "/api/sessionid", query={}))["sessionId"]
        try:
            return await _called(door, session, wanted)
        except Mistyped as error:
            raise click.ClickException(printable(str(error))) from None
        except Refusal as refusal:
            raise click.ClickException("\n".join([_sentence(refusal, wanted.server), *_violations(refusal)])) from None
        finally:
            with suppress(click.ClickException):
                await door.ask("DELETE", "/api/sessionid", query={"sessionId": session})


async def _called(door: Door, session: str, wanted: Wanted) -> Mapping[str, Any]:
    schema = await door.schema(session, wanted.server, wanted.tool) if wanted.words else None
    sent = arguments(wanted.words, schema, wanted.given)
    path = f"/api/{quote(wanted.server, safe='')}/{quote(wanted.tool, safe='/')}"
    result = await door.ask("POST", path, query={"sessionId": session}, body=sent, timeout=wanted.timeout)
    if not isinstance(result, dict):
        raise click.ClickException("what answers is no mcp-gateway: its answer is no result of a tool")
    return result


@asynccontextmanager
async def _door(wanted: Wanted) -> AsyncIterator[Door]:
    """To the gateway that runs, or else to one of our own. Raises click.ClickException."""
    settings = _configured(wanted.config) if wanted.url is None else None
    where = default_url(settings) if settings is not None else wanted.url
    if settings is None or (where is not None and _answers(where)):
        with Remote.of(wanted.config, wanted.url, wanted.token_file, wanted.headers) as remote:
            yield There(remote)
        return
    if wanted.server not in settings.servers:
        known = ", ".join(settings.servers)
        raise click.ClickException(f"there is no server '{printable(wanted.server)}'; there is {known}")
    at = f" at {where}" if where is not None else ""
    click.echo(f"no gateway answers{at}: starting '{wanted.server}' for this call", err=True)
    headers = headers_of(wanted.token_file, wanted.headers, os.environ)
    from terminal.alone import Here, alone  # a whole gateway, which a call of one that runs has no use for

    async with alone(wanted.config) as gateway:
        yield Here(gateway, headers)


def _configured(config: Path) -> GatewaySettings:
    try:
        return load(config).gateway
    except ConfigError as error:
        raise click.ClickException(f"{error.problems[0]}; 'mcp-gateway check' tells of every mistake") from None


def _answers(url: str) -> bool:
    """Whether somebody listens there."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), _CONNECTING).close()
    except OSError:
        return False
    return True


def _sentence(refusal: Refusal, server: str) -> str:
    if "certificate" in refusal.about:
        return f"{refusal.message}; 'mcp-gateway check --server {printable(server)}' shows what it wrote"
    return refusal.message


def _violations(refusal: Refusal) -> list[str]:
    """What is wrong with the arguments, a line each."""
    found = refusal.about.get("violations")
    return [
        f"  {printable(str(each.get('pointer') or '/'))}: {printable(str(each.get('message', '')))}"
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict)
    ]
