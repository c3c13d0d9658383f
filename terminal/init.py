"""`mcp-gateway init`: a first configuration, from answers or from another program's file."""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from common.config.dialects.listed import REDIS_URL
from common.config.load import load
from common.config.overrides import HOST, PORT
from common.config.source import ConfigError
from common.hashes import sha256_of
from terminal.foreign import AlreadyOurs, How, Taken, Untakable, take
from terminal.starting import KNOWN, Audience, Plan, text_of
from terminal.typed import program

_NAMES: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_COMMENTS: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STANDS_FOR_ANY: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
"""In place of a variable, when what was written is tried: long and varied enough for whatever a secret must be."""

_PORT: Final = 3000


@click.command("init")
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="FILE", help="Take over its servers.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default="config.yaml", show_default=True, metavar="FILE"
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: what is not said by an option is the safe default.")
@click.option("--for", "audience", type=click.Choice([each.value for each in Audience]), help="Who may come in.")
@click.option("--user", "users", multiple=True, metavar="NAME", help="With --for users: one who gets a token.")
@click.option("--server", "names", multiple=True, metavar="NAME[=DIRECTORY]", help=f"One of {', '.join(KNOWN)}.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens.")
@click.option("--keep-secrets", is_flag=True, help="Copy the secrets of --from, in place of variables.")
def command(
    source: Path | None,
    output: Path,
    audience: str | None,
    users: tuple[str, ...],
    names: tuple[str, ...],
    port: int | None,
    *,
    force: bool,
    yes: bool,
    keep_secrets: bool,
) -> None:
    """Write a configuration with comments that explain it.

    With --from it takes over the servers of a claude_desktop_config.json, of VS Code's mcp.json, or of another gateway's
    file. Secrets are replaced by variables, and nothing is written over without --force. Only you may read the result.
    """
    if output.exists() and not force:
        raise click.ClickException(f"{output} is there already; --force writes over it, --output writes elsewhere")
    try:
        document = _read(source) if source is not None else None
        settled = isinstance(document, dict) and isinstance(document.get("servers"), list)
        _check(source, names, audience, settled=settled)
        for_whom = Audience.MACHINE if settled else _audience(audience, yes=yes)
        taken = take(document, How(for_whom is not Audience.MACHINE, keep_secrets)) if source is not None else None
        servers = taken.servers if taken is not None else _chosen(names, yes=yes)
        tokens = {} if settled else _tokens(for_whom, users, yes=yes)
        known = port or (None if settled else _ask_port(yes=yes))
    except AlreadyOurs:
        click.echo(f"{source} is a configuration as it is: {program()} serve --config {source}")
        return
    except Untakable as error:
        raise click.ClickException("\n".join((f"{source} cannot be taken over:", *error.lines))) from None
    except click.Abort:
        raise click.ClickException("nobody answers here; with --yes nothing is asked") from None
    hashes = {name: sha256_of(token) for name, token in tokens.items()}
    plan = _with(taken, Plan(for_whom, known or _PORT, servers, hashes), port)
    text = text_of(plan)
    _try(text, output)
    _write(text, output, force=force)
    _tell(output, tokens, taken, for_whom)


def _check(source: Path | None, names: tuple[str, ...], audience: str | None, *, settled: bool) -> None:
    """Raises click.UsageError for options that mean nothing together."""
    if source is not None and names:
        raise click.UsageError("--server is for a file that begins anew; with --from the servers come from there")
    if settled and audience is not None:
        raise click.UsageError(f"{source} says itself who may come in; take --for away")


def _with(taken: Taken | None, plan: Plan, port: int | None) -> Plan:
    """`plan` with what was taken over besides the servers."""
    if taken is None:
        return plan
    settings = taken.settings if port is None else {**taken.settings, "port": port}
    return replace(
        plan, settings=settings, remarks=taken.remarks, left_out=tuple(taken.left_out), denied=tuple(taken.denied)
    )


def _read(source: Path) -> Any:
    """The file's content as plain data. Raises click.ClickException, which quotes nothing of it."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise click.ClickException(f"{source} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{source} is no text in UTF-8") from None
    if text.lstrip().startswith(("{", "//", "/*")):  # JSON, perhaps with comments, as VS Code has them
        text = _COMMENTS.sub(lambda match: match[1] or " ", text).replace("\t", " ")
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark is not None else str(source)
        raise click.ClickException(f"{where}: this is neither JSON nor YAML") from None


def _audience(given: str | None, *, yes: bool) -> Audience:
    if given is not None:
        return Audience(given)
    if yes:
        return Audience.MACHINE
    click.echo(
        "Who may come in? machine: programs on this machine. librechat: its users. users: some people, by token."
    )
    choice = click.Choice([each.value for each in Audience])
    return Audience(click.prompt("Who", type=choice, default=Audience.MACHINE.value))


def _chosen(names: tuple[str, ...], *, yes: bool) -> Mapping[str, Mapping[str, Any]]:
    """The servers to begin with. Raises click.ClickException."""
    if not names and yes:
        names = ("notepad",)
    if not names:
        click.echo(f"Which servers? Some of: {', '.join(KNOWN)}")
        names = click.prompt("Servers", default="notepad", value_proc=_known)
    return dict(_server(name, yes=yes) for name in names)


def _known(answer: str) -> tuple[str, ...]:
    """The servers that an answer names. Raises click.UsageError, after which it is asked again."""
    names = _words(answer)
    for name in names:
        if name.partition("=")[0] not in KNOWN:
            raise click.UsageError(f"there is no server '{name}' to begin with")
    return names


def _words(answer: str) -> tuple[str, ...]:
    return tuple(answer.replace(",", " ").split())


def _server(text: str, *, yes: bool) -> tuple[str, Mapping[str, Any]]:
    name, _, directory = text.partition("=")
    if name not in KNOWN:
        raise click.ClickException(f"there is no server '{name}' to begin with; there is {', '.join(KNOWN)}")
    entry = dict(KNOWN[name])
    if name in ("filesystem", "git"):
        if not directory and yes:
            raise click.ClickException(f"expected its directory, as --server {name}=/some/directory")
        directory = directory or click.prompt(f"Directory of '{name}'", type=str)
        option = ["--repository"] if name == "git" else []
        entry["args"] = [*entry["args"], *option, str(Path(directory).absolute()).replace("${", "$${")]
    return name, entry


def _tokens(audience: Audience, users: tuple[str, ...], *, yes: bool) -> Mapping[str, str]:
    """A new token for everybody who is to have one, by name. Raises click.ClickException."""
    if audience is Audience.MACHINE:
        return {}
    if audience is Audience.LIBRECHAT:
        return {"librechat": secrets.token_urlsafe(32)}
    if not users and not yes:
        users = click.prompt("Their names", default="me", value_proc=_words)
    for name in users:
        if not _NAMES.fullmatch(name):
            raise click.ClickException("expected names of letters, digits, '.', '_', '@' and '-'")
    return {name: secrets.token_urlsafe(32) for name in users or ("me",)}


def _ask_port(*, yes: bool) -> int:
    if yes:
        return _PORT
    port: int = click.prompt("Port", type=click.IntRange(1, 65535), default=_PORT)
    return port


class _AnyVariable(Mapping[str, str]):
    """An environment that has every variable, but for those that mean something to the loader itself."""

    def __getitem__(self, name: str) -> str:
        if name in (PORT, HOST, "CREDENTIALS_DIRECTORY"):
            raise KeyError(name)
        return "redis://localhost" if name == REDIS_URL else _STANDS_FOR_ANY

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _try(text: str, output: Path) -> None:
    """Raises click.ClickException where our own loader does not take `text`."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, output.name)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        try:
            load(path, _AnyVariable())
        except ConfigError as error:
            lines = [f"{problem.key}: {problem.text}" for problem in error.problems]
            raise click.ClickException("\n".join(("what would be written is no good configuration:", *lines))) from None


def _write(text: str, output: Path, *, force: bool) -> None:
    """Write the file for its owner alone, as a whole or not at all. Raises click.ClickException."""
    try:
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")  # which is made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            if force:
                Path(name).replace(output)
            else:
                os.link(name, output)  # which, other than a renaming, never takes the place of a file
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
    except FileExistsError:
        raise click.ClickException(f"{output} is there already; --force writes over it") from None
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None


def _tell(output: Path, tokens: Mapping[str, str], taken: Taken | None, audience: Audience) -> None:
    """What was done, and what to do next."""
    click.echo(f"wrote {output}, which only you may read")
    if taken is not None:
        for name, remarks in taken.remarks.items():
            click.echo(f"  {name}: {'; '.join(remarks)}")
        for each in taken.left_out:
            click.echo(f"  left out: {each}")
        if taken.variables:
            click.echo("Set these where the gateway runs:")
            for name, server in taken.variables.items():
                click.echo(f"  {name}=    # {server}")
    for name, token in tokens.items():
        click.echo(f"The token of {name}, which is shown this once; the file has its hash:\n  {token}")
    if audience is Audience.LIBRECHAT:
        click.echo("  Put it into LibreChat's .env as MCP_GATEWAY_TOKEN; docs/librechat.md has the rest.")
    click.echo(f"Next: {program()} check --config {output}\n      {program()} serve --config {output}")
