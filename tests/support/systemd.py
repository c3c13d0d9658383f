"""The project's own units on a real systemd, which is PID 1 of namespaces of its own: see with-systemd."""

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.gateway import ROOT, write_config

UNITS = ("mcp-supervisor.socket", "mcp-supervisor.service", "mcp-gateway.service")

TARGETS = ("sysinit", "basic", "shutdown", "sockets", "multi-user", "network", "umount")
"""What every unit of a real machine may lean on."""

PRELUDE = """
set -eu
trap '[ $? = 0 ] || cat $OUT/log $SAID | tail -n 40 >&2' EXIT
cp /etc/passwd /run/passwd; echo 'mcp-gateway:x:987:987::/nonexistent:/usr/sbin/nologin' >> /run/passwd
cp /etc/group /run/group; echo 'mcp-gateway:x:987:' >> /run/group
mount --bind /run/passwd /etc/passwd; mount --bind /run/group /etc/group
# A Python, or a checkout, below somebody's home is out of reach for the gateway's user: here it is not.
for each in $PREFIX $CHECKOUT; do mkdir -p /run/reach$each; mount --bind $each /run/reach$each; done
for home in /root /home; do
  case "$PREFIX $CHECKOUT " in *"$home"/*) mount -t tmpfs -o mode=755 tmpfs $home ;; esac
done
for each in $PREFIX $CHECKOUT; do
  case $each in /root/* | /home/*) mkdir -p $each; mount --bind /run/reach$each $each ;; esac
done
mkdir -p /run/etc; mount --bind /run/etc $WORK
for each in lib cache log; do mount -t tmpfs tmpfs /var/$each; done
# As on a real machine; it is how a credential gets to its service.
mount --make-rshared /
install -m 600 $CONFIG $WORK/config.yaml
slice=/sys/fs/cgroup/system.slice
url=localhost:$PORT
pid() { systemctl show $1 -p MainPID --value; }
until_() { until "$@" >/dev/null 2>&1; do sleep 0.1; done; }
session() { curl -sf $url/api/sessionid | cut -d '"' -f 4; }
call() { curl -s -X POST "$url/api/$2/$3?sessionId=$1" -H 'Content-Type: application/json' -d "${4:-{\\}}"; echo; }
# 0 is a process of another such machine, which has the same tree of cgroups.
left() { find $slice/$1 -name cgroup.procs 2>/dev/null -exec cat {} + | grep -vc '^0$' || true; }
journal() { cat $SAID; }
"""


@dataclass(frozen=True)
class Machine:
    """A directory of units, and a configuration that stands in for /etc/mcp-gateway/config.yaml."""

    work: Path
    port: int

    async def run(self, script: str, **replaced: str) -> str:
        """What `script` printed, in bash after PRELUDE, as root, with systemctl; it must succeed.

        `replaced` are settings of units, such as WatchdogSec, whose value is another one here.
        """
        for name in UNITS:
            (self.work / "units" / name).write_text(self._as_here((ROOT / "systemd" / name).read_text(), replaced))
        for target in TARGETS:
            (self.work / "units" / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        environment = {
            **os.environ,
            "WORK": str(self.work / "etc"),
            "CONFIG": str(self.work / "config.yaml"),
            "CHECKOUT": str(ROOT),
            "PREFIX": sys.base_prefix,
            "PORT": str(self.port),
            "SAID": str(self.work / "said"),
        }
        command = [str(ROOT / "tests/support/with-systemd"), str(self.work / "units"), "bash", "-c", PRELUDE + script]
        result = await anyio.run_process(command, cwd=ROOT, check=False, env=environment)
        output = result.stdout.decode() + result.stderr.decode()
        assert result.returncode == 0, output
        return output

    def _as_here(self, unit: str, replaced: Mapping[str, str]) -> str:
        """The unit's own text, for an installation that is this checkout."""
        unit = unit.replace("/opt/mcp-gateway/.venv/bin", str(Path(sys.executable).parent))
        unit = unit.replace("=/opt/mcp-gateway\n", f"={ROOT}\n").replace("/etc/mcp-gateway", str(self.work / "etc"))
        # The checkout, and the Python that made its environment, may be below a home.
        unit = unit.replace("ProtectHome=yes\n", "")
        if str(ROOT).startswith("/tmp"):
            unit = unit.replace("PrivateTmp=yes\n", "")
        # There is no journal.
        unit = unit.replace("[Service]\n", f"[Service]\nStandardError=append:{self.work / 'said'}\n")
        for key, value in replaced.items():
            unit = re.sub(rf"^{key}=.*$", f"{key}={value}", unit, flags=re.MULTILINE)
        return unit


def machine(name: str, servers: Mapping[str, Any], **keys: Any) -> Machine:
    """One that serves `servers` on a port of its own."""
    if os.geteuid() != 0 or shutil.which("systemctl") is None:
        pytest.fail("this test boots a systemd of its own: it needs root, and Debian's package systemd")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Not below pytest's own directory: the machine has a /tmp of its own.
    work = ROOT / ".cache" / f"systemd-{name}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "units").mkdir(parents=True)
    (work / "etc").mkdir()
    write_config(work / "config.yaml", {"port": port, "list_at_start": False, **keys, "servers": dict(servers)})
    return Machine(work, port)
