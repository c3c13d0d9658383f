"""Nothing of a session outlives it: a wrapper, the server, and a helper that ignores SIGTERM in a session of its own."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import psutil
import pytest

from tests.support.gateway import GATEWAY, LIGHT, WRAPPED, Gateway, light, programs, running, write_config
from tests.support.processes import PATIENCE, Watched, watching
from tests.support.rawmcp import Streamable, call, said, sse

pytestmark = pytest.mark.slow

GRACES = {"stop_grace": "100ms", "terminate_grace": "200ms"}


async def open_tree(session: Streamable) -> list[int]:
    """The pids of a session's wrapper, server and helper."""
    whoami = await session.call("w", "whoami")
    helper = await session.call("h", "helper")
    return [whoami["ppid"], whoami["pid"], helper]


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway for those who do it no harm."""
    async with running({"light": {**WRAPPED, **GRACES}}, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@asynccontextmanager
async def three_trees_at(gateway: Gateway) -> AsyncIterator[tuple[list[Streamable], list[Watched]]]:
    """Three sessions at a gateway that has no others, each a tree of three, and all nine processes."""
    sessions = [await Streamable(gateway.http).open() for _ in range(3)]
    pids = [pid for session in sessions for pid in await open_tree(session)]
    assert len(set(pids)) == 9
    assert gateway.children() >= set(pids)
    with watching(*pids) as processes:
        yield sessions, processes


@asynccontextmanager
async def three_trees(tmp_path: Path) -> AsyncIterator[tuple[Gateway, list[Watched]]]:
    """The same at a gateway that is ended."""
    async with (
        running({"light": {**WRAPPED, **GRACES}}, tmp_path=tmp_path) as gateway,
        three_trees_at(gateway) as (_, processes),
    ):
        yield gateway, processes


async def test_after_delete_nothing_is_left(one_gateway: Gateway) -> None:
    async with three_trees_at(one_gateway) as (sessions, processes):
        await _end(sessions)
        for process in processes:
            await process.ended()
        await one_gateway.gone(3)
        assert one_gateway.children() == set()


async def test_one_sessions_end_is_nobody_elses(one_gateway: Gateway) -> None:
    async with three_trees_at(one_gateway) as (sessions, processes):
        await sessions[0].delete()
        for process in processes[:3]:
            await process.ended()
        await one_gateway.gone(1)
        left = one_gateway.children()
        assert left.isdisjoint(process.pid for process in processes[:3])
        assert left.issuperset(process.pid for process in processes[3:])
        assert await sessions[1].call(1, "echo", text="on") == "on"
        await _end(sessions[1:])


async def test_after_the_client_vanished_nothing_is_left(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        whoami = said(await session.ask(call(1, "whoami")))
        helper = said(await session.ask(call(2, "helper")))
        with watching(whoami["ppid"], whoami["pid"], helper) as processes:
            await session.events.response.aclose()
            for process in processes:
                await process.ended()
    await one_gateway.gone(1)


async def test_after_the_server_died_its_helper_goes_too(one_gateway: Gateway) -> None:
    async with three_trees_at(one_gateway) as (sessions, processes):
        await sessions[0].post(call(1, "die", code=1))
        for process in processes[:3]:
            await process.ended()
        await one_gateway.gone(1)
        await _end(sessions[1:])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_launcher_ends_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async with three_trees(tmp_path) as (gateway, processes):
        gateway.process.send_signal(number)
        gateway.process.send_signal(number)  # as timeout(1) does: once to the process, once to its group
        assert await gateway.process.wait() == 0
        for process in processes:
            await process.ended()
        await gateway.said("is gone: shutdown", times=3)


async def test_without_a_terminal_a_hang_up_is_a_reload(one_gateway: Gateway) -> None:
    async with three_trees_at(one_gateway) as (sessions, _):
        one_gateway.process.send_signal(signal.SIGHUP)
        await one_gateway.said("the configuration was read again; servers: as before")
        assert len(one_gateway.children()) >= 3
        await _end(sessions)


async def test_the_end_of_the_terminal_is_the_end(tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", {"servers": {"light": LIGHT}})
    terminal, inside = os.openpty()
    command = f"exec setsid --ctty {GATEWAY} serve --config {path} --port 0 <{os.ttyname(inside)}"
    async with programs(["sh", "-c", command]) as gateway:
        await gateway.said("listening on")
        os.close(inside)
        os.close(terminal)
        assert await gateway.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("program", ["gateway", "supervisor"])
async def test_a_signal_to_either_program_ends_everything(tmp_path: Path, program: str, number: signal.Signals) -> None:
    async with three_trees(tmp_path) as (gateway, processes):
        os.kill(gateway.program(program), number)
        for process in processes:
            await process.ended()
        status = await gateway.process.wait()
        assert (status == 0) == (number is signal.SIGTERM and program == "gateway")


async def test_after_the_launcher_was_killed_the_programs_end_too(tmp_path: Path) -> None:
    async with three_trees(tmp_path) as (gateway, processes):
        programs = [gateway.program("gateway"), gateway.program("supervisor")]
        with watching(*programs) as both:
            gateway.process.kill()
            for process in [*processes, *both]:
                await process.ended()


async def test_a_second_signal_is_impatient(tmp_path: Path) -> None:
    async with running({"light": light(stop_grace="1h", terminate_grace="1h")}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        await session.call(1, "deaf")
        pid = (await session.call(2, "whoami"))["pid"]
        with watching(pid) as [server]:
            gateway.process.send_signal(signal.SIGINT)
            await gateway.said("gateway session .* ended: shutdown")
            with watching(gateway.program("supervisor")) as [supervisor]:
                # The gateway may still be leaving; each further signal takes away one more program's patience.
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(_insist, gateway)
                        await supervisor.ended()
                        scope.cancel()
            await server.ended()
            await gateway.process.wait()


async def test_a_client_that_does_not_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        await gateway.call(id_, "whoami")
        url = httpx2.URL(gateway.url)
        assert url.port is not None
        async with await anyio.connect_tcp(url.host, url.port) as connection:
            body = b'{"bytes":15000000}'
            head = f"POST /api/light/big?sessionId={id_} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            await connection.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            with anyio.fail_after(PATIENCE):
                assert (await connection.receive(1)) == b"H"  # and no more of its 15 MB
            gateway.process.send_signal(signal.SIGTERM)
            assert await gateway.process.wait() == 0  # 1 where the launcher had to kill it


async def _insist(gateway: Gateway) -> None:
    """Press Ctrl-C until it helps."""
    while gateway.process.returncode is None:
        gateway.process.send_signal(signal.SIGINT)
        await anyio.wait_all_tasks_blocked()
        await anyio.lowlevel.checkpoint()


async def test_an_idle_session_is_ended_and_its_id_says_why(tmp_path: Path) -> None:
    async with running({"light": light(idle_timeout="1500ms")}, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        pid = (await gateway.text(id_, "whoami"))["pid"]
        with watching(pid) as [server]:
            await server.ended()
        await gateway.said("is gone: idle_timeout")
        answer = await gateway.call(id_, "whoami")
        about = answer.json()["error"]["about"]
        assert (about["reason"], about["server"]) == ("idle_timeout", "light")
        assert (await gateway.http.get(f"/api/certificates/{about['certificate']}")).json()["reason"] == "idle_timeout"


async def test_a_session_in_use_is_not_idle(tmp_path: Path) -> None:
    async with running(
        {"light": light(idle_timeout="300ms"), "other": light(idle_timeout="300ms")}, tmp_path=tmp_path
    ) as gateway:
        holding = await Streamable(gateway.http).open()
        async with sse(gateway.http, "/light/sse") as streaming, holding.streaming(call(1, "hold")) as waiting:
            # A third session, which nobody holds, is the clock: it is idle for several idle timeouts of the others.
            for _ in range(2):
                id_ = await gateway.session_id()
                with watching((await gateway.text(id_, "whoami", "other"))["pid"]) as [clock]:
                    await clock.ended()
            assert said(await streaming.ask(call(1, "echo", text="on"))) == "on"
            assert await holding.call(2, "release") == 1
            assert said(await waiting.message()) == ""


async def test_a_lifetime_is_over_whatever_happens(tmp_path: Path) -> None:
    async with running({"light": light(max_lifetime="500ms")}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        answer = await session.post(call(1, "hold"))
        assert answer.json()["error"]["data"]["code"] == "max_lifetime"
        assert (await session.post(call(2, "echo"))).status_code == 404
        await gateway.gone(1)


async def test_a_child_that_ignores_the_end_of_its_input_is_terminated_and_then_killed(tmp_path: Path) -> None:
    async with running({"light": light(stop_grace="50ms", terminate_grace="50ms")}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        await session.call(1, "deaf")
        await session.delete()
        await gateway.said("is gone: client_closed, signal 9")


async def test_zombies_are_reaped(one_gateway: Gateway) -> None:
    async with three_trees_at(one_gateway) as (sessions, _):
        await _end(sessions)
        await one_gateway.gone(3)
        assert psutil.Process(one_gateway.program("supervisor")).children(recursive=True) == []


async def _end(sessions: list[Streamable]) -> None:
    for session in sessions:
        await session.delete()
