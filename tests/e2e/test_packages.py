"""Servers that npx or uvx would fetch: fetched once, started from a cache that they can only read.

One test fetches a real package. The others have an npx and a uv of their own, that do what those two were seen to do.
"""

import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest

from tests.support.gateway import GATEWAY, QUICK, SERVERS, Gateway, light, programs, running, starting, write_config
from tests.support.processes import PATIENCE, tree_of, watching
from tests.support.rawmcp import BOTH, HELLO, Streamable, request

pytestmark = pytest.mark.slow

FIRST, LAST = 3_000_000_000, 3_000_000_001
"""User ids that no machine gives anybody."""

AS_WRITTEN = "as-written"
"""The last argument of a child that npx or uvx itself has started."""

# Where the file `hold` is a fifo, a fetch waits until somebody has opened it.
TOOL = """#!/bin/sh
here=$(dirname "$0")
light() { printf '#!/bin/sh\\nexec /usr/bin/python3 -I -S %s "$0" "$@"\\n' "$here/light.py" > "$1"; chmod 755 "$1"; }
hold() { if [ -p "$here/hold" ]; then read -r _ < "$here/hold"; fi; }
case "$(basename "$0") $*" in
  "npx -y -p missing -c"*) echo "npm error code E404" >&2; echo "npm error 404 no missing here" >&2; exit 1;;
  "npx -y -p "*" -c "*)
    hold
    modules=$npm_config_cache/_npx/0123/node_modules
    mkdir -p "$modules/.bin" "$modules/light"
    echo '{"packages": {}}' > "$modules/.package-lock.json"
    echo '{"bin": "x.js"}' > "$modules/light/package.json"
    light "$modules/.bin/light"
    env > "$here/environment"
    PATH=$modules/.bin:$PATH sh -c "$5";;
  "uv tool install"*)
    echo "$*" >> "$here/installed"
    mkdir "$UV_TOOL_BIN_DIR" "$UV_TOOL_DIR" "$UV_TOOL_DIR/light" "$UV_TOOL_DIR/light/bin" || exit 1
    light "$UV_TOOL_DIR/light/bin/light";;
  *) exec /usr/bin/python3 -I -S "$here/light.py" as-written;;
esac
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach, with an npx, a uvx and a uv in it."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        shutil.copy(SERVERS / "light.py", place)
        for tool in ("npx", "uvx", "uv"):
            (place / tool).write_text(TOOL)
            (place / tool).chmod(0o755)
        yield place


def by(place: Path, tool: str, *args: str, **keys: Any) -> dict[str, Any]:
    """A server that is started by a tool of `place`."""
    return {"command": str(place / tool), "args": list(args), **keys}


def caches(place: Path) -> dict[str, Any]:
    """Where the gateway has what is its own, below `place`."""
    return {"caches_dir": str(place / "caches"), "sessions_dir": str(place / "sessions")}


async def started_as(session: Streamable, script: str = "") -> str:
    """What a shell's script says in the child; by default, the last argument of the child itself."""
    done = await session.call("run", "run", script=script or "tr '\\0' '\\n' < /proc/$PPID/cmdline | tail -n 1")
    return str(done["out"] or done["err"]).strip()


async def opened(gateway: Gateway, name: str = "light") -> Streamable:
    return await Streamable(gateway.http, f"/{name}/mcp").open()


async def test_a_real_package_is_fetched_once_and_every_session_starts_its_command(tmp_path: Path) -> None:
    servers = {"memory": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-memory"]}}
    places: dict[str, Any] = {
        "caches_dir": str(tmp_path / "caches"),
        "install_timeout": "1s",
    }  # a real registry takes its time
    async with running(servers, tmp_path=tmp_path, **places) as gateway:
        await gateway.said(r"fetched @modelcontextprotocol/server-memory for memory in \d")
        for _ in range(2):
            await opened(gateway, "memory")
        children = gateway.children()
        assert len(children) == 2
        for pid in children:
            child = psutil.Process(pid)
            packages = tmp_path / "caches" / "packages"
            # npx itself would be here, with a shell, and would be the parent of this one.
            assert child.ppid() == gateway.program("supervisor")
            assert Path(child.exe()).name == "node"
            assert any(Path(word).is_relative_to(packages) for word in child.cmdline()), child.cmdline()
            assert child.environ()["HOME"].startswith(f"{tmp_path}/runtime/sessions/")
        assert gateway.log.count("fetched ") == 1


@pytest.mark.parametrize("tool", ["npx", "uvx"])
async def test_a_child_has_the_arguments_that_are_written_and_a_home_of_its_own(
    tool: str, place: Path, tmp_path: Path
) -> None:
    servers = {"light": by(place, tool, "light", "${session.work}")}
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        session = await opened(gateway)
        *_, command, argument = (await started_as(session, "tr '\\0' '\\n' < /proc/$PPID/cmdline")).splitlines()
        assert Path(command).is_relative_to(place / "caches" / "packages")
        assert argument == await started_as(session, "pwd")
        assert (await started_as(session, "echo $HOME")).startswith(f"{place}/sessions/")


async def test_a_child_with_a_user_of_its_own_reads_the_cache_and_cannot_write_to_it(
    place: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test gives children users of their own: it needs root")
    servers = {"light": by(place, "npx", "-y", "light", uid_range=f"{FIRST}-{LAST}")}
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        session = await opened(gateway)
        assert await started_as(session, "id -u") == str(FIRST)
        command = await started_as(session)
        assert command.startswith(f"{place}/caches/")
        for path in (command, f"{place}/caches/x", f"{place}/caches/npm/x", f"{Path(command).parent}/x"):
            assert "Permission denied" in await started_as(session, f"echo x >> {path}")


async def test_a_cache_that_other_users_cannot_reach_is_not_used_for_them(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "npx", "-y", "light", uid_range=f"{FIRST}-{LAST}")}
    places = {**caches(place), "caches_dir": str(tmp_path / "caches")}
    async with running(servers, tmp_path=tmp_path, **places) as gateway:
        await gateway.said(r"WARNING .* server light: children that run as other users cannot reach .*caches")
        assert await started_as(await opened(gateway)) == AS_WRITTEN


@pytest.mark.parametrize(
    ("args", "warning"),
    [
        (["--quiet", "-y", "light"], "server light: it is not plain what it fetches and starts; started as written"),
        (["-y", "missing"], r"server light: missing could not be fetched \(npm error 404 no missing here\)"),
        (["-y", "-p", "light", "other"], r"light could not be fetched \(it has no command 'other'\)"),
    ],
)
async def test_what_cannot_be_understood_or_fetched_is_started_as_written(
    args: list[str], warning: str, place: Path, tmp_path: Path
) -> None:
    async with running({"light": by(place, "npx", *args)}, tmp_path=tmp_path, **caches(place)) as gateway:
        for _ in range(2):
            assert await started_as(await opened(gateway)) == AS_WRITTEN
        await gateway.said(rf"WARNING .* {warning}")
        assert gateway.log.count("started as written") == 1


async def test_uv_never_meets_a_tool_that_is_there_already(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "uvx", "light"), "newest": by(place, "uvx", "light@latest")}
    for _ in range(2):
        async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
            await gateway.said("fetched light@latest for newest in ")
            for name in servers:
                assert (await started_as(await opened(gateway, name))).startswith(f"{place}/caches/packages/uv-")
    installed = (place / "installed").read_text().splitlines()
    assert sorted(installed) == ["tool install light", *2 * ["tool install light@latest"]]


async def test_where_nothing_is_to_be_fetched_nothing_is(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "npx", "-y", "light")}
    async with running(servers, tmp_path=tmp_path, packages="as_written", **caches(place)) as gateway:
        assert await started_as(await opened(gateway)) == AS_WRITTEN
        assert not (place / "caches").exists()


async def test_the_gateway_listens_once_everything_is_installed(place: Path, tmp_path: Path) -> None:
    os.mkfifo(place / "hold")
    config = written(tmp_path, {"light": by(place, "npx", "-y", "light")}, **caches(place))
    async with starting(config) as gateway:
        await gateway.said(r"gateway waiting for packages to be installed, \d+ s at most")
        assert "listening" not in gateway.log
        await release(place)
        gateway.url = (await gateway.said(r"listening on (\S+) for"))[1]
        async with gateway.connecting():
            assert (await started_as(await opened(gateway))).startswith(f"{place}/caches/")


async def test_what_takes_longer_is_refused_while_others_serve_and_opens_when_it_is_there(
    place: Path, tmp_path: Path
) -> None:
    os.mkfifo(place / "hold")
    servers = {"light": by(place, "npx", "-y", "light"), "other": light()}
    async with running(servers, tmp_path=tmp_path, install_timeout="1s", **caches(place)) as gateway:
        await gateway.said("light is still being fetched; refused until it is there: light")
        await opened(gateway, "other")
        answer = await gateway.call(await gateway.session_id(), "run", script="true")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["error"]["code"] == "installing"
        # LibreChat's circuit breaker would keep everybody away after a 503.
        first = await gateway.http.post("/light/mcp", json=request(0, "initialize", HELLO), headers=BOTH)
        assert (first.status_code, first.headers["Retry-After"]) == (429, "5")
        assert first.json()["error"]["data"]["code"] == "installing"
        assert (await gateway.http.get("/light/sse")).status_code == 429
        await release(place)
        await gateway.said("fetched light for light in ")
        assert (await started_as(await opened(gateway))).startswith(f"{place}/caches/")


async def test_what_is_there_from_an_earlier_run_is_started_though_nothing_can_be_fetched(
    place: Path, tmp_path: Path
) -> None:
    servers = {"npm": by(place, "npx", "-y", "light@1.2.3"), "uv": by(place, "uvx", "light")}
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        before = [await started_as(await opened(gateway, name)) for name in servers]
    os.mkfifo(place / "hold")  # whoever fetched anything would wait for ever
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        assert [await started_as(await opened(gateway, name)) for name in servers] == before
        assert "fetch" not in gateway.log
        assert "installed" not in gateway.log


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_an_end_in_the_midst_of_an_installation_leaves_nothing_that_harms(
    how: signal.Signals, place: Path, tmp_path: Path
) -> None:
    os.mkfifo(place / "hold")
    config = written(tmp_path, {"light": by(place, "npx", "-y", "light")}, **caches(place))
    async with starting(config) as gateway:
        await gateway.said("gateway waiting for packages to be installed")
        supervisor = gateway.program("supervisor")
        holding = await anyio.to_thread.run_sync(os.open, place / "hold", os.O_WRONLY)  # once the fetch reads it
        fetching = tree_of(supervisor) - {supervisor}
        assert fetching
        # A SIGKILL of the supervisor, which is the worst: the launcher ends what it leaves.
        target = gateway.launcher if how is signal.SIGTERM else supervisor
        with watching(*fetching) as processes:
            os.kill(target, how)
            for process in processes:
                await process.ended()
            with anyio.fail_after(PATIENCE):
                await gateway.process.wait()
        if how is signal.SIGTERM:
            assert gateway.process.returncode == 0
            assert "Traceback" not in gateway.log
    os.close(holding)
    (place / "hold").unlink()
    async with starting(config) as gateway:
        gateway.url = (await gateway.said(r"listening on (\S+) for"))[1]
        async with gateway.connecting():
            assert (await started_as(await opened(gateway))).startswith(f"{place}/caches/")
    assert len(list((place / "caches" / "packages").glob("npx-*/at-*"))) == 1


async def test_a_reload_leaves_a_server_as_it_is_until_its_new_package_is_there(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "npx", "-y", "light", "one"), "other": light()}
    keys = {**QUICK, "runtime_dir": str(tmp_path / "runtime"), **caches(place)}
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        before = await opened(gateway)
        os.mkfifo(place / "hold")
        changed = {
            "light": by(place, "npx", "-y", "-p", "light@2", "light", "two"),
            "new": by(place, "npx", "-y", "-p", "light@2", "light", "three"),
            "plain": light(),
        }
        write_config(tmp_path / "config.yaml", {**keys, "servers": changed})
        os.kill(gateway.program("supervisor"), signal.SIGHUP)
        await gateway.said("new: new, plain; removed: other; as before until their packages are installed: light")
        assert await started_as(await opened(gateway)) == "one"
        await opened(gateway, "plain")
        await release(place)
        await gateway.said("supervisor from now on as the configuration has it: light")
        assert await started_as(await opened(gateway)) == "two"
        assert await started_as(before) == "one"
        await gateway.said("fetched light@2 for light, new in ")
        assert await started_as(await opened(gateway, "new")) == "three"


async def test_a_reload_does_not_fetch_again_what_is_there(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "npx", "-y", "light", "one")}
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        keys = {**QUICK, "runtime_dir": str(tmp_path / "runtime"), **caches(place)}
        changed = {"light": by(place, "npx", "-y", "light", "two")}
        write_config(tmp_path / "config.yaml", {**keys, "servers": changed})
        os.kill(gateway.program("supervisor"), signal.SIGHUP)
        await gateway.said("changed: light")
        assert await started_as(await opened(gateway)) == "two"
        assert gateway.log.count("fetching ") == 1


async def test_a_command_installs_without_a_gateway_and_says_what_cannot_be_had(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "npx", "-y", "light"), "missing": by(place, "npx", "-y", "missing"), "own": light()}
    config = written(tmp_path, servers, **caches(place))
    async with programs([GATEWAY, "install", "--config", str(config)]) as gateway:
        await gateway.said("supervisor installed for: light")
        with anyio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 1
    del servers["missing"]
    written(tmp_path, servers, **caches(place))
    async with programs([GATEWAY, "install", "--config", str(config)]) as gateway:
        with anyio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 0
        assert "fetching" not in gateway.log
    async with starting(config) as gateway:
        gateway.url = (await gateway.said(r"listening on (\S+) for"))[1]
        async with gateway.connecting():
            assert (await started_as(await opened(gateway))).startswith(f"{place}/caches/")
        assert "fetching" not in gateway.log


async def test_an_installation_that_is_interrupted_says_so_and_leaves_nothing_running(
    place: Path, tmp_path: Path
) -> None:
    os.mkfifo(place / "hold")
    config = written(tmp_path, {"light": by(place, "npx", "-y", "light")}, **caches(place))
    async with programs([GATEWAY, "install", "--config", str(config)]) as gateway:
        holding = await anyio.to_thread.run_sync(os.open, place / "hold", os.O_WRONLY)  # once the fetch reads it
        gateway.process.send_signal(signal.SIGINT)
        await gateway.said("told to end: what was fetched stays")
        with anyio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 1
    os.close(holding)


async def test_a_terminal_shows_what_is_being_installed_and_the_log_above_it(place: Path, tmp_path: Path) -> None:
    os.mkfifo(place / "hold")
    config = written(tmp_path, {"light": by(place, "npx", "-y", "light")}, **caches(place))
    ours, theirs = pty.openpty()
    shown = ""

    async def read_until(what: str) -> None:
        nonlocal shown
        with anyio.fail_after(PATIENCE):
            while what not in shown:
                await anyio.wait_readable(ours)
                shown += os.read(ours, 65536).decode(errors="replace")

    command = [GATEWAY, "serve", "--config", str(config), "--port", "0"]
    process = await anyio.open_process(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        await read_until("fetching light for light")
        await read_until("0/1")
        await release(place)
        await read_until("fetched light for light")
        await read_until("listening on")
    finally:
        process.terminate()
        with anyio.fail_after(PATIENCE):
            await process.wait()
        os.close(ours)
    assert "installing packages" in shown
    # Each line of the log stands alone, whatever the bar did before: at its beginning there is nothing of the bar.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    logged = [line.rpartition("\x1b[2K")[2] for line in plain.splitlines() if re.search(r"\d (INFO|WARNING) ", line)]
    assert len(logged) > 3
    assert all(re.match(r"\r?\d{4}-\d\d-\d\dT", line) for line in logged), logged
    assert "\x1b[?25l" not in shown  # the cursor is not hidden: who would show it after SIGKILL?
    after = shown[shown.index("listening on") :]
    assert "installing packages" not in after


def written(tmp_path: Path, servers: dict[str, Any], **keys: Any) -> Path:
    """The configuration of a gateway with these servers."""
    config = {**QUICK, "runtime_dir": str(tmp_path / "runtime"), **keys, "servers": servers}
    return write_config(tmp_path / "config.yaml", config)


async def release(place: Path) -> None:
    """Let the fetch go on that is held; it is there once this returns."""
    await anyio.to_thread.run_sync((place / "hold").write_text, "\n")


async def test_a_fetch_ends_with_the_gateway_and_is_no_stray(place: Path, tmp_path: Path) -> None:
    os.mkfifo(place / "hold")
    servers = {"light": by(place, "npx", "-y", "light"), "other": light()}
    async with running(servers, tmp_path=tmp_path, install_timeout="1s", **caches(place)) as gateway:
        await opened(gateway, "other")
        supervisor = gateway.program("supervisor")
        fetching = {pid for pid in tree_of(supervisor) if str(place / "npx") in psutil.Process(pid).cmdline()}
        assert fetching
        with watching(*fetching) as processes:
            gateway.process.send_signal(signal.SIGTERM)
            for process in processes:
                await process.ended()
            await gateway.process.wait()
    assert gateway.process.returncode == 0
    assert "outlived" not in gateway.log
    assert "marks" not in gateway.log


async def test_a_reload_fetches_what_is_new(place: Path, tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, **caches(place)) as gateway:
        servers = {"light": light(), "new": by(place, "npx", "-y", "light")}
        keys = {"debug": {"level": "debug"}, "reaping": "tagged", "runtime_dir": str(tmp_path / "runtime")}
        write_config(tmp_path / "config.yaml", {**keys, **caches(place), "servers": servers})
        os.kill(gateway.program("supervisor"), signal.SIGHUP)
        await gateway.said("fetched light for new in ")
        assert (await started_as(await opened(gateway, "new"))).startswith(f"{place}/caches/")


async def test_a_fetch_gets_the_registry_that_the_server_names_and_no_secret_of_the_gateways(
    place: Path, tmp_path: Path
) -> None:
    own = {"npm_config_registry": "http://registry.test", "SECRET_OF_THE_SERVER": "hidden"}
    servers = {"light": by(place, "npx", "-y", "light", env=own)}
    secret = {"MCP_GATEWAY_TOKEN": "t0ken", "NPM_CONFIG_CACHE": "/elsewhere", "HTTPS_PROXY": "http://proxy.test"}
    async with running(servers, tmp_path=tmp_path, env=secret, **caches(place)) as gateway:
        await gateway.said("fetched light for light in ")
    given = dict(line.split("=", 1) for line in (place / "environment").read_text().splitlines() if "=" in line)
    assert given["npm_config_registry"] == "http://registry.test"
    assert given["HTTPS_PROXY"] == "http://proxy.test"
    assert given["npm_config_cache"].startswith(f"{place}/caches/packages/npx-")
    assert list((place / "caches").glob("npm-*/_cacache"))  # what one registry gives is not mistaken for another's
    assert (given["npm_config_ignore_scripts"], given["npm_config_script_shell"]) == ("true", "/bin/sh")
    assert not given.keys() & {"MCP_GATEWAY_TOKEN", "NPM_CONFIG_CACHE", "SECRET_OF_THE_SERVER"}


async def test_a_sandbox_shows_the_cache_and_lets_nobody_write_to_it(place: Path, tmp_path: Path) -> None:
    servers = {"light": by(place, "npx", "-y", "light", sandbox={"writable": [str(place)]})}
    async with running(servers, tmp_path=tmp_path, **caches(place)) as gateway:
        session = await opened(gateway)
        assert (await started_as(session)).startswith(f"{place}/caches/")
        assert "Read-only file system" in await started_as(session, f"echo x >> {place}/caches/x")
