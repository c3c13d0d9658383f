"""Fetches the packages of servers that are started by npx or uvx: once, into caches that children only read.

A session's HOME is its own, so such a server would be downloaded anew for each; and neither npx nor uvx works with a
cache that it cannot write to. So the supervisor runs them, when it starts and when its configuration changes, and
children are started with the command that was fetched. Whatever cannot be understood or fetched is started as written.

Nothing of a package runs while it is fetched, for that would be with the rights of the supervisor: no install scripts,
no builds. A package that needs them is started as written, too. Two more ways in were seen and are shut: npx would
take a `sh` that the package brings along, and uv asks the Python of a tool that is there already, which runs the .pth
files of all that is installed with it; so it never meets one.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from common.personal import placeholders
from common.redact import Redactor
from supervisor.helpers import Ended, Helpers
from supervisor.packages import (
    NotFetched,
    Package,
    Tool,
    command_in_npm,
    command_in_uv,
    fetch_variables,
    fetches,
    understand,
)
from supervisor.places import PlaceError, caches_directory
from supervisor.turns import a_turn

AT_ONCE: Final = 2
"""Fetches at a time: more would only take the line and the processors from those who have sessions."""

TIMEOUT: Final = 5 * 60.0
"""Seconds that a fetch may take."""

PATIENCE: Final = 15.0
"""Seconds that a session waits for a fetch: less than a start may take."""

_OFFLINE: Final = {"npm_config_offline": "true", "UV_OFFLINE": "1"}
"""For the second try: what was fetched in an earlier run is as good as the registry was then."""


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched, and how."""

    package: Package
    runner: str
    caches: Path
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Those of the server's own `env` that say how to fetch."""

    @property
    def source(self) -> tuple[object, ...]:
        """What two that would write to one directory have in common."""
        return self.package.tool, *self.named

    @property
    def named(self) -> tuple[object, ...]:
        """The same, among those that one tool fetches."""
        return self.package.spec, self.variables


@dataclass(eq=False)
class _Fetch:
    command: str | None = None
    """What was fetched; None where that came to nothing, or has not come yet."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)


class Fetches:
    """Fetches what servers want. `stop` before anything is done to all processes there are."""

    def __init__(self, helpers: Helpers, tasks: anyio.abc.TaskGroup, environ: Mapping[str, str] = os.environ) -> None:
        self._helpers = helpers
        self._tasks = tasks
        self._environ = environ
        self._wanted: dict[str, tuple[Package, Wanted]] = {}
        self._fetches: dict[Wanted, _Fetch] = {}
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._locks: defaultdict[tuple[object, ...], anyio.Lock] = defaultdict(anyio.Lock)

    def __repr__(self) -> str:
        return f"<Fetches {[wanted.package.spec for wanted in self._fetches]}>"

    def start(self, settings: SupervisorSettings) -> None:
        """Fetch, in the background, what the servers of `settings` want and is not there yet."""
        self._wanted = {}
        for spec in settings.servers.values():
            if spec.isolation.packages == "fetch" and fetches(spec.command):
                try:
                    self._wanted[spec.name] = _want(spec, settings, self._environ)
                except (NotFetched, PlaceError) as error:
                    _warn([spec.name], str(error))
        self._fetches = {
            each: fetch for each, fetch in self._fetches.items() if fetch.command or not fetch.done.is_set()
        }
        for _, wanted in self._wanted.values():
            self._begin(wanted)

    async def resolve(self, spec: ServerSpec, patience: float | None = PATIENCE) -> ServerSpec:
        """`spec` with the command that was fetched for it, or as it is; while it is being fetched, waits `patience`.

        That is in seconds; None waits until it is known.
        """
        if spec.name not in self._wanted:
            return spec
        package, wanted = self._wanted[spec.name]
        fetch = self._begin(wanted)
        with anyio.move_on_after(math.inf if patience is None else patience) as waiting:
            await fetch.done.wait()
        if waiting.cancelled_caught:
            logger.warning("server {}: {} is still being fetched; starting it as written", spec.name, package.spec)
        if fetch.command is None:
            return spec
        return spec.model_copy(update={"command": fetch.command, "args": package.args})

    async def stop(self) -> None:
        """Cancel what is being fetched, and wait until nothing of it is left. A session that needs it begins anew."""
        running = [fetch for fetch in self._fetches.values() if not fetch.done.is_set()]
        for fetch in running:
            fetch.scope.cancel()
        for fetch in running:
            await fetch.done.wait()

    def _begin(self, wanted: Wanted) -> _Fetch:
        known = self._fetches.get(wanted)
        if known is not None and (known.command is None or os.access(known.command, os.X_OK)):
            return known
        fetch = self._fetches[wanted] = _Fetch()
        self._tasks.start_soon(self._fetch, wanted, fetch, name=f"fetch {wanted.package.spec}")
        return fetch

    async def _fetch(self, wanted: Wanted, fetch: _Fetch) -> None:
        over = False
        try:
            with fetch.scope:
                async with self._locks[wanted.source], self._limiter:
                    fetch.command = await self._try(wanted)
                over = True
        finally:
            if not over:
                del self._fetches[wanted]
            fetch.done.set()

    async def _try(self, wanted: Wanted) -> str | None:
        """The command that was fetched, or None, and then it was said why."""
        spec, began = wanted.package.spec, time.monotonic()
        servers = sorted(name for name, (_, each) in self._wanted.items() if each == wanted)
        try:
            with anyio.fail_after(TIMEOUT):
                # Another supervisor of this user may fetch the same into the same place.
                async with a_turn(wanted.caches / f".{wanted.package.tool.value}-{_digest(wanted.named)}.lock"):
                    command = await self._run(wanted)
        except (NotFetched, OSError, ValueError) as error:  # a TimeoutError is an OSError
            reason = f"not within {TIMEOUT:g} s" if isinstance(error, TimeoutError) else str(error)
            _warn(servers, f"{spec} could not be fetched ({reason})")
            return None
        logger.info("fetched {} for {} in {:.1f} s", spec, ", ".join(servers), time.monotonic() - began)
        return command

    async def _run(self, wanted: Wanted) -> str:
        """Raises NotFetched or OSError."""
        own = _directories(wanted)
        for directory in own.values():
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if "UV_CACHE_DIR" in own:  # no child needs it, and its locks are open to everybody
            own["UV_CACHE_DIR"].chmod(0o700)
        empty = wanted.caches / "empty"  # where npx finds no project that it would look into first
        empty.mkdir(mode=0o755, exist_ok=True)
        environment = _environment(wanted, self._environ, own)
        if wanted.package.tool is Tool.NPM:
            printed = await self._run_tool(wanted, environment, empty)
            return command_in_npm(printed, own["npm_config_cache"], wanted.package)
        tools = own["UV_TOOL_DIR"]
        if not wanted.package.floats and (there := _installed(tools, wanted.package)):
            return there
        for directory in (tools, own["UV_TOOL_BIN_DIR"]):  # uv does not replace what stands in either
            await anyio.to_thread.run_sync(shutil.rmtree, directory)
        await self._run_tool(wanted, environment, empty)
        command = command_in_uv(tools, wanted.package)
        for lock in tools.glob(".lock"):
            lock.chmod(0o600)
        # No child may write what Python compiles. Without `site` nothing of the package runs.
        compile_ = [str(Path(command).with_name("python")), "-I", "-S", "-m", "compileall", "-q", str(tools)]
        await self._helpers.run(compile_, environment, empty)
        return command

    async def _run_tool(self, wanted: Wanted, environment: Mapping[str, str], empty: Path) -> str:
        """What the tool prints once it has fetched. Raises NotFetched or OSError."""
        line = _command_line(wanted)
        ended = await self._helpers.run(line, environment, empty)
        if ended.exit.code != 0:
            why = _complaint(ended, Redactor(environment))
            ended = await self._helpers.run(line, {**environment, **_OFFLINE}, empty)
            if ended.exit.code != 0:
                raise NotFetched(why)
        return ended.out


def _want(spec: ServerSpec, settings: SupervisorSettings, environ: Mapping[str, str]) -> tuple[Package, Wanted]:
    """What `spec` starts, and what is to be fetched for it. Raises NotFetched or PlaceError."""
    package = understand(spec.command, spec.args)
    relative = os.sep in spec.command and not os.path.isabs(spec.command)  # noqa: PTH117
    if package is None or relative:
        raise NotFetched("it is not plain what it fetches and starts")
    if package.tool is Tool.NPM and _is_project(spec.path):
        raise NotFetched("its 'path' may have packages of its own, which npx prefers")
    others = (spec.isolation.user, spec.isolation.group, spec.isolation.uid_range) != (None, None, None)
    caches = caches_directory(settings, other_users=others, environ=environ)
    return package, Wanted(
        package.without_args,
        _runner(spec.command, package),
        caches,
        tuple(sorted(fetch_variables({k: v for k, v in spec.env.items() if not placeholders(v)}).items())),
    )


def _is_project(path: str | None) -> bool:
    """Whether npx finds packages, or a configuration, of a project when it is started in `path`."""
    if path is None:
        return False
    here = Path(path).absolute()
    names = ("node_modules", ".npmrc")
    return any(os.path.exists(above / name) for above in (here, *here.parents) for name in names)  # noqa: PTH110 - or hidden


def _runner(command: str, package: Package) -> str:
    """The program that fetches: as it is written, and for `uvx` the `uv` that stands beside it."""
    directory, slash, _ = command.rpartition(os.sep)
    return f"{directory}{slash}{package.tool.value}"


def _installed(tools: Path, package: Package) -> str | None:
    """The command of `package`, where an earlier run has installed it."""
    try:
        return command_in_uv(tools, package)
    except NotFetched:
        return None


def _command_line(wanted: Wanted) -> list[str]:
    if wanted.package.tool is Tool.NPM:
        return [wanted.runner, "-y", "-p", wanted.package.spec, "-c", 'printf %s "$PATH"']
    return [wanted.runner, "tool", "install", wanted.package.spec]


def _directories(wanted: Wanted) -> dict[str, Path]:
    """Where the tool keeps things, by the variables that tell it so.

    Two specs may want two versions of one tool, so each has a directory for itself; npm sees to that.
    """
    if wanted.package.tool is Tool.NPM:
        own = f"npm-{_digest(wanted.variables)}" if wanted.variables else "npm"
        return {"npm_config_cache": wanted.caches / own}
    uv = wanted.caches / "uv"
    own = _digest(wanted.named)
    return {
        "UV_CACHE_DIR": uv / "cache",
        "UV_PYTHON_INSTALL_DIR": uv / "python",
        "UV_TOOL_DIR": uv / "tools" / own,
        "UV_TOOL_BIN_DIR": uv / "bin" / own,
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _environment(wanted: Wanted, environ: Mapping[str, str], own: Mapping[str, Path]) -> dict[str, str]:
    """The environment of a fetch. Nothing wins over `own` directories, nor over that nothing of a package runs."""
    fixed = {name: str(path) for name, path in own.items()}
    fixed |= {"npm_config_ignore_scripts": "true", "npm_config_script_shell": "/bin/sh", "UV_NO_BUILD": "1"}
    fixed |= {f"npm_config_{name}": "false" for name in ("audit", "fund", "update_notifier")}
    fixed |= {name: environ[name] for name in ("HOME",) if name in environ}
    ours = {name.lower() for name in fixed}  # npm takes its variables in either case
    given = {"PATH": os.defpath} | fetch_variables(environ) | dict(wanted.variables)
    return {name: value for name, value in given.items() if name.lower() not in ours} | fixed


def _complaint(ended: Ended, redact: Redactor) -> str:
    """Why, as the tool has put it: the first line that speaks of an error, else the last, without secrets."""
    lines = [line.strip() for line in ended.err.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() and "error code" not in line]
    return redact((telling or lines[-1:] or [f"exit code {ended.exit.code}"])[0])[:300]


def _warn(servers: list[str], reason: str) -> None:
    told = "{} {}: {}; started as written, with a cache in each session's own HOME"
    logger.warning(told, "server" if len(servers) == 1 else "servers", ", ".join(servers), reason)
