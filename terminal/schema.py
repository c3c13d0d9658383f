"""`mcp-gateway schema`: the OpenAPI document without a gateway that runs, for whoever keeps or generates from it."""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import IO, Final

import anyio
import click

from common import logs
from common.config.model import GatewaySettings
from common.reasons import Reason
from embedding.beside import CannotStart
from embedding.running import Running, running
from gateway import options
from gateway.auditfile import CannotWrite
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError, mebibytes
from gateway.http.documents import Format, Profile, Wanted
from gateway.identity.who import Who
from gateway.openapi.actions import LARGEST
from gateway.openapi.document import Version
from gateway.openapi.gpt import hindrance
from gateway.openapi.security import schemes_of
from gateway.openapi.servers import Frame, described

_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_WORTH_READING: Final = (" WARNING ", " ERROR ", " CRITICAL ")


@dataclass(frozen=True)
class Asked:
    """What somebody asks for on the command line."""

    config: Path
    format: Format = "yaml"
    version: Version = "3.1"
    server: str | None = None
    tools: tuple[str, ...] = ()
    profile: Profile = ""


@click.command("schema")
@click.option("--format", "format_", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--server", help="One server alone; if it fails, so does this.")
@click.option("--tool", "tools", multiple=True, help="These tools alone; may be given more than once.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="Write it here.")
@click.option("--version", type=click.Choice(["3.1", "3.0"]), default="3.1", show_default=True, help="Of OpenAPI.")
@click.option("--profile", type=click.Choice(["actions", "gpt"]), help="For LibreChat's Actions, or a custom GPT.")
@options.config()
def command(
    format_: Format,
    server: str | None,
    tools: tuple[str, ...],
    output: Path | None,
    version: Version,
    profile: Profile | None,
    config: Path,
) -> None:
    """Print what the configured servers offer, as an OpenAPI document.

    Each server is started, asked, and ended. One that fails is told of on standard error, and is in the document as
    failing. The rules of 'access' are not heeded: whoever can read the configuration may know all that is in it.
    """
    dump(Asked(config, format_, version, server, tools, profile or ""), output)


def dump(asked: Asked, output: Path | None = None) -> None:
    """Write the document that is `asked` for. Raises ClickException."""
    if output is not None and not output.parent.is_dir():
        raise click.FileError(str(output), "there is no such directory")
    logs.setup("schema", "error")
    with tempfile.TemporaryFile() as said:
        try:
            wanted = anyio.run(_wanted, asked, said)
        except (CannotStart, CannotWrite) as error:
            if not (text := _read(said).rstrip()):
                raise click.ClickException(str(error)) from None
            click.echo(text, err=True)
            raise click.exceptions.Exit(1) from None
        except GatewayError as error:
            raise click.ClickException(error.message) from None
        failing = [each.listing for each in wanted.servers if each.failure]
        _tell(failing, _read(said))
    if asked.server is not None and failing:
        raise click.exceptions.Exit(1)
    _write(_made(wanted), output)


async def _wanted(asked: Asked, said: IO[bytes]) -> Wanted:
    """What is asked for, of all that the servers offer. Raises CannotStart, CannotWrite and GatewayError."""
    async with running(asked.config, stderr=said) as gateway:
        gateway.sessions.oversight.take_over(gateway.settings.model_copy(update={"access": None}))
        try:
            return await _offered(asked, gateway)
        except GatewayError as error:  # which is not for the gateway's own tasks to see
            refused = error
    raise refused


async def _offered(asked: Asked, gateway: Running) -> Wanted:
    if asked.server is None:
        listings = await gateway.catalog.listings(Who())
    else:
        listings = [await gateway.catalog.listing(asked.server, Who())]
    for name in set(asked.tools) - {tool.name for listing in listings for tool in listing.tools}:
        raise GatewayError(Reason.TOOL_NOT_FOUND, f"no server that is asked has a tool '{name}'", tool=name)
    return _of(asked, gateway, listings)


def _of(asked: Asked, gateway: Running, listings: Sequence[Listing]) -> Wanted:
    policies, settings = gateway.sessions.policies, gateway.settings
    servers = tuple(described(each, policies[each.server]) for each in listings)
    frame = Frame(
        url=settings.publicity.public_url or _address(settings),
        release=version_of("mcp-gateway"),
        security=schemes_of(settings.auth),
        every_server=tuple(policies),
        is_whole=asked.server is None,
        only=frozenset(asked.tools),
    )
    return Wanted(servers, frame, asked.format, asked.version, asked.profile)


def _address(settings: GatewaySettings) -> str:
    """Where the gateway would listen; what listens everywhere is reached as localhost by whoever is here."""
    host = "localhost" if settings.hostname in _ANYWHERE else settings.hostname
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _made(wanted: Wanted) -> bytes:
    if wanted.profile == "gpt" and (sentence := hindrance(wanted.servers, wanted.frame)):
        raise click.ClickException(sentence)
    document = wanted.made()
    if wanted.profile == "actions" and len(document) > LARGEST:
        raise click.ClickException(
            f"the document has {mebibytes(len(document))}, and LibreChat takes less than {mebibytes(LARGEST)}; "
            "take one server with --server, or some tools with --tool"
        )
    return document


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace")


def _tell(failing: Sequence[Listing], said: str) -> None:
    """Of servers that fail, what the log says; of others nothing."""
    if not failing:
        return
    for line in said.splitlines():
        if any(word in line for word in _WORTH_READING):
            click.echo(line, err=True)
    for each in failing:
        assert each.failure is not None
        click.echo(f"server '{each.server}' is failing: {each.failure.message}", err=True)


def _write(document: bytes, output: Path | None) -> None:
    """To standard output, or to a file: all of it or nothing, whatever comes in between."""
    if output is None or output == Path("-"):
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
        return
    new = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        new.write_bytes(document)
        new.replace(output)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise click.FileError(str(output), error.strerror or str(error)) from None
