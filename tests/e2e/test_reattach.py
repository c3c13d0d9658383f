"""A gateway that goes, and the next one, which goes on where it stopped: same sessions, same children, nobody refused."""

import ctypes
import fcntl
import os
import signal
import socket
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import psutil
import pytest

from common.reasons import Reason
from supervisor.protocol import PROTOCOL, Hello, Welcome, decode_from_supervisor, encode
from tests.support.apart import gateway, stop, supervisor
from tests.support.gateway import Gateway, light
from tests.support.processes import PATIENCE, open_files, watching
from tests.support.rawmcp import Streamable, call, request, said, sse

pytestmark = pytest.mark.slow

ENDS = [signal.SIGKILL, signal.SIGTERM]
"""How a gateway ends that another is to follow: a crash, and a restart in order."""


class Clients:
    """A session through each door that can outlive its gateway, and what its child was told."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.streamable = Streamable(http)
        self.rest = ""
        self.who: list[Any] = []

    async def open(self, front: Gateway) -> "Clients":
        await self.streamable.open()
        await self.streamable.call(1, "add", text="by streamable")
        self.rest = await front.session_id()
        await front.text(self.rest, "add", text="by rest")
        self.who = await self.ask(front, "whoami")
        return self

    async def ask(self, front: Gateway, tool: str) -> list[Any]:
        """Call a tool through both doors of `front`."""
        self.streamable.http = front.http
        return [await self.streamable.call(2, tool), await front.text(self.rest, tool)]

    async def find_all_as_it_was(self, front: Gateway) -> None:
        assert await self.ask(front, "whoami") == self.who
        assert await self.ask(front, "notes") == [["by streamable"], ["by rest"]]


@asynccontextmanager
async def connections(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Connections that outlive a gateway, as many as it takes."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as http:
        yield http


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
async def test_sessions_outlive_their_gateway_more_than_once(tmp_path: Path, end: signal.Signals) -> None:
    async with supervisor(tmp_path) as (program, path):
        async with gateway(path) as front:
            url = front.url
            clients = await Clients(front.http).open(front)
            await stop(front, end)
        for _ in range(2):
            async with gateway(path) as front:
                assert front.url == url
                await front.said("went on with 2 of 2 sessions")
                await clients.find_all_as_it_was(front)
                assert (await front.health())["children"]["running"] == 2
                await stop(front, end)
        async with gateway(path) as front:
            clients.streamable.http = front.http
            assert (await clients.streamable.delete()).status_code == 204
            assert (await front.http.delete("/api/sessionid", params={"sessionId": clients.rest})).status_code == 204
            await program.said("is gone: client_closed", times=2)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
async def test_a_request_that_comes_while_there_is_no_gateway_waits_for_the_next(
    tmp_path: Path, end: signal.Signals
) -> None:
    async with supervisor(tmp_path) as (_, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            await stop(front, end)
        async with connections(front.url) as http, anyio.create_task_group() as tasks:
            answers: list[Any] = []

            async def ask() -> None:
                clients.streamable.http = http
                answers.append(await clients.streamable.call(7, "notes"))

            tasks.start_soon(ask)
            await _connected(front.url, at_least=1)
            async with gateway(path):
                with anyio.fail_after(PATIENCE):
                    while not answers:
                        await anyio.lowlevel.checkpoint()
        assert answers == [["by streamable"]]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
async def test_who_comes_back_to_a_stream_of_an_earlier_gateway_is_told_that_its_answer_is_lost(
    tmp_path: Path, end: signal.Signals
) -> None:
    async with supervisor(tmp_path) as (_, path):
        async with gateway(path) as front:
            session = await Streamable(front.http).open("2025-03-26")
            params = {"name": "progress", "arguments": {"steps": 1}, "_meta": {"progressToken": "t"}}
            async with session.streaming(request("a", "tools/call", params)) as events:
                await events.message()
                last = events.last_id
            async with session.listening() as events:
                await session.call(2, "change")
                await events.message()
                standing = events.last_id
            await stop(front, end)
        async with gateway(path) as front:
            session.http = front.http
            async with session.listening(after=last) as events:
                answer = await events.message()
                assert (answer["id"], answer["error"]["code"]) == ("a", -32000)
                assert await events.at_end()
            async with session.listening(after=standing) as events:
                await session.call(3, "change")
                assert (await events.message())["method"] == "notifications/tools/list_changed"
            # The revision is known, too: it is one with batches.
            answers = await session.post([request(4, "ping"), request(5, "ping")])
            assert [each["id"] for each in answers.json()] == [4, 5]


async def _connected(url: str, at_least: int) -> None:
    """Wait until so many connections to `url` are established. The kernel tells nobody, so it is asked again."""
    port = httpx2.URL(url).port
    with anyio.fail_after(PATIENCE):
        while True:
            found = [each for each in psutil.Process().net_connections() if each.raddr and each.raddr[1] == port]
            if sum(each.status == psutil.CONN_ESTABLISHED for each in found) >= at_least:
                return
            await anyio.lowlevel.checkpoint()


async def test_calls_in_flight_are_cancelled_in_the_child_after_a_crash(tmp_path: Path) -> None:
    async with supervisor(tmp_path, debug={"level": "debug"}) as (program, path):
        async with gateway(path) as front, connections(front.url) as http:
            clients = await Clients(front.http).open(front)
            broken: list[str] = []

            async def hold(send: Any, *arguments: Any) -> None:
                try:
                    await send(*arguments, "hold")
                except httpx2.TransportError:
                    broken.append("broken")

            async def hold_by_streamable(tool: str) -> None:
                other = Streamable(http)
                other.headers = clients.streamable.headers
                async with other.streaming(call(9, tool)) as events:
                    await events.message()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hold, front.call, clients.rest)
                tasks.start_soon(hold, hold_by_streamable)
                await program.said("holding", times=2)
                await stop(front, signal.SIGKILL)
            assert broken == ["broken"] * 2
        async with gateway(path) as front:
            assert await clients.ask(front, "held") == [{"held": 0, "cancelled": 1}] * 2
            await clients.find_all_as_it_was(front)


async def test_calls_in_flight_are_told_of_a_restart_and_cancelled(tmp_path: Path) -> None:
    async with supervisor(tmp_path, debug={"level": "debug"}) as (program, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            answers: dict[str, Any] = {}

            async def hold_by_rest() -> None:
                answer = await front.call(clients.rest, "hold")
                answers["rest"] = (answer.status_code, answer.json()["error"]["code"])

            async def hold_by_streamable() -> None:
                async with clients.streamable.streaming(call(9, "hold")) as events:
                    error = (await events.message())["error"]
                    answers["streamable"] = (error["code"], error["data"]["code"])

            async def listen() -> None:
                async with clients.streamable.listening() as events:
                    answers["standing"] = await events.at_end()

            async with anyio.create_task_group() as tasks:
                for ask in (hold_by_rest, hold_by_streamable, listen):
                    tasks.start_soon(ask)
                await program.said("holding", times=2)
                await stop(front, signal.SIGTERM)
            assert front.process.returncode == 0
            assert answers == {
                "rest": (503, Reason.GATEWAY_RESTARTED),
                "streamable": (-32000, Reason.GATEWAY_RESTARTED),
                "standing": True,
            }
        async with gateway(path) as front:
            assert await clients.ask(front, "held") == [{"held": 0, "cancelled": 1}] * 2
            await clients.find_all_as_it_was(front)


async def test_a_call_that_ends_soon_is_answered_before_a_restart(tmp_path: Path) -> None:
    async with supervisor(tmp_path, debug={"level": "debug"}) as (program, path), gateway(path) as front:
        clients = await Clients(front.http).open(front)
        answers: list[Any] = []
        async with connections(front.url) as http:
            assert (await http.get("/health")).status_code == 200  # a connection from before the signal

            async def hold() -> None:
                answers.append(await front.text(clients.rest, "hold", text="waited for"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hold)
                await program.said("holding")
                front.process.send_signal(signal.SIGTERM)
                params = {"sessionId": clients.rest}
                answer = await http.post("/api/light/release", params=params, json={})
                assert said({"result": answer.json()}) == 1
        assert answers == ["waited for"]


async def test_what_nobody_comes_back_for_is_ended_when_the_grace_is_over(tmp_path: Path) -> None:
    # The idle clock stands still meanwhile, so that is not why.
    servers = {"light": light(idle_timeout="100ms")}
    async with supervisor(tmp_path, servers, reattach_grace="500ms") as (program, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            with watching(*(each["pid"] for each in clients.who)) as processes:
                await stop(front, signal.SIGKILL)
                await program.said("2 children wait 0.5 s for another")
                for process in processes:
                    await process.ended()
        await program.said("no gateway came back within 0.5 s; ending 2 children")
        await program.said("is gone: gateway_lost", times=2)
        assert open_files(program.process.pid) < 30
        async with gateway(path) as front:
            clients.streamable.http = front.http
            assert (await clients.streamable.post(request(1, "ping"))).status_code == 404
            assert (await front.call(clients.rest, "notes")).status_code == 404


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
async def test_a_session_whose_stream_is_the_session_ends_with_its_gateway(tmp_path: Path, end: signal.Signals) -> None:
    async with supervisor(tmp_path) as (program, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            with suppress(httpx2.RemoteProtocolError):  # which is how the stream ends in a crash
                async with sse(front.http) as session:
                    pid = said(await session.ask(call(1, "whoami")))["pid"]
                    with watching(pid) as [process]:
                        await stop(front, end)
                        await process.ended()
                    assert await session.events.at_end()
        await program.said("is gone: (gateway_lost|shutdown|client_gone)")
        async with gateway(path) as front:
            await clients.find_all_as_it_was(front)
            assert (await front.health())["sessions"] == 2


async def test_a_session_stays_its_owners(tmp_path: Path) -> None:
    users = [{"username": name, "password": f"{name}-has-a-password"} for name in ("alice", "bob")]
    async with supervisor(tmp_path, auth={"basic": {"enabled": True, "credentials": users}}) as (program, path):
        alice, bob = [httpx2.BasicAuth(each["username"], each["password"]) for each in users]
        async with gateway(path) as front:
            front.http.auth = alice
            clients = await Clients(front.http).open(front)
            await stop(front, signal.SIGKILL)
        async with gateway(path) as front:
            front.http.auth = bob
            clients.streamable.http = front.http
            assert (await clients.streamable.post(request(1, "ping"))).status_code == 404
            assert (await front.call(clients.rest, "notes")).status_code == 404
            front.http.auth = alice
            await clients.find_all_as_it_was(front)
        for secret in (clients.rest, clients.streamable.headers["Mcp-Session-Id"]):
            assert secret not in program.log


async def test_a_message_that_was_cut_off_in_the_middle_is_ended(tmp_path: Path) -> None:
    servers = {"light": light("--lenient")}
    async with supervisor(tmp_path, servers, debug={"level": "debug"}) as (program, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            pid = clients.who[1]["pid"]

            async def call_in_vain() -> None:
                with pytest.raises(httpx2.TransportError):
                    await front.call(clients.rest, "echo", text="x" * 1_000_000)

            async with anyio.create_task_group() as tasks:
                os.kill(pid, signal.SIGSTOP)
                tasks.start_soon(call_in_vain)
                await _unread(pid, 0, at_least=60_000)
                await stop(front, signal.SIGKILL)
                os.kill(pid, signal.SIGCONT)
        async with gateway(path) as front:
            await clients.find_all_as_it_was(front)
            await program.said("that was no message")


async def _unread(pid: int, fd: int, at_least: int) -> None:
    """Wait until so many bytes are in the pipe that `pid` has as `fd`. The kernel tells nobody, so it is asked again."""
    pipe = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with anyio.fail_after(PATIENCE):
            while int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) < at_least:
                await anyio.lowlevel.checkpoint()
    finally:
        os.close(pipe)


async def test_a_child_that_writes_while_nobody_reads_is_read_again(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (_, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            async with clients.streamable.streaming(call(5, "flood", lines=100_000)) as events:
                await events.message()  # no more is read of it, so that it cannot end before the gateway does
                front.process.send_signal(signal.SIGSTOP)
                await _unread(clients.who[0]["pid"], 1, at_least=40_000)
                await stop(front, signal.SIGKILL)
        async with gateway(path) as front:
            # What it still logs goes to whoever asks it next.
            clients.streamable.http = front.http
            async with clients.streamable.streaming(call(6, "notes")) as events:
                while "result" not in (message := await events.message()):
                    assert message["method"] == "notifications/message"
                assert said(message) == ["by streamable"]
            await clients.find_all_as_it_was(front)
            assert not any("wrote what is no message" in line for line in front.lines)


async def test_a_hundred_sessions_come_back(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (_, path):
        async with gateway(path) as front, connections(front.url) as http:
            sessions = [await Streamable(http).open() for _ in range(100)]
            pids = [(await each.call(1, "whoami"))["pid"] for each in sessions]
            await stop(front, signal.SIGKILL)
        async with gateway(path) as front, connections(front.url) as http:
            await front.said("went on with 100 of 100 sessions")
            found: dict[int, int] = {}

            async def ask(number: int) -> None:
                sessions[number].http = http
                found[number] = (await sessions[number].call(2, "whoami"))["pid"]

            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(ask, number)
            assert [found[number] for number in range(100)] == pids


_PIDFD_GETFD = 438


@contextmanager
def _sockets_of(pid: int) -> Iterator[list[socket.socket]]:
    """Duplicates of the Unix sockets of a process: pidfd_getfd(2)."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    pidfd = os.pidfd_open(pid)
    found = []
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if str(link.readlink()).startswith("socket:"):
                fd = syscall(_PIDFD_GETFD, pidfd, int(link.name), 0)
                assert fd >= 0, os.strerror(ctypes.get_errno())
                found.append(socket.socket(fileno=fd))
        yield [each for each in found if each.family == socket.AF_UNIX]
    finally:
        os.close(pidfd)
        for each in found:
            each.close()


async def test_a_gateway_that_hangs_without_its_connection_is_killed_before_another_goes_on(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path), gateway(path) as hung:
        clients = await Clients(hung.http).open(hung)
        hung.process.send_signal(signal.SIGSTOP)
        with _sockets_of(hung.process.pid) as sockets:
            [control] = [each for each in sockets if each.getpeername() == str(path)]
            control.shutdown(socket.SHUT_RDWR)
        await program.said("the gateway is gone without a word; 2 children wait")
        async with gateway(path) as front:
            with anyio.fail_after(PATIENCE):
                assert await hung.process.wait() == -signal.SIGKILL
            await clients.find_all_as_it_was(front)


async def test_a_supervisor_that_is_killed_while_it_waits_takes_the_children_with_it(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path), gateway(path) as front:
        clients = await Clients(front.http).open(front)
        with watching(*(each["pid"] for each in clients.who)) as processes:
            await stop(front, signal.SIGKILL)
            await program.said("2 children wait")
            await stop(program, signal.SIGKILL)
            for process in processes:
                await process.ended()


async def test_a_supervisor_that_is_stopped_while_it_waits_ends_everything(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path), gateway(path) as front:
        await Clients(front.http).open(front)
        await stop(front, signal.SIGKILL)
        await program.said("2 children wait")
        await stop(program, signal.SIGTERM)
        assert program.process.returncode == 0
        await program.said("is gone: shutdown", times=2)


async def test_a_gateway_of_another_version_is_told_so_and_costs_nobody_anything(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            await stop(front, signal.SIGTERM)
        async with await anyio.connect_unix(path) as stream:
            await stream.send(encode(Hello(PROTOCOL + 1)))
            told = decode_from_supervisor((await stream.receive())[5:])
            assert told == Welcome(PROTOCOL, msgspec.Raw(b"null"))
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        await program.said(f"it speaks version {PROTOCOL + 1}, this is version {PROTOCOL}; restart both")
        async with gateway(path) as front:
            await clients.find_all_as_it_was(front)


async def test_a_new_address_is_taken_where_the_old_one_is_no_longer_wanted(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (_, path):
        async with gateway(path) as front:
            url = front.url
            clients = await Clients(front.http).open(front)
            await stop(front, signal.SIGTERM)
        async with gateway(path, "--hostname", "127.0.0.2") as front:
            assert front.url != url
            await front.said("the address has changed")
            with pytest.raises(httpx2.ConnectError):
                async with connections(url) as http:
                    await http.get("/health")
            await clients.find_all_as_it_was(front)


async def test_a_child_that_dies_while_there_is_no_gateway_is_not_replaced_unsaid(tmp_path: Path) -> None:
    servers = {"light": light(), "other": light()}
    async with supervisor(tmp_path, servers) as (program, path):
        async with gateway(path) as front:
            clients = await Clients(front.http).open(front)
            assert await front.text(clients.rest, "add", "other", text="by another") == 1
            await stop(front, signal.SIGKILL)
        await program.said("3 children wait")
        for each in clients.who:
            os.kill(each["pid"], signal.SIGKILL)
        await program.said("is gone: child_exited", times=2)
        async with gateway(path) as front:
            clients.streamable.http = front.http
            lost = [await clients.streamable.post(request(1, "ping")), await front.call(clients.rest, "notes")]
            assert [each.status_code for each in lost] == [404, 404]
            assert all(Reason.CHILD_EXITED in each.text for each in lost)
            assert await front.text(clients.rest, "notes", "other") == ["by another"]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
async def test_what_the_child_had_asked_is_declined_when_the_gateway_is_another(
    tmp_path: Path, end: signal.Signals
) -> None:
    async with supervisor(tmp_path, drain_timeout="300ms") as (program, path):
        async with gateway(path) as front:
            session = await Streamable(front.http).open()
            async with session.streaming(call(1, "wonder", id="w7")) as events:
                assert (await events.message())["id"] == "w7"
                assert said(await events.message()) == "asked"
            id_ = await front.session_id()
            asked = await front.call(id_, "ask", method="elicitation/create")
            await stop(front, end)
        async with gateway(path) as front:
            await program.said("stderr: answered: .*" + ("restarted" if end is signal.SIGKILL else "cannot be asked"))
            way = asked.json()["error"]["about"]["answer"]["path"]
            gone = await front.http.post(way, json={"action": "decline"})
            assert (gone.status_code, gone.json()["error"]["code"]) == (404, "question_not_found")
            assert await front.text(id_, "held") == {"held": 0, "cancelled": 1}
