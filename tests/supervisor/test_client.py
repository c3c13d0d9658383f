"""The gateway's end of the control socket, with the test as the supervisor at the other end."""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
import pytest

from common.reasons import Reason
from supervisor import client as client_module
from supervisor.client import Grant, Inherited, SupervisorLost, connect
from supervisor.linux import peer_pidfd
from supervisor.protocol import (
    MAX_FRAME,
    PROTOCOL,
    Certificate,
    Ending,
    Entrust,
    Exit,
    FromSupervisor,
    Gone,
    Goodbye,
    Hello,
    Kept,
    Lapsed,
    Open,
    Opened,
    ProtocolError,
    Settings,
    Welcome,
    encode,
)
from tests.support.control import connected, playing_supervisor
from tests.support.processes import open_files

SETTINGS = msgspec.Raw(b"{}")


async def test_a_gateway_inherits_what_there_is() -> None:
    greeting: list[tuple[FromSupervisor, int]] = [
        (Welcome(PROTOCOL, SETTINGS, 3, keeps=True, kept=3, heirlooms=("hot_state", "listener")), 2),
        (Kept(4, 1234, "light", "state", 1.5), 2),
        (Lapsed(5, "light", "state", Reason.CHILD_EXITED), 0),
        (Kept(6, 1235, "other", "state", 2.5), 2),
        (Ending(6, Reason.MAX_LIFETIME), 0),
    ]
    async with connected(*greeting) as (_, client):
        endings: list[Ending] = []
        client.on_ending = endings.append
        assert (client.epoch, client.keeps) == (3, True)
        first, second = client.inheritance.children
        assert (first.lease, first.grant.pid, first.server, first.state, first.age) == (4, 1234, "light", "state", 1.5)
        assert second.lease == 6
        assert "state" not in repr(first)
        assert client.inheritance.lapsed == [greeting[2][0]]
        assert set(client.inheritance.heirlooms) == {"hot_state", "listener"}
        fds = [*client.inheritance.heirlooms.values(), first.grant.stdin, first.grant.stdout]
        assert not any(os.get_inheritable(fd) for fd in fds)
        while not endings:
            await anyio.lowlevel.checkpoint()
        assert endings == [Ending(6, Reason.MAX_LIFETIME)]
    # What nobody took was closed: see the fixture that looks for leaks.


async def test_what_was_taken_is_not_closed() -> None:
    async with connected((Welcome(PROTOCOL, SETTINGS, heirlooms=("listener",)), 1)) as (_, client):
        fd = client.inheritance.heirlooms.pop("listener")
    os.close(fd)


async def test_a_gateway_leaves_something_and_says_that_another_comes() -> None:
    async with connected((Welcome(PROTOCOL, SETTINGS, keeps=True), 0)) as (other, client):
        client.entrust("listener", 0)
    assert other.heard == [(Hello(PROTOCOL), 0), (Entrust("listener"), 1), (Goodbye(stay=True), 0)]


async def test_a_gateway_that_nobody_comes_after_says_so() -> None:
    async with connected((Welcome(PROTOCOL, SETTINGS), 0)) as (other, _):
        pass
    assert other.heard == [(Hello(PROTOCOL), 0), (Goodbye(stay=False), 0)]


async def test_what_is_left_when_the_supervisor_has_gone_is_closed() -> None:
    async with connected((Welcome(PROTOCOL, SETTINGS, keeps=True), 0)) as (other, client):
        await other.hang_up()
        await client.lost.wait()
        client.entrust("listener", 0)


@pytest.mark.parametrize(
    "greeting",
    [
        [(Welcome(PROTOCOL + 1, SETTINGS), 0)],
        [(Ending(1, Reason.SHUTDOWN), 0)],
        [(Opened(1, 2, 3), 2)],
        [(Welcome(PROTOCOL, SETTINGS, heirlooms=("listener",)), 0)],
        [(Welcome(PROTOCOL, SETTINGS, heirlooms=("listener", "hot_state")), 1)],
        [(Welcome(PROTOCOL, SETTINGS, heirlooms=("listener", "listener")), 2)],
        [(Welcome(PROTOCOL, SETTINGS), 2)],
        [(Welcome(PROTOCOL, SETTINGS, kept=2), 0), (Kept(4, 1, "light", "", 0), 2), (Kept(5, 1, "light", "", 0), 1)],
        [(Welcome(PROTOCOL, SETTINGS, kept=1), 0), (Lapsed(4, "light", "", Reason.SHUTDOWN), 1)],
        [(Welcome(PROTOCOL, SETTINGS, kept=1), 0), (Welcome(PROTOCOL, SETTINGS), 0)],
    ],
)
async def test_a_greeting_that_is_none_is_refused_and_nothing_leaks(greeting: list[tuple[FromSupervisor, int]]) -> None:
    async with playing_supervisor() as (other, stream):
        for message, fds in greeting:
            await other.says(message, fds)
        with pytest.raises(ProtocolError):
            await connect(stream).__aenter__()


async def test_a_supervisor_that_hangs_up_in_the_middle_of_its_greeting_is_lost() -> None:
    async with playing_supervisor() as (other, stream):
        await other.says(Welcome(PROTOCOL, SETTINGS, kept=2))
        await other.says(Kept(4, 1, "light", "", 0), 2)
        await other.hang_up()
        with pytest.raises(SupervisorLost):
            await connect(stream).__aenter__()


async def test_a_second_greeting_is_no_message() -> None:
    async def greet_twice() -> None:
        async with playing_supervisor() as (other, stream):
            await other.says(Welcome(PROTOCOL, SETTINGS))
            async with connect(stream) as client:
                await other.says(Welcome(PROTOCOL, SETTINGS))
                await client.lost.wait()

    with pytest.raises(BaseExceptionGroup) as error:
        await greet_twice()
    assert error.group_contains(ProtocolError)


async def test_a_supervisor_that_reads_nothing_keeps_no_gateway_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway waited for a message that was under way, until somebody killed it."""
    monkeypatch.setattr(client_module, "LEAVE_TIMEOUT", 0.01)
    async with playing_supervisor() as (other, stream):
        await other.says(Welcome(PROTOCOL, SETTINGS))
        async with connect(stream) as client:
            client.keep(1, "x" * (MAX_FRAME - 100))
            client.entrust("listener", 0)


async def test_a_supervisor_that_closes_its_ears_is_lost() -> None:
    """Its answers were waited for for ever."""
    async with playing_supervisor() as (other, stream):
        await other.says(Welcome(PROTOCOL, SETTINGS))
        async with connect(stream) as client:
            other.closes_its_ears()
            with pytest.raises(SupervisorLost):
                await client.ask()


async def test_the_pipes_of_a_child_that_nobody_waits_for_and_that_has_ended_are_closed() -> None:
    """They stayed open until the connection ended."""
    async with connected((Welcome(PROTOCOL, SETTINGS), 0)) as (other, client):
        opening = asyncio.create_task(client.open("light", "test"))
        while len(other.heard) < 2:
            await anyio.lowlevel.checkpoint()
        before = open_files(os.getpid())
        # With the last news the opener gives up; all comes at once, so it has not gone on yet.
        client.on_settings = lambda _: [opening.cancel()].clear()
        news = encode(Ending(7, Reason.CHILD_EXITED)) + encode(Settings(SETTINGS))
        await other.says_in_two_parts(Opened(1, 7, 1234), 2, news)
        with suppress(asyncio.CancelledError):
            await opening
        assert opening.cancelled()
        assert open_files(os.getpid()) == before


async def test_descriptors_come_with_a_child_alone() -> None:
    """They were left open."""

    async def give_too_many() -> None:
        async with playing_supervisor() as (other, stream):
            await other.says(Welcome(PROTOCOL, SETTINGS))
            async with connect(stream) as client:
                await other.says(Ending(1, Reason.SHUTDOWN), 2)
                await client.lost.wait()

    with pytest.raises(BaseExceptionGroup) as error:
        await give_too_many()
    assert error.group_contains(ProtocolError)


def test_what_was_inherited_shows_no_secret() -> None:
    assert "secret" not in repr(Inherited(Grant(1, 2, 3, 4), "light", "secret", 1.0))


# Who is at the other end.


def test_the_process_at_the_other_end_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pidfd = peer_pidfd(ours)
        assert pidfd is not None
        assert f"Pid:\t{os.getpid()}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
        os.close(pidfd)


class Kernel:
    """A connected socket as older and other kernels have it."""

    def __init__(self, answers: list[object]) -> None:
        self._answers = answers

    def getsockopt(self, *_: int) -> object:
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


NO_SUCH_OPTION = OSError(92, "Protocol not available")


@pytest.mark.parametrize(
    ("answers", "known"),
    [
        ([NO_SUCH_OPTION, os.getpid()], True),
        ([NO_SUCH_OPTION, 0], False),  # of another PID namespace
        ([NO_SUCH_OPTION, 1 << 30], False),  # no more
        ([OSError(3, "No such process")], False),
    ],
)
def test_on_an_older_kernel_the_process_is_found_by_its_pid(answers: list[object], known: bool) -> None:
    credentials = [each.to_bytes(4, "little") + bytes(8) if isinstance(each, int) else each for each in answers]
    pidfd = peer_pidfd(Kernel(credentials))  # type: ignore[arg-type]
    assert (pidfd is not None) == known
    if pidfd is not None:
        os.close(pidfd)


async def test_news_of_a_child_reach_nobody_before_the_child_does() -> None:
    certificate = Certificate("c1", "light", Reason.CHILD_EXITED, Exit(3))
    ending, gone = Ending(2, Reason.CHILD_EXITED, Exit(3), "c1"), Gone(2, certificate)
    async with connected((Welcome(PROTOCOL, SETTINGS), 0)) as (other, client), anyio.create_task_group() as tasks:
        heard: list[object] = []
        client.on_ending = client.on_gone = heard.append

        async def open_child() -> None:
            grant = await client.open("light", "label")
            heard.append(grant.lease)
            client.release(grant.lease, Reason.CLIENT_GONE, (grant.stdin, grant.stdout))

        tasks.start_soon(open_child)
        while not any(isinstance(message, Open) for message, _ in other.heard):
            await anyio.lowlevel.checkpoint()
        await other.says_at_once((Opened(1, 2, 3), 2), (ending, 0), (gone, 0))
        while len(heard) < 3:
            await anyio.lowlevel.checkpoint()
        assert heard == [2, ending, gone]


async def test_a_child_that_died_before_its_opener_gave_up_costs_no_descriptor() -> None:
    ending = Ending(2, Reason.CHILD_EXITED, Exit(3), "c1")
    async with connected((Welcome(PROTOCOL, SETTINGS), 0)) as (other, client):
        opening = asyncio.ensure_future(client.open("light", "label"))
        while not any(isinstance(message, Open) for message, _ in other.heard):
            await anyio.lowlevel.checkpoint()
        before = open_files(os.getpid())

        # The framework cancels what serves a client that hangs up, and here it does so in the very moment.
        def cancel(_: bytes) -> None:
            opening.cancel()

        client.on_settings = cancel
        await other.says_at_once((Opened(1, 2, 3), 2), (ending, 0), (Settings(SETTINGS), 0))
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert open_files(os.getpid()) == before
