"""One fetch: npx or uv run in a way in which nothing of the package runs, into a place of its own.

What runs here has the rights of the supervisor: no install scripts, no builds. A package that needs them is not fetched.
Two more ways in were seen and are shut: npx would take a `sh` that the package brings along, and uv asks the Python of a
tool that is there already, which runs the .pth files of all that is installed with it; so it never meets one.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.config.model import ServerSpec, SupervisorSettings
from common.personal import placeholders
from common.redact import Redactor
from supervisor.helpers import Ended, Helpers
from supervisor.packages import NotFetched, Package, Tool, command_in_npm, fetch_variables, fetches, understand
from supervisor.places import PlaceError, caches_directory
from supervisor.shelves import Shelf, command_in, make_readable

_OFFLINE: Final = {"npm_config_offline": "true", "UV_OFFLINE": "1"}
"""For the second try: what was fetched in an earlier run is as good as the registry was then."""


_IMPATIENT: Final = {"npm_config_fetch_retry_mintimeout": "1000", "npm_config_fetch_retry_maxtimeout": "4000"}
"""Milliseconds between npm's tries, unless somebody says otherwise. Its own, 10 to 60 s, hold up a start for 74 s."""


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched, and how."""

    package: Package
    runner: str
    caches: Path
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Those of the server's own `env` that say how to fetch."""

    @property
    def shelf(self) -> Shelf:
        """Where it is kept: the same for two commands of one package."""
        name = f"{self.package.tool.value}-{digest((self.package.spec, self.variables))}"
        return Shelf(self.caches / "packages" / name)


def want(spec: ServerSpec, settings: SupervisorSettings, environ: Mapping[str, str]) -> tuple[Package, Wanted]:
    """What `spec` starts, and what is to be fetched for it. Raises NotFetched or PlaceError."""
    package = understand(spec.command, spec.args)
    relative = os.sep in spec.command and not os.path.isabs(spec.command)  # noqa: PTH117
    if package is None or relative:
        raise NotFetched("it is not plain what it fetches and starts")
    if package.tool is Tool.NPM and is_project(spec.path):
        raise NotFetched("its 'path' may have packages of its own, which npx prefers")
    others = (spec.isolation.user, spec.isolation.group, spec.isolation.uid_range) != (None, None, None)
    caches = caches_directory(settings, other_users=others, environ=environ)
    return package, Wanted(
        package.without_args,
        _runner(spec.command, package),
        caches,
        tuple(sorted(fetch_variables({k: v for k, v in spec.env.items() if not placeholders(v)}).items())),
    )


def is_there(spec: ServerSpec, settings: SupervisorSettings, environ: Mapping[str, str]) -> bool:
    """Whether `spec` is started from a package that an earlier run has fetched, so that what fetches is not needed."""
    if spec.isolation.packages != "fetch" or not fetches(spec.command):
        return False
    try:
        package, wanted = want(spec, settings, environ)
    except (NotFetched, PlaceError):
        return False
    return wanted.shelf.command(package) is not None


def is_project(path: str | None) -> bool:
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


async def fetch_into(place: Path, wanted: Wanted, helpers: Helpers, environ: Mapping[str, str]) -> str:
    """Fetch what is `wanted` into the empty directory `place`; the command that it came to.

    Raises NotFetched or OSError, and then, as after cancellation, whatever is in `place` is of no use.
    """
    own = _directories(wanted, place)
    empty = wanted.caches / "empty"  # where npx finds no project that it would look into first
    make_readable(empty)
    environment = _environment(wanted, environ, own)
    if wanted.package.tool is Tool.NPM:
        printed = await _run_tool(wanted, helpers, environment, empty)
        return command_in_npm(printed, place, wanted.package)
    await _run_tool(wanted, helpers, environment, empty)
    command, tools = command_in(place, wanted.package), own["UV_TOOL_DIR"]
    for lock in tools.glob(".lock"):
        lock.chmod(0o600)
    # No child may write what Python compiles. Without `site` nothing of the package runs.
    compile_ = [str(Path(command).with_name("python")), "-I", "-S", "-m", "compileall", "-q", str(tools)]
    await helpers.run(compile_, environment, empty)
    return command


async def _run_tool(wanted: Wanted, helpers: Helpers, environment: Mapping[str, str], empty: Path) -> str:
    """What the tool prints once it has fetched. Raises NotFetched or OSError."""
    line = _command_line(wanted)
    ended = await helpers.run(line, environment, empty)
    if ended.exit.code != 0:
        why = _complaint(ended, Redactor(environment))
        ended = await helpers.run(line, {**environment, **_OFFLINE}, empty)
        if ended.exit.code != 0:
            raise NotFetched(why)
    return ended.out


def _command_line(wanted: Wanted) -> list[str]:
    if wanted.package.tool is Tool.NPM:
        return [wanted.runner, "-y", "-p", wanted.package.spec, "-c", 'printf %s "$PATH"']
    return [wanted.runner, "tool", "install", wanted.package.spec]


def _directories(wanted: Wanted, place: Path) -> dict[str, Path]:
    """Where the tool keeps things, by the variables that tell it so. Raises OSError.

    What it downloads is for later fetches, too, so it is not in `place`: npm, which has one directory for everything,
    finds a link there.
    """
    if wanted.package.tool is Tool.NPM:
        own = f"npm-{digest(wanted.variables)}" if wanted.variables else "npm"
        downloads = wanted.caches / own / "_cacache"
        make_readable(downloads)
        (place / "_cacache").symlink_to(downloads)
        return {"npm_config_cache": place}
    uv = wanted.caches / "uv"
    make_readable(uv / "python")
    make_readable(uv / "cache")
    (uv / "cache").chmod(0o700)  # no child needs it, and its locks are open to everybody
    return {
        "UV_CACHE_DIR": uv / "cache",
        "UV_PYTHON_INSTALL_DIR": uv / "python",
        "UV_TOOL_DIR": place / "tools",
        "UV_TOOL_BIN_DIR": place / "bin",
    }


def digest(value: object) -> str:
    """A name for `value`, which JSON can express."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _environment(wanted: Wanted, environ: Mapping[str, str], own: Mapping[str, Path]) -> dict[str, str]:
    """The environment of a fetch. Nothing wins over `own` directories, nor over that nothing of a package runs."""
    fixed = {name: str(path) for name, path in own.items()}
    fixed |= {"npm_config_ignore_scripts": "true", "npm_config_script_shell": "/bin/sh", "UV_NO_BUILD": "1"}
    fixed |= {f"npm_config_{name}": "false" for name in ("audit", "fund", "update_notifier")}
    fixed |= {name: environ[name] for name in ("HOME",) if name in environ}
    ours = {name.lower() for name in fixed}  # npm takes its variables in either case
    said = fetch_variables(environ) | dict(wanted.variables)
    impatient = {name: value for name, value in _IMPATIENT.items() if name not in {each.lower() for each in said}}
    given = {"PATH": os.defpath} | impatient | said
    return {name: value for name, value in given.items() if name.lower() not in ours} | fixed


def _complaint(ended: Ended, redact: Redactor) -> str:
    """Why, as the tool has put it: the first line that speaks of an error, else the last, without secrets."""
    lines = [line.strip() for line in ended.err.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() and "error code" not in line]
    return redact((telling or lines[-1:] or [f"exit code {ended.exit.code}"])[0])[:300]
