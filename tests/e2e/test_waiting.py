"""At a cap one waits for one's turn; a server that keeps dying is given a rest; what ends a child is certified."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from common.reasons import Reason
from supervisor.client import Grant, OpenRefused, SupervisorClient, connect
from supervisor.protocol import PROTOCOL, Certificate, Gone, Hello, Open, ServerReport, encode
from tests.support.gateway import QUICK, Gateway, light, programs, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Streamable, request

pytestmark = pytest.mark.slow

WAITS = "supervisor session .* waits for a place for "


@asynccontextmanager
async def supervisor(
    tmp_path: Path, servers: Mapping[str, Any] | None = None, **keys: Any
) -> AsyncIterator[tuple[Gateway, Path]]:
    """A supervisor that waits at a socket."""
    keys = {**QUICK, "runtime_dir": str(tmp_path / "runtime"), **keys, "servers": servers or {"light": light()}}
    config = write_config(tmp_path / "config.yaml", keys)
    path = tmp_path / "run" / "control.sock"
    async with programs(
        [sys.executable, "-m", "supervisor", "--config", str(config), "--socket", str(path)]
    ) as program:
        await program.said("waiting for the gateway")
        yield program, path


class Caller:
    """The gateway's end of the control socket, in the test's own hands."""

    def __init__(self, client: SupervisorClient) -> None:
        self.client = client
        self.grants: list[tuple[str, Grant]] = []
        self.certificates: list[Certificate] = []
        self._news = anyio.Event()
        client.on_gone = self._on_gone

    def _on_gone(self, gone: Gone) -> None:
        self.certificates.append(gone.certificate)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def open(self, server: str = "light", user: str = "") -> Grant:
        """Open one, and keep it."""
        grant = await self.client.open(server, f"session of {user}", user)
        self.grants.append((user, grant))
        self._tell()
        return grant

    async def until(self, *, opened: int = 0, gone: int = 0) -> None:
        """Wait for so many in all."""
        with anyio.fail_after(PATIENCE):
            while len(self.grants) < opened or len(self.certificates) < gone:
                await self._news.wait()

    def release(self, grant: Grant, reason: Reason = Reason.CLIENT_CLOSED) -> None:
        """Let go of one."""
        self.client.release(grant.lease, reason, (grant.stdin, grant.stdout))
        self.grants = [each for each in self.grants if each[1] is not grant]

    def close(self) -> None:
        for _, grant in self.grants:
            os.close(grant.stdin)
            os.close(grant.stdout)


@asynccontextmanager
async def calling(path: Path) -> AsyncIterator[Caller]:
    """A connection to the supervisor at `path`."""
    async with connect(await anyio.connect_unix(path)) as client:
        caller = Caller(client)
        try:
            yield caller
        finally:
            caller.close()


async def test_at_the_cap_one_waits_until_somebody_leaves(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, max_sessions=1) as gateway:
        first = await Streamable(gateway.http).open()
        id_ = await gateway.session_id()
        async with anyio.create_task_group() as tasks:
            answers = []

            async def ask() -> None:
                answers.append(await gateway.text(id_, "echo", text="at last"))

            tasks.start_soon(ask)
            await gateway.said(WAITS)
            assert answers == []
            await first.delete()
        assert answers == ["at last"]


async def test_who_has_waited_long_enough_is_refused_with_a_429(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, max_sessions=1, queue_timeout="100ms") as gateway:
        await Streamable(gateway.http).open()
        answer = await gateway.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=BOTH)
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (429, "max_sessions")
        await gateway.said(WAITS)


async def test_a_client_that_hangs_up_waits_no_longer(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, max_sessions=1) as gateway:
        first = await Streamable(gateway.http).open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gateway.http.get, "/light/sse")
            await gateway.said(WAITS)
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Streamable(gateway.http).open)
            await gateway.said(WAITS, times=2)
            await first.delete()
        await gateway.said("supervisor spawned", times=2)


async def test_users_take_turns(tmp_path: Path) -> None:
    async with supervisor(tmp_path, max_sessions=1) as (program, path), calling(path) as caller:
        await caller.open(user="eve")
        async with anyio.create_task_group() as tasks:
            for number, user in enumerate(("ann", "ann", "bob"), 1):
                tasks.start_soon(caller.open, "light", user)
                await program.said(WAITS, times=number)
            assert (await caller.client.ask()).waiting == 3
            order = []
            for gone in range(1, 4):
                caller.release(caller.grants[0][1])
                await caller.until(opened=1, gone=gone)
                order.append(caller.grants[0][0])
        assert order == ["ann", "bob", "ann"]
        assert (await caller.client.ask()).waiting == 0


async def test_a_user_who_has_enough_waits_and_nobody_else_does(tmp_path: Path) -> None:
    async with supervisor(tmp_path, max_user_sessions=1) as (program, path), calling(path) as caller:
        first = await caller.open(user="ann")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.open, "light", "ann")
            await program.said(WAITS)
            await caller.open(user="bob")
            report = (await caller.client.ask()).servers["light"]
            assert report == ServerReport(running=2, waiting=1)
            caller.release(first)
        assert [user for user, _ in caller.grants] == ["bob", "ann"]


async def test_a_full_queue_refuses_with_the_users_own_reason(tmp_path: Path) -> None:
    async with supervisor(tmp_path, max_user_sessions=1, queue_max=0) as (_, path), calling(path) as caller:
        await caller.open(user="ann")
        with pytest.raises(OpenRefused) as refused:
            await caller.open(user="ann")
        assert refused.value.reason is Reason.MAX_USER_SESSIONS
        assert refused.value.retry_after == 5


async def test_a_gateway_that_dies_takes_what_waits_with_it(tmp_path: Path) -> None:
    async with supervisor(tmp_path, max_sessions=1, reattach_grace="100ms") as (program, path):
        async with await anyio.connect_unix(path) as stream:
            await stream.send(encode(Hello(PROTOCOL)) + b"".join(encode(Open(n, "light", "x")) for n in (1, 2, 3)))
            await program.said(WAITS, times=2)
        await program.said("is gone: (gateway_lost|child_exited)")
        async with calling(path) as caller:
            await caller.open()
            answer = await caller.client.ask()
            assert (answer.running, answer.ending, answer.waiting) == (1, 0, 0)
        await program.said("spawned light", times=2)


async def test_a_server_that_keeps_dying_is_given_a_rest_and_others_do_not_notice(tmp_path: Path) -> None:
    servers = {"dies": light("--die-at-start"), "light": light()}
    async with running(servers, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        codes = []
        for number in range(1, 4):
            codes.append((await gateway.call(id_, "echo", "dies")).json()["error"]["code"])
            if number < 3:
                await gateway.gone(number)
        assert codes == ["child_exited", "child_exited", "server_failing"]
        await gateway.said("supervisor refused a child of dies: server 'dies' keeps failing")
        assert await gateway.text(id_, "echo", text="well") == "well"


async def test_a_failing_server_is_reported_with_why(tmp_path: Path) -> None:
    servers = {"dies": light("--die-at-start"), "light": light()}
    async with supervisor(tmp_path, servers) as (_, path), calling(path) as caller:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(caller.open, "dies")
        await caller.until(gone=5)
        report = (await caller.client.ask()).servers
        assert report["light"] == ServerReport()
        why = r"5 failures in a row, the last: child_exited, exit code 3, certificate "
        assert report["dies"].failing == why + caller.certificates[-1].id
        await caller.open("dies")
        await caller.until(gone=6)
        with pytest.raises(OpenRefused) as refused:
            await caller.open("dies")
        assert refused.value.reason is Reason.SERVER_FAILING
        assert refused.value.retry_after == pytest.approx(1, abs=1)


async def test_a_death_certificate_says_it_all_but_secrets(tmp_path: Path) -> None:
    script = 'echo "starting"; echo "no access with $API_TOKEN at http://ann:pa55@host/" >&2; exit 7'
    servers = {"sh": {"command": "/bin/sh", "args": ["-c", script], "env": {"API_TOKEN": "hunter22"}}}
    async with supervisor(tmp_path, servers) as (program, path), calling(path) as caller:
        await caller.open("sh")
        await caller.until(gone=1)
        [certificate] = caller.certificates
        assert (certificate.server, certificate.reason, certificate.exit.code) == ("sh", Reason.CHILD_EXITED, 7)
        assert certificate.stderr == ("no access with [redacted] at http://ann:[redacted]@host/",)
        assert 0 <= certificate.lived < PATIENCE
        await program.said(rf"is gone: child_exited, exit code 7, after .* certificate {certificate.id}")
        await program.said(r"supervisor its stderr: no access with \[redacted\] at")
        assert "hunter22" not in program.log
        assert "pa55" not in program.log


async def test_a_flood_on_stderr_is_not_logged_whole_and_holds_nobody_up(tmp_path: Path) -> None:
    async with running({"light": light(stderr_files=True)}, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        await gateway.text(id_, "complain", text="flood\n" * 20_000)
        assert await gateway.text(id_, "echo", text="on") == "on"
        await gateway.http.delete(f"/api/sessionid?sessionId={id_}")
        await gateway.said(r"stderr: [0-9]+ lines came too fast and are not in this log")
        await gateway.said(r"is gone: .*; [0-9]+ lines of its stderr were not logged \(120001 bytes in all\)")
        assert gateway.log.count("stderr: flood") < 5_000
    [file] = (tmp_path / "runtime" / "stderr").glob("light-*.log")
    assert file.read_text() == "flood\n" * 20_000 + "\n"
