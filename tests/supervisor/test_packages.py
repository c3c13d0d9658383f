"""What npx and uvx would fetch, read off their arguments; and the command, found in what was fetched."""

import json
from pathlib import Path
from typing import Any

import pytest

from supervisor import packages
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


@pytest.mark.parametrize(
    ("line", "spec", "command", "args"),
    [
        ("npx -y server", "server", None, ()),
        ("npx --yes server", "server", None, ()),
        ("npx server", "server", None, ()),
        ("/usr/bin/npx -y @scope/server@1.2.3 /srv --flag", "@scope/server@1.2.3", None, ("/srv", "--flag")),
        ("npx -y server@latest", "server@latest", None, ()),
        ("npx -y server@^1.2 -y", "server@^1.2", None, ("-y",)),
        ("npx -y -- server a", "server", None, ("a",)),
        ("npx -y -p @scope/server run a", "@scope/server", "run", ("a",)),
        ("npx --package=server@2 -y run", "server@2", "run", ()),
        ("npx --package server -- run --x", "server", "run", ("--x",)),
    ],
)
def test_what_npx_is_told_is_understood(line: str, spec: str, command: str | None, args: tuple[str, ...]) -> None:
    assert understand(*split(line)) == Package(Tool.NPM, spec, command, args)


@pytest.mark.parametrize(
    ("line", "spec", "command", "args"),
    [
        ("uvx mcp-server-time", "mcp-server-time", "mcp-server-time", ()),
        ("uvx mcp-server-git --repository /srv", "mcp-server-git", "mcp-server-git", ("--repository", "/srv")),
        ("/opt/uvx server@1.0 x", "server@1.0", "server", ("x",)),
        ("uvx server[extra]==1.0", "server[extra]==1.0", "server", ()),
        ("uvx --from server>=1,<2 run x", "server>=1,<2", "run", ("x",)),
        ("uvx --from=server run", "server", "run", ()),
        ("uv tool run --from server run", "server", "run", ()),
        ("uv tool run server a", "server", "server", ("a",)),
    ],
)
def test_what_uvx_is_told_is_understood(line: str, spec: str, command: str, args: tuple[str, ...]) -> None:
    assert understand(*split(line)) == Package(Tool.UV, spec, command, args)


@pytest.mark.parametrize(
    "line",
    [
        "npx",
        "npx -y",
        "npx -y --",
        "npx -p server",
        "npx --quiet server",
        "npx --yes=no server",
        "npx -p a -p b run",
        "npx -c whoami",
        "npx -p server ../run",
        "npx ./server",
        "npx /srv/server",
        "npx github:user/server",
        "npx user/server",
        "npx https://example.org/server.tgz",
        "npx ${session.dir}",
        "npx ..",
        "uvx",
        "uvx --from",
        "uvx --from server",
        "uvx --with other server",
        "uvx --from git+https://example.org/server server",
        "uvx ./server",
        "uvx --from server ../run",
        "uv run server",
        "uv tool install server",
        "uv",
        "node server",
    ],
)
def test_what_is_not_plain_is_not_understood(line: str) -> None:
    assert understand(*split(line)) is None


def split(line: str) -> tuple[str, list[str]]:
    command, *args = line.split()
    return command, args


def test_only_npx_and_uv_fetch() -> None:
    assert all(fetches(command) for command in ("npx", "uvx", "uv", "/usr/local/bin/npx"))
    assert not any(fetches(command) for command in ("node", "npm", "/opt/npx/server", ""))


@pytest.mark.parametrize(
    ("spec", "tool", "name"),
    [
        ("@scope/server@1.2", Tool.NPM, "@scope/server"),
        ("server", Tool.NPM, "server"),
        ("server[a,b]>=1", Tool.UV, "server"),
    ],
)
def test_a_package_has_a_name(spec: str, tool: Tool, name: str) -> None:
    assert Package(tool, spec, None).name == name


def test_only_what_asks_for_the_newest_floats() -> None:
    assert Package(Tool.UV, "server@latest", "server").floats
    assert not any(Package(Tool.UV, spec, "server").floats for spec in ("server", "server@1.0", "latest"))


def test_servers_that_differ_in_arguments_alone_want_the_same() -> None:
    one, other = (understand("npx", ["-y", "server", arg]) for arg in "ab")
    assert one is not None
    assert other is not None
    assert one != other
    assert one.without_args == other.without_args


def test_a_fetch_gets_what_it_needs_and_no_secret_of_ours() -> None:
    needed = {"PATH": "/bin", "https_proxy": "p", "NO_PROXY": "n", "npm_config_registry": "r", "UV_INDEX": "u"}
    needed |= {"NPM_CONFIG_CAFILE": "c", "PIP_INDEX_URL": "i", "SSL_CERT_FILE": "s", "NODE_EXTRA_CA_CERTS": "x"}
    assert fetch_variables({**needed, "MCP_GATEWAY_TOKEN": "t", "HOME": "/root", "API_KEY": "k"}) == needed


class Fetched:
    """What npx leaves in a cache."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.modules = cache / "_npx" / "0123" / "node_modules"
        self.commands = self.modules / ".bin"
        self.commands.mkdir(parents=True)
        self.lock({})

    def lock(self, packages: dict[str, Any]) -> None:
        (self.modules / ".package-lock.json").write_text(json.dumps({"packages": packages}))

    def install(self, name: str, manifest: object, *commands: str) -> None:
        (self.modules / name).mkdir(parents=True, exist_ok=True)
        (self.modules / name / "package.json").write_text(json.dumps(manifest))
        for command in commands:
            (self.commands / command).touch(mode=0o755)

    def command(self, spec: str, command: str | None = None) -> str:
        path = f"{self.commands}:/usr/bin:/bin"
        return Path(command_in_npm(path, self.cache, Package(Tool.NPM, spec, command))).name


@pytest.fixture
def fetched(tmp_path: Path) -> Fetched:
    return Fetched(tmp_path)


@pytest.mark.parametrize(
    ("commands", "chosen"),
    [
        ("run.js", "server"),
        ({"run": "run.js"}, "run"),
        ({"server": "a.js", "other": "b.js"}, "server"),
        ({"mcp-a": "same.js", "mcp-b": "same.js"}, "mcp-a"),
    ],
)
def test_the_command_is_chosen_as_npx_does(commands: object, chosen: str, fetched: Fetched) -> None:
    fetched.install("@scope/server", {"bin": commands}, "server", "run", "other", "mcp-a", "mcp-b")
    assert fetched.command("@scope/server@1.0") == chosen


def test_the_command_that_is_asked_for_is_taken(fetched: Fetched) -> None:
    fetched.install("server", {"bin": {"server": "a.js", "other": "b.js"}}, "server", "other")
    assert fetched.command("server", "other") == "other"


@pytest.mark.parametrize("commands", [{"a": "a.js", "b": "b.js"}, {}, None, 7])
def test_a_package_with_no_command_or_several_has_none_to_start(commands: object, fetched: Fetched) -> None:
    fetched.install("server", {"bin": commands}, "a", "b")
    with pytest.raises(NotFetched, match="no command, or several"):
        fetched.command("server")


def test_a_command_that_is_not_there_is_told(fetched: Fetched) -> None:
    fetched.install("server", {"bin": "x.js"})
    with pytest.raises(NotFetched, match="it has no command 'other'"):
        fetched.command("server", "other")


def test_a_package_that_wants_scripts_to_be_run_is_not_taken(fetched: Fetched) -> None:
    fetched.install("server", {"bin": "x.js"}, "server")
    fetched.lock({"node_modules/server": {}, "node_modules/native": {"hasInstallScript": True}})
    with pytest.raises(NotFetched, match="needs scripts"):
        fetched.command("server")


@pytest.mark.parametrize("printed", ["", "/usr/bin:/bin", "/elsewhere/node_modules/.bin:/bin", "/elsewhere/.bin"])
def test_what_npx_found_elsewhere_is_not_taken(printed: str, tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="from elsewhere"):
        command_in_npm(printed, tmp_path, Package(Tool.NPM, "server", None))


def test_what_cannot_be_read_is_told(fetched: Fetched) -> None:
    (fetched.modules / ".package-lock.json").write_text("{")
    with pytest.raises(NotFetched, match="cannot be read"):
        fetched.command("server")


def test_a_tool_of_uv_is_found_by_its_command(tmp_path: Path) -> None:
    commands = tmp_path / "server" / "bin"
    commands.mkdir(parents=True)
    (commands / "run").touch(mode=0o755)
    assert command_in_uv(tmp_path, Package(Tool.UV, "server", "run")) == str(commands / "run")
    with pytest.raises(NotFetched, match="no command 'other'"):
        command_in_uv(tmp_path, Package(Tool.UV, "server", "other"))
    with pytest.raises(NotFetched, match="no command 'run'"):
        command_in_uv(tmp_path / "nothing", Package(Tool.UV, "server", "run"))


def test_a_manifest_that_nobody_can_make_sense_of_is_a_package_that_is_not_fetched(tmp_path: Path) -> None:
    package = Package(Tool.NPM, "light", None)
    with pytest.raises(NotFetched):
        packages._only_command({"bin": {"a": {"not": "a path"}, "b": []}}, package)
    (tmp_path / "package.json").write_text("[" * 100_000)
    with pytest.raises(NotFetched, match="cannot be read"):
        packages._read(tmp_path / "package.json")
