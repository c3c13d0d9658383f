"""The units, on a real systemd."""

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.support.gateway import LIGHT, ROOT, WRAPPED
from tests.support.systemd import machine

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/systemd.md").read_text()

QUICK = {"stop_grace": "100ms", "terminate_grace": "200ms"}
SERVERS = {"light": {**WRAPPED, **QUICK}}

BUBBLE = {"kind": "bubblewrap", "writable": [str(ROOT)]}
"""A sandbox, with the checkout, which may be below a directory that it hides."""

OWN_USERS = "600000-600099"
"""As an installation has it: see scripts/install."""

LOAD = """
systemctl start mcp-gateway
for each in 1 2 3; do id=$(session); call $id light helper >/dev/null; call $id light hold >/dev/null & done
loaded() { [ $(left mcp-supervisor.service) -ge 10 ]; }
until_ loaded
echo busy: $(left mcp-supervisor.service)
supervisor=$(pid mcp-supervisor) gateway=$(pid mcp-gateway)
rooms() { ls -d /var/lib/mcp-gateway/sessions/run-*/* 2>/dev/null | wc -l; }
alone() { [ $(left mcp-supervisor.service) = 1 ] && [ $(rooms) = 0 ]; }
# systemd removes a unit's directories by helpers of its own in the unit's cgroup, for a moment.
empty() { [ $(left mcp-gateway.service) = 0 ] && [ $(left mcp-supervisor.service) = 0 ]; }
"""

KEPT = """
systemctl start mcp-gateway
id=$(session); call $id light add '{"text": "kept"}' > /dev/null
echo before: $(call $id light whoami)
supervisor=$(pid mcp-supervisor) gateway=$(pid mcp-gateway)
back() { systemctl is-active mcp-gateway && [ $(pid mcp-gateway) != $gateway ] && [ $(pid mcp-gateway) != 0 ]; }
"""
"""A session, and the pid of its child; `back` is whether another gateway has begun."""


def same(output: str) -> bool:
    """Whether the child that was there before KEPT's end is the one that answered after it."""
    [before] = re.findall("^before: (.+)$", output, re.MULTILINE)
    [after] = re.findall("^after: (.+)$", output, re.MULTILINE)
    assert '\\"pid\\":' in before
    return bool(before == after)


async def test_start_returns_when_it_serves_and_stop_leaves_nothing() -> None:
    audit = {"file": "/var/log/mcp-gateway/audit.jsonl"}
    output = await machine("start", SERVERS, uid_range=OWN_USERS, audit=audit).run(
        LOAD
        + """
        echo audit: $(stat -c '%a %U' /var/log/mcp-gateway /var/log/mcp-gateway/audit.jsonl)
        grep -m 1 session_open /var/log/mcp-gateway/audit.jsonl
        curl -sf $url/health; echo
        echo user: $(ps -o user:20= -p $gateway) $(ps -o user= -p $supervisor)
        echo socket: $(stat -c '%a %U' /run/mcp-gateway/control.sock)
        systemctl show mcp-gateway mcp-supervisor -p StatusText
        systemctl stop mcp-supervisor mcp-gateway
        systemctl show mcp-gateway mcp-supervisor -p ActiveState -p Result
        until_ empty
        echo left: $(left mcp-gateway.service) $(left mcp-supervisor.service) $(rooms)
        """
    )
    assert '"status":"ok"' in output
    assert "audit: 750 mcp-gateway 600 mcp-gateway" in output
    assert '"event":"session_open","issuer":"anonymous"' in output
    assert "user: mcp-gateway root" in output
    assert "socket: 600 mcp-gateway" in output
    assert "StatusText=listening on http://127.0.0.1:" in output
    assert output.count("ActiveState=inactive") == 2
    assert output.count("Result=success") == 2
    assert "left: 0 0 0" in output


async def test_each_session_has_a_user_and_a_cgroup_of_its_own() -> None:
    output = await machine("users", {"light": LIGHT}, uid_range=OWN_USERS).run(
        """
        systemctl start mcp-gateway
        for each in 1 2; do
          said=$(call $(session) light whoami); child=$(echo "$said" | grep -o 'pid[^,]*' | head -n 1 | tr -dc 0-9)
          echo child: $(ps -o uid=,gid= -p $child) $(grep ^CapEff /proc/$child/status) $(grep ^0:: /proc/$child/cgroup)
        done
        curl -sf $url/health; echo
        """
    )
    child = r"child: (6000\d\d) \1 CapEff: 0+ 0::\S*/mcp-supervisor\.service/(run-\w+/\d+)$"
    found = re.findall(child, output, re.MULTILINE)
    assert len(found) == 2, output
    first, second = found
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert '"reaping":"cgroup"' in output


@pytest.mark.parametrize("sandbox", [{}, {"sandbox": BUBBLE}], ids=["bare", "sandbox"])
async def test_a_hostile_session_gets_nowhere_and_nothing_of_it_is_left(sandbox: dict[str, Any]) -> None:
    name = "-".join(["hostile", *sandbox])
    output = await machine(name, {"light": {**LIGHT, **QUICK, **sandbox}}, uid_range=OWN_USERS).run(
        r"""
        systemctl start mcp-gateway
        other=$(session); room=$(call $other light whoami | grep -o '/var/lib/mcp-gateway/[^\]*')
        cat > $ROOT/.cache/hostile <<TRY
        try() { if "\$@" >&2; then echo "succeeded: \$*"; else echo refused; fi; }
        try ls /var/lib/mcp-gateway/sessions
        try ls $room
        try cat $WORK/config.yaml
        try kill -9 $(pid mcp-supervisor) $(pid mcp-gateway)
        try cat /proc/$(pid mcp-supervisor)/environ
        try sh -c 'echo 0 > $slice/mcp-supervisor.service/cgroup.procs'
        try mkdir $slice/mcp-supervisor.service/mine
        try $PYTHON -c 'import socket; socket.socket(socket.AF_UNIX).connect("/run/mcp-gateway/control.sock")'
        try prlimit --pid \$\$ --rttime=4711
        mkdir -p closed/below; touch closed/below/file; ln -s /etc closed/link; chmod 500 closed; chmod 0 closed/below
        setsid sh -c 'trap "" TERM HUP; while :; do sleep 1000; done' </dev/null >/dev/null 2>&1 &
TRY
        id=$(session); call $id light run "{\"script\": \"sh $ROOT/.cache/hostile\"}"
        curl -s -X DELETE "$url/api/sessionid?sessionId=$other"; curl -s -X DELETE "$url/api/sessionid?sessionId=$id"
        alone() { [ $(left mcp-supervisor.service) = 1 ] && [ -z "$(ls /var/lib/mcp-gateway/sessions/run-*)" ]; }
        until_ alone
        journal
        """.replace("$ROOT", str(ROOT)).replace("$PYTHON", sys.executable)
    )
    assert "succeeded" not in output
    assert output.count("refused") == 9, output
    assert "could not be wiped" not in output


@pytest.mark.parametrize("manner", ["restart", "kill -s KILL"])
async def test_sessions_outlive_the_gateways_restart_and_its_crash(manner: str) -> None:
    output = await machine(f"outlive-{manner.split()[0]}", {"light": LIGHT}, uid_range=OWN_USERS).run(
        KEPT
        + f"""
        systemctl {manner} mcp-gateway
        echo next: $(call $id light notes)
        until_ back
        echo after: $(call $id light whoami)
        echo same: $([ $(pid mcp-supervisor) = $supervisor ] && echo yes)
        """
    )
    assert re.search("next: .*kept", output)
    assert same(output)
    assert "same: yes" in output


@pytest.mark.parametrize("manner", ["stop", "kill -s KILL"])
async def test_a_request_that_comes_between_two_gateways_waits(manner: str) -> None:
    output = await machine(f"between-{manner.split()[0]}", {"light": LIGHT}, uid_range=OWN_USERS).run(
        KEPT
        + f"""
        systemctl {manner} mcp-gateway
        until_ test ! -e /proc/$gateway
        call $id light notes > /run/between & asking=$!
        connected() {{ ss -Htn state established "dport = :$PORT" | grep -q .; }}
        until_ connected
        echo gateway: $(pid mcp-gateway)
        systemctl restart mcp-gateway
        wait $asking; echo between: $(cat /run/between)
        echo after: $(call $id light whoami)
        """,
        # Not before it is told to.
        RestartSec="1h",
    )
    assert "gateway: 0" in output
    assert re.search("between: .*kept", output)
    assert same(output)


async def test_what_no_gateway_comes_back_for_is_ended() -> None:
    output = await machine("gateway", SERVERS, uid_range=OWN_USERS, reattach_grace="100ms").run(
        LOAD
        + """
        systemctl stop mcp-gateway
        until_ alone
        systemctl start mcp-gateway
        echo same: $([ $(pid mcp-supervisor) = $supervisor ] && [ $(pid mcp-gateway) != $gateway ] && echo yes)
        call $(session) light whoami
        """
    )
    assert "same: yes" in output
    assert '\\"pid\\":' in output


async def test_a_killed_supervisor_takes_everything_along_and_both_come_back() -> None:
    output = await machine("supervisor", SERVERS, uid_range=OWN_USERS).run(
        LOAD
        + """
        before=$(find $slice/mcp-supervisor.service -name cgroup.procs -exec cat {} +)
        systemctl kill --kill-whom=main -s KILL mcp-supervisor
        came_back() { systemctl is-active mcp-gateway && curl -sf $url/health && [ $(pid mcp-gateway) != $gateway ]; }
        until_ came_back
        for each in $before; do [ ! -e /proc/$each ] || echo alive: $each; done
        echo both: $([ $(pid mcp-supervisor) != $supervisor ] && [ $(pid mcp-gateway) != $gateway ] && echo new)
        echo old: $(call $id light notes)
        until_ alone
        call $(session) light whoami
        """
    )
    assert "alive:" not in output
    assert "both: new" in output
    assert re.search("old: .*session_not_found", output)
    assert '\\"pid\\":' in output


@pytest.mark.parametrize("unit", ["mcp-supervisor", "mcp-gateway"])
async def test_a_program_that_hangs_ends_by_the_watchdog(unit: str) -> None:
    output = await machine(f"watchdog-{unit}", {"light": LIGHT}, uid_range=OWN_USERS).run(
        KEPT
        + f"""
        before=$(pid {unit})
        systemctl kill --kill-whom=main -s STOP {unit}
        until_ test ! -e /proc/$before
        came_back() {{ systemctl is-active mcp-gateway && curl -sf $url/health && [ $(pid {unit}) != $before ]; }}
        until_ came_back
        echo another: $([ $(pid {unit}) != $before ] && echo yes)
        echo after: $(call $id light whoami)
        """,
        WatchdogSec="2",
        TimeoutAbortSec="1",
    )
    assert "another: yes" in output
    assert same(output) is (unit == "mcp-gateway")


async def test_a_reload_takes_over_the_servers_and_a_mistake_changes_nothing() -> None:
    output = await machine("reload", {"light": LIGHT, "old": LIGHT}, max_sessions=10).run(
        """
        systemctl start mcp-gateway
        id=$(session); call $id old add '{"text": "kept"}'
        cp $WORK/config.yaml $WORK/good
        sed 's/^  old:/  new:/; s/^max_sessions: .*/max_sessions: 11/' $WORK/good > $WORK/config.yaml
        systemctl reload mcp-gateway
        until_ grep -q 'servers for new sessions are now: light, new' $SAID
        echo live: $(call $id old notes)
        echo gone: $(call $(session) old notes)
        echo new: $(call $(session) new notes)
        echo 'servres:' >> $WORK/config.yaml
        for unit in mcp-supervisor mcp-gateway; do systemctl reload $unit && echo reloaded; done
        systemctl kill --kill-whom=main -s HUP mcp-supervisor
        until_ grep -q 'the configuration was not taken over' $SAID
        echo still: $(call $(session) new notes)
        journal
        """
    )
    assert re.search(r"live: .*kept", output)
    assert re.search("gone: .*server_not_found", output)
    assert re.search(r"new: \{.content", output)
    assert re.search(r"still: \{.content", output)
    assert "not taken over until a restart: max_sessions" in output
    assert "servres: unknown key; did you mean 'servers'?" in output
    assert "\nreloaded" not in output


async def test_a_call_in_flight_is_answered_before_the_gateway_leaves_and_a_late_one_is_told() -> None:
    output = await machine("drain", {"light": LIGHT}, uid_range=OWN_USERS, drain_timeout="2s").run(
        KEPT
        + r"""
        holds() { call $id light held | grep -q 'held.*1'; }
        call $id light hold '{"text": "answered"}' > /run/held & held=$!
        until_ holds
        # A connection from before the stop: a new one would wait for the next gateway.
        exec 3<>/dev/tcp/127.0.0.1/$PORT
        post() { printf 'POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' "$1"; }
        { post /api/light/notes?sessionId=$id; printf 'Content-Length: 2\r\n\r\n{}'; } >&3
        read -r status <&3
        systemctl stop --no-block mcp-gateway
        until_ grep -q 'waiting up to 2 seconds for 1 calls' $SAID
        { post /api/light/release?sessionId=$id; printf 'Content-Length: 2\r\n\r\n{}'; } >&3
        wait $held; cat /run/held; echo
        exec 3>&-
        gone() { systemctl show mcp-gateway -p ActiveState | grep inactive; }
        until_ gone
        systemctl start mcp-gateway
        call $id light hold > /run/late & late=$!
        until_ holds
        systemctl restart mcp-gateway
        wait $late; echo late: $(cat /run/late)
        echo after: $(call $id light whoami)
        """
    )
    assert '"text": "answered"' in output
    assert re.search('late: .*"gateway_restarted"', output)
    assert same(output)


async def test_secrets_come_by_credential_and_sandboxes_work_below_the_supervisor() -> None:
    bwrap = "bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc --dev /dev true && echo bubble"
    unshare = "unshare --user --map-root-user --pid --fork --kill-child --mount-proc true && echo namespace"
    node = "node -e 'console.log(1 + 1)'"
    child = " ".join(f'"{word}"' for word in [LIGHT["command"], *LIGHT["args"]])
    servers = {
        "light": {
            "command": "/bin/sh",
            "args": ["-c", f"/run/try >tried 2>&1; exec {child}"],
            "env": {"SECRET": "${SECRET}"},
        }
    }
    output = await machine("credential", servers, uid_range=OWN_USERS).run(
        f"""
        cat > /run/try <<'TRY'
#!/bin/sh
{bwrap}; {unshare}; {node}
TRY
        chmod 755 /run/try
        echo s3cret > $WORK/secret; chmod 600 $WORK/secret
        sed -i "s|^\\[Service\\]|&\\nLoadCredential=SECRET:$WORK/secret|" $OUT/units/mcp-supervisor.service
        systemctl daemon-reload
        systemctl start mcp-gateway
        call $(session) light environment
        cat /var/lib/mcp-gateway/sessions/run-*/*/work/tried
        systemctl show mcp-supervisor -p Environment
        journal
        """
    )
    assert '\\"SECRET\\": \\"s3cret\\"' in output
    assert output.count("s3cret") == 1
    assert re.search("^bubble\nnamespace\n2$", output, re.MULTILINE), output


def test_the_units_are_no_more_exposed_than_the_page_says() -> None:
    printed = dict(re.findall(r"^\| `(mcp-\w+\.service)` \| (\d+\.\d) ", PAGE, re.MULTILINE))
    assert printed.keys() == {"mcp-supervisor.service", "mcp-gateway.service"}
    for unit, exposure in printed.items():
        command = ["systemd-analyze", "security", "--offline=true", str(ROOT / "systemd" / unit)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", told)
        assert found is not None, told
        assert float(found[1]) <= float(exposure)
