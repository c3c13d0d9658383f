"""Word to the service manager."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from common.notify import READY, keep_telling, notify, reloading, status, watchdog_interval


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The manager's socket, and what NOTIFY_SOCKET says of it."""
    named = str(tmp_path / "notify") if request.param == "file" else f"@{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(named.replace("@", "\0"))
        receiver.settimeout(10)
        yield receiver, named


def test_all_lines_go_out_in_one_datagram(manager: tuple[socket.socket, str]) -> None:
    receiver, named = manager
    assert notify(READY, status("two\nlines"), environ={"NOTIFY_SOCKET": named})
    assert receiver.recv(4096) == b"READY=1\nSTATUS=two lines"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_manager_nothing_is_said(environ: dict[str, str]) -> None:
    assert not notify(READY, environ=environ)


def test_a_manager_that_is_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    assert not notify(READY, environ={"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_a_reload_bears_its_time() -> None:
    first, (_, time) = reloading(), reloading()
    assert first[0] == "RELOADING=1"
    assert int(time.removeprefix("MONOTONIC_USEC=")) >= int(first[1].removeprefix("MONOTONIC_USEC="))


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(environ: dict[str, str], interval: float | None) -> None:
    assert watchdog_interval(environ, 7) == interval


async def test_the_watchdog_is_fed_while_all_is_well_and_a_status_is_told_once(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, named = manager
    monkeypatch.setenv("NOTIFY_SOCKET", named)
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    looks = iter(["fine", None, "fine", "finer"])
    done = anyio.Event()

    async def look() -> str | None:
        try:
            return next(looks)
        except StopIteration:
            done.set()
            return None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_telling, look)
        with anyio.fail_after(10):
            await done.wait()
        tasks.cancel_scope.cancel()
    told = [receiver.recv(4096) for _ in range(3)]
    assert told == [b"WATCHDOG=1\nSTATUS=fine", b"WATCHDOG=1", b"WATCHDOG=1\nSTATUS=finer"]
