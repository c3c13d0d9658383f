"""The unit, on a real systemd."""

import os
import re
import shutil
import socket
import sys
from pathlib import Path

import anyio
import pytest

from tests.support.gateway import NOTEPAD, ROOT, write_config

pytestmark = pytest.mark.slow

SCRIPT = """
set -eu
systemctl start mcp-gateway
url=localhost:PORT
curl -sf --retry 60 --retry-connrefused --retry-delay 1 $url/health; echo
id=$(curl -sf $url/api/sessionid | cut -d '"' -f 4)
curl -sf -X POST "$url/api/notepad/whoami?sessionId=$id"; echo
cgroup=/sys/fs/cgroup/system.slice/mcp-gateway.service
echo processes: $(wc -l < $cgroup/cgroup.procs)
END
systemctl show mcp-gateway -p ActiveState -p Result
echo left: $(ls -d $cgroup/cgroup.procs 2>/dev/null | wc -l)
"""
ENDS = {
    "stop": ("systemctl stop mcp-gateway", ["ActiveState=inactive", "Result=success"]),
    # Its launcher killed, the unit fails; systemd ends the rest with the cgroup, and would start it again.
    "kill": (
        "sed -i 's/^Restart=.*/Restart=no/' $OUT/units/mcp-gateway.service; systemctl daemon-reload; "
        "systemctl kill --kill-whom=main -s KILL mcp-gateway; "
        "until systemctl is-failed -q mcp-gateway; do sleep 0.1; done",
        ["ActiveState=failed", "Result=signal"],
    ),
}


@pytest.mark.parametrize("end", ENDS)
async def test_the_unit_serves_and_leaves_nothing_in_its_cgroup(tmp_path: Path, end: str) -> None:
    if os.geteuid() != 0 or shutil.which("systemctl") is None:
        pytest.fail("this test boots a systemd of its own: it needs root, and Debian's package systemd")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    how, expected = ENDS[end]
    unit = (ROOT / "systemd" / "mcp-gateway.service").read_text()
    # The installation of the test is this checkout, below which the temporary directory of a test would be hidden.
    work = ROOT / ".cache" / f"systemd-{end}"
    work.mkdir(parents=True, exist_ok=True)
    write_config(work / "config.yaml", {"port": port, "servers": {"notepad": NOTEPAD}})
    unit = unit.replace("/opt/mcp-gateway/.venv/bin", str(Path(sys.executable).parent))
    unit = unit.replace("/opt/mcp-gateway", str(ROOT)).replace(
        "/etc/mcp-gateway/config.yaml", str(work / "config.yaml")
    )
    unit = re.sub(r"^(User|StateDirectory|Environment|PrivateTmp)=.*\n", "", unit, flags=re.MULTILINE)
    (work / "mcp-gateway.service").write_text(unit.replace("[Unit]", "[Unit]\nDefaultDependencies=no"))
    script = SCRIPT.replace("PORT", str(port)).replace("END", how)
    command = [str(ROOT / "tests" / "support" / "with-systemd"), str(work), "bash", "-c", script]
    result = await anyio.run_process(command, cwd=ROOT, check=False)
    output = result.stdout.decode() + result.stderr.decode()
    assert result.returncode == 0, output
    assert '"status":"ok"' in output
    assert '"structuredContent":{"pid":' in output
    assert "processes: 4" in output  # launcher, supervisor, gateway, notepad
    assert "left: 0" in output
    assert all(line in output for line in expected), output
