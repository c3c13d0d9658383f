"""The supervisor's side of the control socket, with real children and a gateway that may lie."""

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

from common.config.model import Graces
from common.reasons import Reason
from supervisor.children import Children, running_children
from supervisor.control import Announcer, SocketError, listen, listening, serve_each, serve_one
from supervisor.custody import Custody
from supervisor.protocol import (
    PROTOCOL,
    Answer,
    Ask,
    Ending,
    Entrust,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Gone,
    Goodbye,
    Hello,
    Keep,
    Open,
    Opened,
    Refused,
    Release,
    Renew,
    Welcome,
    Withdraw,
    decode_from_supervisor,
    encode,
)
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, watching
from tests.support.specs import server_spec, supervisor_settings

CAT = server_spec("cat", command="cat", graces=Graces(stop=5, terminate=5, kill=5))
SETTINGS = supervisor_settings(CAT, max_sessions=1)


class Gateway:
    """Says what it is told to. Owns the descriptors that it gets."""

    def __init__(self, stream: anyio.abc.UNIXSocketStream, children: Children) -> None:
        self.stream = stream
        self.children = children
        self.fds: list[int] = []
        self._reader = FrameReader()
        self._heard: list[FromSupervisor] = []

    async def says(self, *messages: FromGateway) -> None:
        """All of them at once."""
        await self.stream.send(b"".join(map(encode, messages)))

    async def hears(self) -> FromSupervisor:
        """The next message."""
        while not self._heard:
            data, fds = await self.stream.receive_fds(65536, 10)
            self.fds += fds
            for body, own in self._reader.feed(data, fds):
                message = decode_from_supervisor(body)
                assert bool(own) == isinstance(message, Opened)
                self._heard.append(message)
        return self._heard.pop(0)

    async def opens(self) -> Opened:
        """A child."""
        await self.says(Open(1, "cat", "test"))
        opened = await self.hears()
        assert isinstance(opened, Opened)
        return opened

    async def is_hung_up_on(self) -> None:
        """Read to the end, whatever is left."""
        try:
            while True:
                await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return


@asynccontextmanager
async def gateway(*, greets: bool = True) -> AsyncIterator[Gateway]:
    """A gateway that is connected to a supervisor; in the end both have gone, and so has every child."""
    announcer = Announcer()
    with anyio.fail_after(PATIENCE):
        async with (
            grounded(SETTINGS) as (ground, rooms),
            anyio.create_task_group() as tasks,
            running_children(SETTINGS, announcer, ground, rooms) as children,
        ):
            custody = Custody(children, 0, tasks)
            theirs, ours = [await anyio.abc.UNIXSocketStream.from_socket(end) for end in socket.socketpair()]
            async with anyio.create_task_group() as serving, ours:
                serving.start_soon(serve_one, theirs, children, lambda: b"{}", announcer, custody)
                here = Gateway(ours, children)
                if greets:
                    await here.says(Hello(PROTOCOL))
                    assert isinstance(await here.hears(), Welcome)
                yield here
                for fd in here.fds:
                    os.close(fd)
            await children.all_gone()
            custody.close()


async def test_a_child_is_opened_kept_renewed_and_released() -> None:
    async with gateway() as here:
        opened = await here.opens()
        with watching(opened.pid) as [cat]:
            await here.says(Keep(opened.lease, "{}"), Renew((opened.lease, 99)), Ask(2))
            answer = await here.hears()
            assert isinstance(answer, Answer)
            assert (answer.ref, answer.running, answer.ending) == (2, 1, 0)
            await here.says(Release(opened.lease, Reason.CLIENT_CLOSED), Release(99, Reason.CLIENT_CLOSED))
            ending = await here.hears()
            assert isinstance(ending, Ending)
            assert (ending.lease, ending.reason) == (opened.lease, Reason.CLIENT_CLOSED)
            while here.fds:
                os.close(here.fds.pop())
            await cat.ended()
        gone = await here.hears()
        assert isinstance(gone, Gone)
        assert gone.certificate.id == ending.certificate


async def test_what_cannot_be_started_is_refused() -> None:
    async with gateway() as here:
        await here.says(Open(1, "dog", "test"))
        refused = await here.hears()
        assert isinstance(refused, Refused)
        assert (refused.ref, refused.reason) == (1, Reason.SERVER_NOT_FOUND)


async def test_who_withdraws_waits_no_longer_and_nobody_minds_one_who_never_asked() -> None:
    async with gateway() as here:
        await here.opens()
        await here.says(Open(2, "cat", "test"), Ask(3), Withdraw(2), Withdraw(99))
        answer = await here.hears()
        assert isinstance(answer, Answer)
        while answer.waiting:
            await here.says(Ask(4))
            answer = await here.hears()
            assert isinstance(answer, Answer)
        await here.says(Open(2, "cat", "test"), Withdraw(2), Ask(5))
        answer = await here.hears()
        assert isinstance(answer, Answer)


@pytest.mark.parametrize(
    "lie",
    [
        [Open(7, "cat", "test"), Open(7, "cat", "test")],
        [Entrust("listener")],
    ],
)
async def test_who_lies_is_hung_up_on(lie: list[FromGateway]) -> None:
    async with gateway() as here:
        await here.says(*lie)
        await here.is_hung_up_on()


@pytest.mark.parametrize("message", [Ask(1), Entrust("listener")])
async def test_descriptors_come_with_what_they_belong_to_alone(message: FromGateway) -> None:
    async with gateway() as here:
        pair = os.pipe()
        await here.stream.send_fds(encode(message, 2), pair)
        for fd in pair:
            os.close(fd)
        await here.is_hung_up_on()


@pytest.mark.parametrize("first", [Ask(1), Open(1, "cat", "test"), Goodbye()])
async def test_the_first_message_is_a_greeting(first: FromGateway) -> None:
    async with gateway(greets=False) as here:
        await here.says(first)
        await here.is_hung_up_on()


async def test_another_version_is_told_so() -> None:
    async with gateway(greets=False) as here:
        await here.says(Hello(PROTOCOL + 1))
        told = await here.hears()
        assert isinstance(told, Welcome)
        assert told.protocol == PROTOCOL
        await here.is_hung_up_on()


async def test_a_gateway_that_reads_nothing_is_given_up() -> None:
    async with gateway() as here:
        await here.opens()
        question = encode(Ask(1)) * 1000
        try:
            while True:
                await here.stream.send(question)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


async def test_a_gateway_that_leaves_at_once_leaves_nothing() -> None:
    async with gateway() as here:
        await here.says(*[Open(ref, "cat", "test") for ref in range(5)], Ask(9), Goodbye())


async def test_a_gateway_may_be_of_a_user_that_is_named_and_of_no_other() -> None:
    nobody, served = 65534, anyio.Event()

    async def serve(stream: anyio.abc.UNIXSocketStream) -> None:
        served.set()
        await stream.aclose()

    bound = socket.socket(socket.AF_UNIX)
    bound.bind("\0test-" + secrets.token_hex(8))  # an abstract name: nobody but the supervisor looks who comes
    bound.listen()
    connect = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({bound.getsockname()!r}); print(s.recv(1))"
    user = ["setpriv", "--reuid", str(nobody), "--regid", str(nobody), "--clear-groups"]
    with anyio.fail_after(PATIENCE):
        async with (
            grounded(SETTINGS) as (ground, rooms),
            running_children(SETTINGS, Announcer(), ground, rooms) as children,
            anyio.create_task_group() as tasks,
            listening(bound, None) as listener,
        ):
            custody = Custody(children, 0, tasks)
            peers: list[int] = []
            tasks.start_soon(serve_each, listener, serve, custody, peers)
            for expected in (False, True):
                done = await _run_elsewhere([*user, "/usr/bin/python3", "-c", connect])
                assert (done, served.is_set()) == (b"b''\n", expected)
                peers.append(nobody)
            tasks.cancel_scope.cancel()
    custody.close()


async def _run_elsewhere(command: list[str]) -> bytes:
    """What a program prints that is nobody's child here, for the reaper of this process would take its end."""
    output = _start_elsewhere(command)
    await anyio.wait_readable(output)
    said = os.read(output, 100)
    os.close(output)
    return said


def _start_elsewhere(command: list[str]) -> int:
    read, write = os.pipe()
    forking = ["setsid", "--fork", *command]
    os.posix_spawn("/usr/bin/setsid", forking, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
    os.close(write)
    return read


# The socket itself.


def test_what_is_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    path = tmp_path / "run" / "control.sock"
    path.write_text("precious")
    with pytest.raises(SocketError, match="is in the way: it is no socket"):
        listen(path)
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_bound_is_named(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match="cannot be bound"):
        listen(tmp_path / "run" / ("x" * 108))


def test_a_socket_that_cannot_be_asked_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    path = tmp_path / "run" / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(SocketError, match="is in the way: "):
            listen(path)
