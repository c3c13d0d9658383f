"""What can be said of a gateway without a session: its configuration, its health, its commands."""

import email.utils
import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from common.config.load import Settings
from common.config.model import GatewaySettings, ServerSpec
from common.units import seconds
from doctor.client import printable
from doctor.findings import Finding, Verdict
from doctor.rows import Server
from supervisor.environment import SpawnError, resolve_command

_CLOCKS: Final = 30.0
"""Seconds that two clocks may be apart before tokens that expire are in trouble."""

_HEADER: Final = "header:"


def default_url(settings: GatewaySettings) -> str | None:
    """Where the gateway listens by its configuration; None where it takes any free port."""
    if settings.port == 0:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.hostname, settings.hostname)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def servers(settings: Settings) -> list[Server]:
    """What the trials have to know of each server."""
    return [_server(settings, name) for name in settings.gateway.servers]


def _server(settings: Settings, name: str) -> Server:
    policy, spec = settings.gateway.servers[name], settings.supervisor.servers[name]
    isolation = _written(settings, name, "isolation") or "session"
    shared = isolation not in ("session", ["session"])
    linger = _written(settings, name, "linger")
    graces = spec.graces
    return Server(
        name,
        headers=headers_of(policy.personal),
        # A path with a mark in it is each session's own, or each user's: see common.config.session_paths.
        fixed_path=spec.path is not None and "\0" not in spec.path,
        ending=graces.stop + graces.terminate + 2 * graces.kill,
        linger=(seconds(linger) if linger is not None else 300.0) if shared else 0.0,
        shared_by_one=shared,
        largest=policy.max_message_bytes,
    )


def headers_of(placeholders: tuple[str, ...]) -> tuple[str, ...]:
    """The headers among the placeholders of a server's configuration."""
    return tuple(each.removeprefix(_HEADER) for each in placeholders if each.startswith(_HEADER))


def _written(settings: Settings, name: str, key: str) -> Any:
    """The server's `key`, or the file's, as it is written; None where neither has it."""
    document = settings.source.document
    entry = next(each for known, each in document["servers"].items() if str(known) == name)
    return entry.get(key, document.get(key))


def exposure(settings: GatewaySettings) -> Finding:
    """Who may use it."""
    if settings.auth.is_on:
        return Finding("access", "", Verdict.OK, "the gateway asks for credentials")
    if _is_loopback(settings.hostname):
        text = "no credentials are asked for; it listens on this machine alone"
        return Finding("access", "", Verdict.OK, text)
    text = f"no credentials are asked for, and it listens on {settings.hostname}"
    return Finding("access", "", Verdict.WARNING, text, "configure `auth`, or listen on 127.0.0.1")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def health(report: Mapping[str, Any], known: set[str], *, rules: bool = False) -> Iterator[Finding]:
    """What `/health` says, held against the servers that the file has; with `rules` it may not say all to everybody."""
    if "version" not in report:
        text = "the gateway tells nothing but its status: it did not take the doctor's credentials"
        yield Finding("health", "", Verdict.FAILED, text, "is this the configuration that it runs with?")
        return
    yield _version(str(report["version"]))
    outlived = report.get("outlived")
    if not report.get("supervisor", {}).get("answers"):
        yield Finding("health", "", Verdict.FAILED, "the supervisor does not answer", "look at its log")
        return
    if outlived:
        text = f"{outlived} processes outlived their sessions since it started"
        yield Finding("health", "", Verdict.FAILED, text, "the log names them")
    else:
        text = (
            f"well; trees are kept whole by: {printable(str(report.get('reaping')))}; nothing ever outlived its session"
        )
        yield Finding("health", "", Verdict.OK, text)
    yield from _served(report.get("servers") or {}, known, rules=rules)


def _version(running: str) -> Finding:
    own = version("mcp-gateway")
    if running == own:
        return Finding("version", "", Verdict.OK, own)
    text = f"the gateway is {printable(running)}, the doctor {own}"
    return Finding("version", "", Verdict.WARNING, text, "restart the gateway after an upgrade")


def _served(served: Mapping[str, Any], known: set[str], *, rules: bool) -> Iterator[Finding]:
    missing, strange = known - set(served), set(served) - known
    if missing and rules and not strange:
        text = f"not served, or kept by `access` from the key that asks: {', '.join(sorted(missing))}"
        yield Finding("servers", "", Verdict.NOTE, text, "their own rows say whether the two users may use them")
    elif missing or strange:
        parts = [f"not served: {', '.join(sorted(missing))}"] if missing else []
        parts += [f"not in the file: {', '.join(sorted(map(printable, strange)))}"] if strange else []
        remedy = "send SIGHUP after a change, or give the file that it runs with"
        yield Finding("servers", "", Verdict.FAILED, "; ".join(parts), remedy)
    else:
        yield Finding("servers", "", Verdict.OK, "all of the file are served")
    for name in sorted(known & set(served)):
        if why := served[name].get("failing"):
            text = f"it is given a rest: {printable(str(why))}"
            yield Finding("servers", name, Verdict.FAILED, text, "the log has what it said")


def clock(date: str | None, now: datetime) -> Finding | None:
    """Whether the gateway's clock, by its header Date, is near ours; None where it says nothing."""
    try:
        there = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return None
    apart = abs((there - now).total_seconds())
    if apart <= _CLOCKS:
        return Finding("clock", "", Verdict.OK, "the gateway's is ours")
    text = f"the gateway's is {apart:.0f} s from ours"
    return Finding("clock", "", Verdict.WARNING, text, "tokens that expire need the right time")


def command(spec: ServerSpec, path: str) -> Finding | None:
    """Whether the program is there that is to be started; None where all is well. Looks at files."""
    try:
        resolve_command(spec, path)
    except SpawnError as error:
        # The supervisor may have another PATH, and the trial says whether it starts.
        text = f"{printable(error.message)}, looked for as the doctor"
        return Finding("command", spec.name, Verdict.WARNING, text, "an absolute path is found by everybody")
    return None
