"""What is said of a gateway without a session."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from common.config.load import Settings, load
from doctor.findings import Verdict
from doctor.surroundings import clock, command, default_url, exposure, headers_of, health, servers
from tests.support.gateway import write_config

WELL = {
    "status": "ok",
    "version": version("mcp-gateway"),
    "supervisor": {"answers": True},
    "reaping": "cgroup",
    "outlived": 0,
    "servers": {"x": {"running": 0}},
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def settings(tmp_path: Path, server: dict[str, Any] | None = None, **keys: Any) -> Settings:
    entry = {"command": "sh", **(server or {})}
    return load(write_config(tmp_path / "config.yaml", {**keys, "servers": {"x": entry}}), {})


def said(report: dict[str, Any]) -> dict[str, Verdict]:
    return {each.check: each.verdict for each in health(report, {"x"})}


def test_a_gateway_that_is_well() -> None:
    assert said(WELL) == dict.fromkeys(("version", "health", "servers"), Verdict.OK)


@pytest.mark.parametrize(
    ("change", "check", "verdict"),
    [
        ({"version": "0.0.0"}, "version", Verdict.WARNING),
        ({"outlived": 1}, "health", Verdict.FAILED),
        ({"supervisor": {"answers": False}}, "health", Verdict.FAILED),
        ({"servers": {}}, "servers", Verdict.FAILED),
        ({"servers": {"x": {}, "y": {}}}, "servers", Verdict.FAILED),
        ({"servers": {"x": {"failing": "child_exited"}}}, "servers", Verdict.FAILED),
    ],
)
def test_a_gateway_that_is_not(change: dict[str, Any], check: str, verdict: Verdict) -> None:
    assert said({**WELL, **change})[check] is verdict


def test_a_server_that_rules_may_hide_is_no_fault() -> None:
    found = [each for each in health({**WELL, "servers": {"x": {}}}, {"x", "y"}, rules=True) if each.check == "servers"]
    assert [(each.verdict, each.seen[-3:]) for each in found] == [(Verdict.NOTE, ": y")]
    *_, strange = health({**WELL, "servers": {"z": {}}}, {"x"}, rules=True)
    assert strange.verdict is Verdict.FAILED


def test_a_gateway_that_does_not_know_the_credentials_tells_nothing() -> None:
    assert said({"status": "ok"}) == {"health": Verdict.FAILED}


@pytest.mark.parametrize(
    ("hostname", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("gw.example.org", "http://gw.example.org:3000"),
    ],
)
def test_the_url_is_where_the_configuration_has_it_listen(tmp_path: Path, hostname: str, url: str) -> None:
    assert default_url(settings(tmp_path, hostname=hostname).gateway) == url
    assert default_url(settings(tmp_path, port=0).gateway) is None


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        ({}, Verdict.OK),
        ({"hostname": "::1"}, Verdict.OK),
        ({"hostname": "0.0.0.0"}, Verdict.WARNING),
        ({"hostname": "gw"}, Verdict.WARNING),
        ({"hostname": "0.0.0.0", "auth": {"bearer": {"tokens": ["a-token"]}}}, Verdict.OK),
    ],
)
def test_a_gateway_for_everybody_on_the_network_is_warned_of(
    tmp_path: Path, keys: dict[str, Any], verdict: Verdict
) -> None:
    assert exposure(settings(tmp_path, **keys).gateway).verdict is verdict


def test_clocks_that_are_apart_are_told() -> None:
    for apart, verdict in ((0, Verdict.OK), (29, Verdict.OK), (-31, Verdict.WARNING), (3600, Verdict.WARNING)):
        found = clock(format_datetime(NOW + timedelta(seconds=apart), usegmt=True), NOW)
        assert found is not None
        assert found.verdict is verdict
    assert clock(None, NOW) is None
    assert clock("yesterday", NOW) is None


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    specs = [settings(tmp_path, {"command": each}).supervisor.servers["x"] for each in ("sh", "no-such-program")]
    there, missing = (command(spec, "/usr/bin:/bin") for spec in specs)
    assert there is None
    assert missing is not None
    assert missing.verdict is Verdict.WARNING


def test_a_path_that_is_each_sessions_own_is_not_fixed(tmp_path: Path) -> None:
    for path, fixed in ((None, False), ("/srv", True), ("${session.work}/x", False)):
        [server] = servers(settings(tmp_path, {"path": path} if path else {}))
        assert server.fixed_path is fixed


def test_headers_are_told_from_other_placeholders() -> None:
    assert headers_of(("header:X-GitHub-Token", "user.id")) == ("X-GitHub-Token",)
