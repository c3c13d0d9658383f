"""`scripts/install`: what it writes, that it may be run again, and that it can be undone."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import anyio
import pytest

from tests.support.gateway import ROOT
from tests.support.systemd import TARGETS

INSTALL = str(ROOT / "scripts" / "install")


def install(*options: str) -> str:
    """What it said."""
    return subprocess.run([INSTALL, *options], capture_output=True, text=True, check=True).stdout


def files(root: Path) -> set[str]:
    """All files below `root`, by path from there."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    said = install("--dry-run", "--root", str(tmp_path / "root"))
    assert "mcp-gateway.service" in said
    assert not (tmp_path / "root").exists()


def test_again_it_changes_nothing_and_an_operators_file_is_left_alone(tmp_path: Path) -> None:
    root = str(tmp_path)
    install("--root", root)
    written = files(tmp_path)
    assert {f"etc/systemd/system/mcp-{name}" for name in ("supervisor.socket", "supervisor.service")} < written
    config = tmp_path / "etc/mcp-gateway/config.yaml"
    assert "\nuid_range: 600000-665535\n" in config.read_text()
    for name in ("config.yaml", "environment"):
        assert (config.parent / name).stat().st_mode & 0o777 == 0o600
    config.write_text("servers: {own: {command: own}}\n")
    [line] = install("--root", root).splitlines()
    assert line.startswith("install: done")
    assert config.read_text() == "servers: {own: {command: own}}\n"
    assert files(tmp_path) == written


def test_undone_nothing_is_left_but_what_is_the_operators(tmp_path: Path) -> None:
    install("--root", str(tmp_path))
    install("--root", str(tmp_path), "--undo")
    assert files(tmp_path) == {"etc/mcp-gateway/config.yaml", "etc/mcp-gateway/environment"}
    install("--root", str(tmp_path), "--undo", "--purge")
    assert files(tmp_path) == set()


@pytest.mark.parametrize("options", [["--purge"], ["--root"], ["--unod"]])
def test_what_it_does_not_understand_it_does_not_begin(options: list[str]) -> None:
    result = subprocess.run([INSTALL, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("install: ")


def test_a_checkout_that_is_closed_to_others_is_installed_open_to_the_services(tmp_path: Path) -> None:
    checkout, root = tmp_path / "checkout", tmp_path / "root"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "node_modules", "__pycache__"))
    subprocess.run(["chmod", "-R", "go=", str(checkout)], check=True)
    subprocess.run([str(checkout / "scripts" / "install"), "--root", str(root)], capture_output=True, check=True)
    code = root / "opt" / "mcp-gateway"
    modes = {path.stat().st_mode & 0o777 for path in [code, *code.rglob("*")]}
    assert modes == {0o755, 0o644}


def test_a_drop_in_of_the_operators_stays_until_all_is_purged(tmp_path: Path) -> None:
    install("--root", str(tmp_path))
    own = tmp_path / "etc/systemd/system/mcp-gateway.service.d/override.conf"
    own.parent.mkdir()
    own.write_text("[Service]\n")
    install("--root", str(tmp_path), "--undo")
    assert own.exists()
    install("--root", str(tmp_path), "--undo", "--purge")
    assert not own.parent.exists()


@pytest.mark.parametrize(
    ("passwd", "group", "options", "said"),
    [
        ("", "", (), "useradd --system --user-group "),
        ("", "mcp-gateway:x:7:", (), "useradd --system --gid mcp-gateway "),
        ("mcp-gateway:x:7:7:made by mcp-gateway:/:/x", "", ("--undo", "--purge"), "userdel mcp-gateway"),
        ("mcp-gateway:x:7:7:Somebody:/:/x", "", ("--undo", "--purge"), "the user mcp-gateway stays"),
    ],
    ids=["neither", "a group", "our user", "somebody's user"],
)
def test_a_user_and_a_group_of_that_name_may_be_there_before(
    passwd: str, group: str, options: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'#!/bin/sh\ncase $1 in passwd) echo "{passwd}";; group) echo "{group}";; esac | grep .\n'
    for name, text in (("getent", script), ("systemctl", "#!/bin/sh\n"), ("useradd", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert f"install: {said}" in install("--dry-run", *options)


@pytest.mark.parametrize("whole", [True, False])
def test_an_environment_that_is_broken_is_made_again(whole: bool, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("requirements/runtime.txt", "pyproject.toml", ".venv/installed-runtime"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 2 if name.startswith(".venv") else 1))
    pythons = {
        tmp_path / ".venv/bin/python": f"exit {int(not whole)}",
        tmp_path / "python": '[ "$1" = -c ] || echo "$@"',
    }
    for path, line in pythons.items():
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    command = ["sh", "-c", f". {ROOT}/scripts/environment; environment runtime"]
    env = {**os.environ, "PYTHON": str(tmp_path / "python")}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ("-m venv --clear .venv\n" in result.stdout) is not whole


REAL = """
set -eu
mkdir -p /run/over/etc /run/over/etc-work /run/over/opt /run/over/opt-work
for each in etc opt; do
  mount -t overlay overlay -o lowerdir=/$each,upperdir=/run/over/$each,workdir=/run/over/$each-work /$each
done
for each in lib cache log; do mount -t tmpfs tmpfs /var/$each; done
mount --make-rshared /
mkdir -p /etc/systemd/system; mount --bind $OUT/units /etc/systemd/system
for again in 1 2; do scripts/install; done
sed -i "s/^port: 3000/port: $PORT/" /etc/mcp-gateway/config.yaml
systemctl start mcp-gateway
for each in 1 2; do
  id=$(curl -sf localhost:$PORT/api/sessionid | cut -d '"' -f 4)
  said=$(curl -sf -X POST "localhost:$PORT/api/notepad/whoami?sessionId=$id"); echo "$said"
  echo "user: $(ps -o uid= -p $(echo "$said" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*' | head -n 1))"
done
rm /etc/systemd/system/mcp-supervisor.socket
scripts/install --undo --purge
systemctl is-active mcp-gateway mcp-supervisor || true
ls -d /opt/mcp-gateway /etc/mcp-gateway /run/mcp-gateway /var/*/mcp-gateway $OUT/units/mcp-* 2>/dev/null || true
getent passwd mcp-gateway || echo nobody
"""


@pytest.mark.slow
async def test_on_a_real_systemd_it_serves_and_goes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    units = ROOT / ".cache" / "systemd-install"
    units.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    script = REAL.replace("$PORT", str(port))
    command = [str(ROOT / "tests/support/with-systemd"), str(units), "bash", "-c", script]
    result = await anyio.run_process(command, cwd=ROOT, check=False)
    output = result.stdout.decode()
    assert result.returncode == 0, output + result.stderr.decode()
    assert output.count('"structuredContent":{"pid":') == 2
    first, second = map(int, re.findall(r"^user: +(\d+)$", output, re.MULTILINE))
    assert first != second
    assert {first, second} < set(range(600000, 665536))
    assert output.endswith("userdel mcp-gateway\ninactive\ninactive\nnobody\n")
