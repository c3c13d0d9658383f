"""The two programs apart, with the control socket between them."""

import os
import signal
import socket
import stat
import sys
from pathlib import Path

import anyio
import pytest

from supervisor.client import connect
from supervisor.protocol import PROTOCOL, Goodbye, Hello, Open, encode
from tests.support.apart import gateway, supervisor
from tests.support.gateway import LIGHT, QUICK, programs, write_config
from tests.support.processes import watching

pytestmark = pytest.mark.slow


async def test_the_socket_is_for_ones_own_user_alone(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (_, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_gateway_that_comes_back_is_served_again(tmp_path: Path) -> None:
    async with supervisor(tmp_path, reattach_grace="1ms") as (program, path):
        for _ in range(2):
            async with gateway(path) as front:
                assert await front.text(await front.session_id(), "echo", text="here") == "here"
        await program.said("is gone: shutdown", times=2)


async def test_a_gateway_that_is_killed_loses_its_children_and_nothing_else(tmp_path: Path) -> None:
    async with supervisor(tmp_path, reattach_grace="1ms") as (program, path):
        async with gateway(path) as front:
            id_ = await front.session_id()
            pids = [(await front.text(id_, "whoami"))["pid"], await front.text(id_, "helper")]
            with watching(*pids) as processes:
                front.process.kill()
                for process in processes:
                    await process.ended()
        await program.said("the gateway is gone without a word")
        await program.said("is gone: gateway_lost")
        async with gateway(path) as front:
            assert (await front.health())["children"] == {"running": 0, "ending": 0, "waiting": 0}


async def test_a_second_gateway_is_hung_up_on(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path), gateway(path) as front:
        async with programs([sys.executable, "-m", "gateway", "--socket", str(path)]) as second:
            assert await second.process.wait() == 1
            await second.said("Perhaps another gateway is connected")
        await program.said("a second gateway connected")
        assert (await front.health())["status"] == "ok"


async def test_a_supervisor_that_is_killed_takes_its_gateway_with_it(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path), gateway(path) as front:
        id_ = await front.session_id()
        pid = (await front.text(id_, "whoami"))["pid"]
        with watching(pid) as [server]:
            program.process.kill()
            await server.ended()
        assert await front.process.wait() == 1
        await front.said("the supervisor is gone")


LIES = [
    b"\x00",
    b"\xff" * 100,
    encode(Hello(PROTOCOL))[:-1] + b"!",
    encode(Hello(PROTOCOL + 1)),
    encode(Open(1, "light", "x")),
    encode(Hello(PROTOCOL)) + b"\x00\x00\x00\x02\x00[]",
    encode(Hello(PROTOCOL)) + encode(Goodbye(), 2),
]


async def test_who_lies_on_the_socket_is_hung_up_on(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path):
        for lie in LIES:
            await program.quiet()
            async with await anyio.connect_unix(path) as stream:
                await stream.send(lie)
                await stream.send_eof()
                with anyio.fail_after(30):
                    try:
                        while await stream.receive():
                            pass
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        await program.said("without a word|without a greeting")
            async with connect(await anyio.connect_unix(path)) as honest:
                assert (await honest.ask()).running == 0
        async with gateway(path) as front:
            assert (await front.health())["status"] == "ok"


async def test_a_child_asked_for_by_a_gateway_that_does_not_stay_is_ended(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path):
        async with await anyio.connect_unix(path) as stream:
            await stream.send(encode(Hello(PROTOCOL)) + b"".join(encode(Open(ref, "light", "x")) for ref in range(5)))
        await program.said("is gone: gateway_lost|is gone: child_exited", times=5)


async def test_a_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    await _fails(tmp_path, "is open to others; expected a directory of your own with mode 0700")


async def test_a_second_supervisor_is_refused(tmp_path: Path) -> None:
    async with supervisor(tmp_path):
        await _fails(tmp_path, "another supervisor already answers at ")


async def test_a_socket_that_a_dead_supervisor_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "run" / "control.sock"))
    async with supervisor(tmp_path) as (_, path), gateway(path) as front:
        assert (await front.health())["status"] == "ok"


async def _fails(tmp_path: Path, text: str) -> None:
    config = write_config(tmp_path / "second.yaml", {**QUICK, "servers": {"light": LIGHT}})
    path = tmp_path / "run" / "control.sock"
    command = [sys.executable, "-m", "supervisor", "--config", str(config), "--socket", str(path)]
    async with programs(command) as program:
        assert await program.process.wait() == 1
        await program.said(text)


async def test_a_supervisor_told_to_stop_ends_everything(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as (program, path), gateway(path) as front:
        pid = (await front.text(await front.session_id(), "whoami"))["pid"]
        with watching(pid) as [server]:
            os.kill(program.process.pid, signal.SIGTERM)
            await server.ended()
        assert await program.process.wait() == 0
        assert await front.process.wait() == 1
