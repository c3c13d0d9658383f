"""What `npx` and `uvx` would fetch and start, read off a server's arguments; and where its real command then is.

Only what is plainly understood is: a package of a registry by its name, with a version or without. With any other
option, a path, a URL or a repository, the command stays as it is written. Pure, but for `command_in_npm` and
`command_in_uv`, which read what was fetched.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

_NPM: Final = re.compile(
    r"(?P<name>(?:@[a-z0-9~_.-]+/)?[a-z0-9~_-][a-z0-9~_.-]*)(?:@(?P<version>[A-Za-z0-9^~*._+-]+))?"
)
"""A name with or without a scope, then a version, a range without blanks, or a tag: npm's package-spec(7)."""

_UV: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[A-Za-z0-9._,-]+\])?"
    r"(?:@(?P<version>[A-Za-z0-9._+!-]+)|(?:(?:[=<>!~]=|[<>])[A-Za-z0-9.*+!,=<>~]+))?"
)
"""A name, extras, and a version the way uv takes it after an @, or the way of PEP 508."""

_EXACT: Final = re.compile(r"\d+\.\d+\.\d+(?:[-+][A-Za-z0-9.+-]+)?")
"""One version of npm's, which is the same for ever."""

_COMMAND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_YES: Final = frozenset({"-y", "--yes"})
_PACKAGE: Final = frozenset({"-p", "--package"})

_INHERITED: Final = frozenset(
    "path lang http_proxy https_proxy no_proxy all_proxy ssl_cert_file ssl_cert_dir node_extra_ca_certs".split()
)
_PREFIXES: Final = ("npm_config_", "uv_", "pip_")


class Tool(Enum):
    """What fetches."""

    NPM = "npx"
    UV = "uv"


class NotFetched(Exception):
    """A package, or its command, could not be had; the text says why."""


@dataclass(frozen=True)
class Package:
    """`spec` is fetched by `tool`; then `command` of it is started, with `args`."""

    tool: Tool
    spec: str
    command: str | None
    """None for the package's only one, or the one that has its name."""
    args: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The package's name, without version and extras."""
        match = (_NPM if self.tool is Tool.NPM else _UV).fullmatch(self.spec)
        assert match is not None
        return match["name"]

    @property
    def floats(self) -> bool:
        """Whether `spec` asks for whatever is newest of what it allows, each time.

        Neither npx nor uvx asks for a newer one where there is no version; uvx does so for `@latest` alone.
        """
        if self.tool is Tool.UV:
            return self.spec.endswith("@latest")
        match = _NPM.fullmatch(self.spec)
        return match is not None and match["version"] is not None and not _EXACT.fullmatch(match["version"])

    @property
    def without_args(self) -> "Package":
        """What is to be fetched: the same for every server that starts the same command of it."""
        return replace(self, args=())


def fetches(command: str) -> bool:
    """Whether this is a program that fetches what it starts. `uv` may have to do something else."""
    return os.path.basename(command) in {"npx", "uvx", "uv"}  # noqa: PTH119 - a word, no path as yet


def understand(command: str, args: Sequence[str]) -> Package | None:
    """What this command line fetches and starts; None where that is not plain."""
    match os.path.basename(command), *args:  # noqa: PTH119
        case ["npx", *rest]:
            return _npx(rest)
        case ["uvx", *rest] | ["uv", "tool", "run", *rest]:
            return _uvx(rest)
    return None


def _npx(args: Sequence[str]) -> Package | None:
    spec, left = None, list(args)
    while left and left[0].startswith("-"):
        option, equals, value = left.pop(0).partition("=")
        if option == "--" and left:
            break
        if option in _PACKAGE and spec is None and (equals or left):
            spec = value if equals else left.pop(0)
        elif option not in _YES or equals:
            return None
    return _package(Tool.NPM, _NPM, spec, left)


def _uvx(args: Sequence[str]) -> Package | None:
    spec, left = None, list(args)
    if left and left[0].partition("=")[0] == "--from":
        _, equals, value = left.pop(0).partition("=")
        if not equals and not left:
            return None
        spec = value if equals else left.pop(0)
    return _package(Tool.UV, _UV, spec, left)


def _package(tool: Tool, grammar: re.Pattern[str], spec: str | None, left: Sequence[str]) -> Package | None:
    """The package `spec`, or that of the first word of what is `left`, where there is none."""
    if not left or not grammar.fullmatch(left[0] if spec is None else spec):
        return None
    first, *rest = left
    if spec is None:
        package = Package(tool, first, None, tuple(rest))
        return package if tool is Tool.NPM else replace(package, command=package.name)
    return Package(tool, spec, first, tuple(rest)) if _COMMAND.fullmatch(first) else None


def fetch_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of `environ` that a fetch needs: where programs are, the way out, and how npm and uv are configured."""
    return {k: v for k, v in environ.items() if k.lower() in _INHERITED or k.lower().startswith(_PREFIXES)}


def command_in_npm(printed: str, cache: Path, package: Package) -> str:
    """The command of `package`, which npx fetched into `cache` before it `printed` the PATH that it gives to commands.

    Raises NotFetched.
    """
    commands = Path(printed.partition(os.pathsep)[0])
    if commands.name != ".bin" or not commands.is_relative_to(cache / "_npx"):
        raise NotFetched("npx took it from elsewhere")
    modules = commands.parent
    if _wants_scripts(_read(modules / ".package-lock.json")):
        raise NotFetched("it needs scripts of its own to be installed, which are not run for it")
    command = package.command or _only_command(_read(modules / package.name / "package.json"), package)
    return _executable(commands / command)


def command_in_uv(tools: Path, package: Package) -> str:
    """The command of `package`, which uv installed as the only one of `tools`. Raises NotFetched."""
    assert package.command is not None
    found = next(tools.glob("*/bin"), tools)
    return _executable(found / package.command)


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NotFetched(f"{path} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _wants_scripts(lock: Mapping[str, object]) -> bool:
    installed = lock.get("packages")
    each = installed.values() if isinstance(installed, dict) else ()
    return any(isinstance(one, dict) and one.get("hasInstallScript") for one in each)


def _only_command(manifest: Mapping[str, object], package: Package) -> str:
    """As npx chooses: the only one, or the one that is named like the package without its scope."""
    commands, own = manifest.get("bin"), package.name.rpartition("/")[2]
    if isinstance(commands, str):
        return own
    if not isinstance(commands, dict) or not all(isinstance(each, str) for each in commands.values()):
        raise NotFetched("it has no command, or several")
    if len(set(commands.values())) == 1 or own in commands:
        return own if own in commands else str(next(iter(commands)))
    raise NotFetched("it has no command, or several")


def _executable(path: Path) -> str:
    if not os.access(path, os.X_OK):
        raise NotFetched(f"it has no command '{path.name}'")
    return str(path)
