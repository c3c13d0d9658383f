"""What a real gateway writes into its audit log."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.conversation import IN_FLIGHT
from tests.support.credentials import SHARED
from tests.support.gateway import GATEWAY as PROGRAM
from tests.support.gateway import LIGHT, QUICK, Gateway, programs, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, request
from tests.support.rawws import websocket

pytestmark = pytest.mark.slow

AUTH = {"basic": {"credentials": [{"username": "ann", "password": "ann-secret"}]}}
ANN = {"Authorization": "Basic " + base64.b64encode(b"ann:ann-secret").decode()}
ACCESS: list[dict[str, Any]] = [{"allow": "*", "to": "light"}, {"deny": "*", "to": "light:whoami"}]


async def a_run(gateway: Gateway) -> None:
    """A session of Streamable HTTP, and one of REST; and some who may not."""
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE, headers=ANN) as http:
        session = await Streamable(http).open()
        await session.call(1, "echo", text="marked")
        await session.call(2, "fail")
        await session.post(call(3, "refuse", code=-32007))
        await session.post(call(4, "whoami"))
        await session.post(request(5, "ping"))
        await session.post(request(6, "tools/list"))
        await session.delete()
        id_ = (await http.get("/api/sessionid")).json()["sessionId"]
        environment = await http.post("/api/light/environment", params={"sessionId": id_}, json={})
        await http.post("/api/light/die", params={"sessionId": id_}, json={})
        await http.get("/secret/sse")
        await http.post("/api/v1/tools/call", json={"tool": "whoami"})
        await http.post("/api/v1/tools/call", json={"tool": "nothing"})
        await http.post("/api/v1/tools/call", json={"tool": "whoami", "server": "secret"})
        own = await http.post("/api/v1/tools/call", json={"tool": "echo", "arguments": {"text": "marked"}})
        assert own.status_code == 200
        [mine] = [each for each in (await http.get("/api/v1/sessions")).json()["sessions"] if each["own"]]
        await http.delete(f"/api/v1/sessions/{mine['handle']}")
    await gateway.http.post("/api/light/echo", json={"text": "marked"}, headers={"Authorization": "Bearer marked"})
    assert environment.status_code == 200


def lines_of(text: str) -> list[dict[str, Any]]:
    """The lines; what differs from run to run is checked, and left out."""
    read = [json.loads(line) for line in text.splitlines()]
    for line in read:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
        if "session" in line:
            assert re.fullmatch(r"gw\.[\w-]{6}…", line["session"])
            line["session"] = "gw"
        if line["event"] == "call":
            assert line.pop("ms") >= 0
            assert line.pop("request") > 0
        if "pid" in line:
            assert line.pop("pid") > 1
    return read


ANNS = {"issuer": "basic", "subject": "ann"}
MCP = {**ANNS, "session": "gw", "door": "Streamable HTTP", "server": "light"}
REST = {**MCP, "door": "REST"}
EXPECTED = [
    {"event": "session_open", **MCP},
    {"event": "call", **MCP, "method": "initialize", "outcome": "ok"},
    {"event": "call", **MCP, "method": "tools/call", "tool": "echo", "outcome": "ok"},
    {"event": "call", **MCP, "method": "tools/call", "tool": "fail", "outcome": "tool_error"},
    {"event": "call", **MCP, "method": "tools/call", "tool": "refuse", "outcome": "error", "code": -32007},
    {"event": "refused", **MCP, "method": "tools/call", "tool": "whoami", "reason": "tool_not_found"},
    {"event": "call", **MCP, "method": "tools/list", "outcome": "ok"},
    {"event": "session_end", **MCP, "reason": "client_closed"},
    {"event": "session_open", **REST},
    {"event": "call", **REST, "method": "tools/call", "tool": "environment", "outcome": "ok"},
    {"event": "call", **REST, "method": "tools/call", "tool": "die", "outcome": "child_exited"},
    {"event": "session_end", **REST, "reason": "child_exited"},
    {"event": "refused", **ANNS, "server": "secret", "from": "127.0.0.1", "reason": "server_not_found"},
    {
        "event": "refused",
        **ANNS,
        "server": "light",
        "method": "tools/call",
        "tool": "whoami",
        "reason": "tool_not_found",
    },
    {"event": "refused", **ANNS, "server": "secret", "from": "127.0.0.1", "reason": "server_not_found"},
    {"event": "session_open", **REST},
    {"event": "call", **REST, "method": "tools/call", "tool": "echo", "outcome": "ok"},
    {"event": "session_end", **REST, "reason": "client_closed"},
    {"event": "refused", "server": "light", "from": "127.0.0.1", "reason": "unauthenticated"},
]


async def test_a_run_is_recorded_line_by_line(tmp_path: Path) -> None:
    path, servers = tmp_path / "audit.jsonl", {"light": LIGHT, "secret": LIGHT}
    async with running(servers, tmp_path=tmp_path, auth=AUTH, access=ACCESS, audit={"file": str(path)}) as gateway:
        await a_run(gateway)
    text = path.read_text()
    assert lines_of(text) == EXPECTED
    assert "marked" not in text
    assert max(map(len, text.splitlines())) < 4096


async def test_on_standard_error_it_is_among_the_lines_of_the_log_and_has_arguments_where_asked_for(
    tmp_path: Path,
) -> None:
    audit = {"file": "stderr", "arguments": True}
    async with running(tmp_path=tmp_path, auth=AUTH, audit=audit) as gateway:
        await a_run(gateway)
    lines = [json.loads(line) for line in gateway.lines if line.startswith("{")]
    arguments = {line.get("tool"): line.get("arguments") for line in lines}
    assert (arguments["echo"], arguments["refuse"]) == ({"text": "marked"}, {"code": -32007})


async def test_whoever_may_not_now_is_recorded_too(tmp_path: Path) -> None:
    """A session's own bound, and a server that is given something of its user's own."""
    path = tmp_path / "audit.jsonl"
    servers = {"light": LIGHT, "personal": SHARED}
    async with running(servers, tmp_path=tmp_path, audit={"file": str(path)}) as gateway:
        async with websocket(gateway.url) as socket:
            for id_ in range(IN_FLIGHT):
                await socket.send(call(id_, "hold"))
            refused = await socket.ask(call("more", "echo", text="x"))
            assert refused["error"]["data"]["code"] == "max_in_flight"
        await gateway.http.post("/personal/mcp", json=request(0, "initialize", HELLO), headers=BOTH)
        await gateway.quiet()
    found = [line for line in lines_of(path.read_text()) if line["event"] == "refused"]
    assert [(line["server"], line["reason"]) for line in found] == [
        ("light", "max_in_flight"),
        ("personal", "credential_missing"),
    ]
    assert (found[0]["tool"], found[0]["session"]) == ("echo", "gw")


async def test_strangers_fill_no_disk_and_those_left_out_are_counted(tmp_path: Path) -> None:
    path, asked = tmp_path / "audit.jsonl", 400
    async with running(tmp_path=tmp_path, auth=AUTH, audit={"file": str(path)}) as gateway:
        for _ in range(asked):
            assert (await gateway.http.get("/api/sessionid")).status_code == 401
        # Whoever is known is always recorded, with how many there were before.
        assert (await gateway.http.get("/absent/sse", headers=ANN)).status_code == 404
    lines = lines_of(path.read_text())
    assert len(lines) < asked
    assert (lines[-1]["subject"], lines[-1]["reason"]) == ("ann", "server_not_found")
    assert len(lines) + sum(line.get("leftOut", 0) for line in lines) == asked + 1


async def test_a_gateway_that_cannot_write_its_audit_log_says_so_and_does_not_start(tmp_path: Path) -> None:
    keys = {"runtime_dir": str(tmp_path / "runtime"), "audit": {"file": "absent/audit.jsonl"}}
    config = write_config(tmp_path / "config.yaml", {**QUICK, **keys, "port": 0, "servers": {"light": LIGHT}})
    async with programs([PROGRAM, "serve", "--config", str(config)]) as gateway:
        await gateway.said(rf"cannot write the audit log {tmp_path}/absent/audit.jsonl: No such file or directory")
        await gateway.has_said_all.wait()
