"""A gateway that goes, and the next one: a child that several sessions share, and all of them, outlive it."""

import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.apart import gateway, stop, supervisor
from tests.support.gateway import light
from tests.support.rawmcp import Streamable, call, said, sse

pytestmark = pytest.mark.slow

ALICE = {"Authorization": "Bearer alice-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret"]}}
ENDS = [signal.SIGKILL, signal.SIGTERM]
"""How a gateway ends that another is to follow: a crash, and a restart in order."""

HEADER = "X-GitHub-Token"
OWN: dict[str, Any] = {
    "headers": [HEADER],
    "env": {"GITHUB_TOKEN": f"${{header:{HEADER}}}"},
    "allow_shared_uid": True,
}


def at(http: httpx2.AsyncClient, session: Streamable) -> Streamable:
    """The same session, over other connections."""
    session.http = http
    return session


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
async def test_a_shared_child_outlives_its_gateway_with_all_its_sessions(tmp_path: Path, end: signal.Signals) -> None:
    servers = {"light": light(isolation="user", linger="400ms")}
    async with supervisor(tmp_path, servers, auth=AUTH, drain_timeout="300ms") as (program, path):
        async with gateway(path) as front:
            front.http.headers |= ALICE
            one, two = await Streamable(front.http).open(), await Streamable(front.http).open()
            await one.call(1, "add", text="kept")
            who = await two.call(1, "whoami")
            async with sse(front.http), one.streaming(call(7, "hold")):
                await stop(front, end)
        async with gateway(path) as front:
            front.http.headers |= ALICE
            await front.said("2 sessions share the child of light")
            at(front.http, one), at(front.http, two)
            assert await one.call(2, "whoami") == await two.call(2, "whoami") == who
            assert await two.call(3, "notes") == ["kept"]
            assert (await two.call(4, "held"))["held"] == 0  # what was in flight was cancelled
            three = await Streamable(front.http).open()
            assert await three.call(1, "whoami") == who
            assert (await one.delete()).status_code == 204
            assert (await front.http.post("/light/mcp", json=call(5, "echo"), headers=one.headers)).status_code == 404
            assert await two.call(5, "echo", text="on") == "on"
            assert {(await each.delete()).status_code for each in (two, three)} == {204}
            await program.said(rf"{who['pid']} .*is gone: lingered")


async def test_a_child_without_sessions_lingers_in_the_next_gateway(tmp_path: Path) -> None:
    async with supervisor(tmp_path, {"light": light(isolation="user", linger="400ms")}, auth=AUTH) as (program, path):
        async with gateway(path) as front:
            front.http.headers |= ALICE
            async with sse(front.http) as stream:
                pid = said(await stream.ask(call(1, "whoami")))["pid"]
                await stop(front, signal.SIGKILL)
        async with gateway(path) as front:
            await front.said("0 sessions share the child of light")
            await program.said(rf"{pid} .*is gone: lingered")


async def test_a_session_whose_credentials_change_knows_so_after_a_restart(tmp_path: Path) -> None:
    servers = {"alone": light(**OWN), "shared": light(**OWN, isolation="user")}
    async with supervisor(tmp_path, servers, auth=AUTH) as (program, path):
        async with gateway(path) as front:
            front.http.headers |= {**ALICE, HEADER: "marked-one"}
            sessions = [await Streamable(front.http, f"/{server}/mcp").open() for server in servers]
            before = [await each.call(1, "whoami") for each in sessions]
            await stop(front, signal.SIGKILL)
        async with gateway(path) as front:
            for one, who in zip(sessions, before, strict=True):
                front.http.headers |= {**ALICE, HEADER: "marked-one"}
                at(front.http, one)
                assert await one.call(2, "whoami") == who
                front.http.headers[HEADER] = "marked-two"
                assert (await one.call(3, "environment"))["GITHUB_TOKEN"] == "marked-two"
                assert await one.call(4, "whoami") != who
                await program.said(rf"{who['pid']} .*is gone: credential_changed")
            assert "marked" not in front.log
        assert "marked" not in program.log
