"""The command line of `mcp-gateway doctor`."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import click

from common.config.load import Settings, load
from common.config.source import ConfigError
from doctor.examination import Examination, gateway_facts
from doctor.findings import Finding, Verdict, exit_status
from doctor.librechat.context import GatewayFacts
from doctor.librechat.document import Unusable, read
from doctor.librechat.examine import examine
from doctor.pair import make_pair
from doctor.surroundings import default_url
from doctor.table import show

_INTERRUPTED: Final = 130

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. No `repr` shows a token."""

    config: Path
    url: str | None
    names: tuple[str, ...]
    librechat: Path | None
    offline: bool
    timeout: float
    tokens: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Wanted of {self.config}>"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "-c",
    type=_FILE,
    envvar="CONFIG_PATH",
    default="config.yaml",
    show_default=True,
    help="The configuration that the gateway runs with; CONFIG_PATH names one, too.",
)
@click.option("--url", help="Where the gateway is reached, if not where its configuration says.")
@click.option("--server", "names", multiple=True, metavar="NAME", help="Only this server; may be given again.")
@click.option("--librechat", type=_FILE, metavar="FILE", help="A librechat.yaml to look at, too.")
@click.option("--offline", is_flag=True, help="Only read files: no gateway is asked, nothing is started.")
@click.option(
    "--token-file", type=_FILE, multiple=True, metavar="FILE", help="A Bearer token; given twice, two users'."
)
@click.option("--token-env", multiple=True, metavar="VARIABLE", help="The same from an environment variable.")
@click.option(
    "--timeout", type=click.FloatRange(1, 600), default=30.0, show_default=True, help="Seconds for each step."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--strict", is_flag=True, help="Exit with 2 where something is doubtful or could not be looked at.")
def main(
    config: Path,
    url: str | None,
    names: tuple[str, ...],
    librechat: Path | None,
    *,
    offline: bool,
    token_file: tuple[Path, ...],
    token_env: tuple[str, ...],
    timeout: float,
    as_json: bool,
    strict: bool,
) -> None:
    """Prove that two users of a running gateway are apart, and look at its configuration.

    Exit status 0: all is well. 1: something failed. 2, with --strict: something could not be looked at.
    """
    tokens = _tokens(token_file, token_env)
    wanted = Wanted(config, url, names, librechat, offline, timeout, tokens)
    findings, interrupted = anyio.run(_collect, wanted)
    if as_json:
        print(json.dumps([each.as_json() for each in findings], indent=2))
    else:
        show(findings, sys.stdout)
    if interrupted:
        print("interrupted; what was opened is closed", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    sys.exit(exit_status(findings, strict=strict))


def _tokens(files: Iterable[Path], variables: Iterable[str]) -> tuple[str, ...]:
    found = []
    for file in files:
        try:
            found.append(file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            raise click.BadParameter("the file cannot be read", param_hint="--token-file") from None
    for variable in variables:
        if not os.environ.get(variable):
            raise click.BadParameter(f"the environment has no {variable}", param_hint="--token-env")
        found.append(os.environ[variable])
    return tuple(found)


async def _collect(wanted: Wanted) -> tuple[list[Finding], bool]:
    """All findings, and whether a signal put an end to it before its time."""
    findings: list[Finding] = []
    interrupted = False

    async def obey(scope: anyio.CancelScope) -> None:
        nonlocal interrupted
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                interrupted = True
                scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(obey, tasks.cancel_scope)
        async for each in _findings(wanted):
            findings.append(each)  # noqa: PERF401 - what there is when it is cancelled counts
        tasks.cancel_scope.cancel()
    return findings, interrupted


async def _findings(wanted: Wanted) -> AsyncIterator[Finding]:
    facts: GatewayFacts | None = None
    if not wanted.offline or wanted.config.exists():
        try:
            settings = load(wanted.config)
        except ConfigError as error:
            for problem in error.problems:
                yield Finding("configuration", "", Verdict.FAILED, str(problem))
        else:
            examination = None if wanted.offline else _examination(wanted, settings)
            async for each in _of_gateway(wanted, settings, examination):
                yield each
            facts = gateway_facts(settings, wanted.url) if examination is None else examination.facts()
    if wanted.librechat is not None:
        for each in _of_librechat(wanted.librechat, facts):
            yield each


async def _of_gateway(wanted: Wanted, settings: Settings, examination: Examination | None) -> AsyncIterator[Finding]:
    yield Finding("configuration", "", Verdict.OK, f"it is good; its servers: {', '.join(settings.gateway.servers)}")
    for each in _unknown_servers(wanted, settings):
        yield each
    if examination is not None:
        async for each in examination.run(wanted.names):
            yield each
    elif not wanted.offline:
        yield _cannot_begin(wanted, settings)


def _unknown_servers(wanted: Wanted, settings: Settings) -> Iterable[Finding]:
    for name in wanted.names:
        if name not in settings.gateway.servers:
            known = ", ".join(settings.gateway.servers)
            yield Finding("configuration", name, Verdict.FAILED, "there is no such server", f"there is {known}")


def _examination(wanted: Wanted, settings: Settings) -> Examination | None:
    url = wanted.url or default_url(settings.gateway)
    pair = make_pair(settings.gateway, wanted.tokens)
    return Examination(settings, url.rstrip("/"), pair, wanted.timeout) if url and pair else None


def _cannot_begin(wanted: Wanted, settings: Settings) -> Finding:
    if not (wanted.url or default_url(settings.gateway)):
        return Finding("gateway", "", Verdict.FAILED, "its port is any that is free", "--url says which it is")
    text = "the configuration has no credentials that can be presented: hashes cannot be"
    return Finding("users", "", Verdict.UNKNOWN, text, "--token-file with a Bearer token, twice for two users")


def _of_librechat(path: Path, facts: GatewayFacts | None) -> Iterable[Finding]:
    try:
        findings = examine(read(path), facts)
    except Unusable as error:
        yield Finding("librechat.yaml", "", Verdict.FAILED, str(error))
        return
    yield from findings
    if not any(each.verdict is not Verdict.NOTE for each in findings):
        yield Finding("librechat.yaml", "", Verdict.OK, "its MCP servers are as they should be")
