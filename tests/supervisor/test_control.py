"""The supervisor's side of the control socket, with real children and a gateway that may lie."""

import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import pytest
from loguru import logger

from common.config.model import Graces
from common.reasons import Reason
from supervisor.children import Children, running_children
from supervisor.control import Announcer, serve_one
from supervisor.custody import Custody, Presence
from supervisor.installation import Installation
from supervisor.listening import listen, listening, serve_each
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
    Hold,
    Keep,
    Lapsed,
    Open,
    Opened,
    Refused,
    Release,
    Renew,
    Unhold,
    Wait,
    Welcome,
    Withdraw,
    decode_from_supervisor,
    encode,
)
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, complaints, descriptors_left, watching
from tests.support.specs import server_spec, supervisor_settings

CAT = server_spec("cat", command="cat", graces=Graces(stop=5, terminate=5, kill=5))
SETTINGS = supervisor_settings(CAT, max_sessions=1)


class Gateway:
    """Says what it is told to. Owns the descriptors that it gets."""

    def __init__(
        self,
        stream: anyio.abc.UNIXSocketStream,
        children: Children,
        another: "Callable[[], Awaitable[Gateway]]",
    ) -> None:
        self.stream = stream
        self.children = children
        self.another = another
        """Connects another one to the same supervisor."""
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
async def gateway(
    *,
    greets: bool = True,
    settings: Callable[[], bytes] = lambda: b"{}",
    grace: float = 0,
    installation: Installation | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway that is connected to a supervisor; in the end both have gone, and so has every child."""
    announcer = Announcer()
    with anyio.fail_after(PATIENCE):
        async with (
            grounded(SETTINGS) as (ground, rooms),
            anyio.create_task_group() as tasks,
            running_children(SETTINGS, announcer, ground, rooms) as children,
        ):
            custody = Custody(children, grace, tasks)
            announcer.on_missed = custody.missed
            async with anyio.create_task_group() as serving, AsyncExitStack() as streams:

                async def connect() -> Gateway:
                    theirs, ours = [await anyio.abc.UNIXSocketStream.from_socket(end) for end in socket.socketpair()]
                    await streams.enter_async_context(ours)
                    serving.start_soon(serve_one, theirs, children, settings, announcer, custody, installation)
                    return Gateway(ours, children, connect)

                here = await connect()
                if greets:
                    await here.says(Hello(PROTOCOL))
                    assert isinstance(await here.hears(), Welcome)
                yield here
                for fd in here.fds:
                    os.close(fd)
            if custody.presence is Presence.ABSENT:
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
            child = here.children.find(opened.lease)
            assert child is not None
            for message, held in ((Hold((opened.lease, 99)), True), (Unhold((opened.lease, 99)), False)):
                used = child.last_used
                await here.says(message, Ask(3))
                await here.hears()
                assert child.held is held
                assert child.last_used > used
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
        [Hello(PROTOCOL)],
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


async def test_of_two_gateways_that_connect_at_once_the_first_to_greet_is_the_one() -> None:
    async with gateway(greets=False) as here:
        slower = await here.another()
        await here.says(Hello(PROTOCOL))
        assert isinstance(await here.hears(), Welcome)
        await slower.says(Hello(PROTOCOL))
        await slower.is_hung_up_on()
        await here.says(Ask(1))
        assert isinstance(await here.hears(), Answer)


async def test_the_next_gateway_is_told_what_ended_while_there_was_none() -> None:
    async with gateway(grace=1000) as here:
        opened = await here.opens()
        await here.says(Keep(opened.lease, "state"), Goodbye(stay=True))
        await here.stream.send_eof()
        await here.is_hung_up_on()
        os.kill(opened.pid, signal.SIGKILL)
        await here.children.all_gone()
        following = await here.another()
        await following.says(Hello(PROTOCOL))
        welcome = await following.hears()
        assert isinstance(welcome, Welcome)
        assert (welcome.epoch, welcome.kept) == (1, 1)
        assert await following.hears() == Lapsed(opened.lease, "cat", "state", Reason.CHILD_EXITED)


async def test_another_version_is_told_so() -> None:
    async with gateway(greets=False) as here:
        await here.says(Hello(PROTOCOL + 1))
        told = await here.hears()
        assert isinstance(told, Welcome)
        assert told.protocol == PROTOCOL
        await here.is_hung_up_on()


async def asks_on(here: Gateway, times: int) -> None:
    """No more than the supervisor may have waiting."""
    for _ in range(times):
        await here.says(Ask(1))
        await anyio.lowlevel.checkpoint()


async def asks_until_it_is_hung_up_on(here: Gateway) -> None:
    """Far more than the supervisor can answer."""
    question = encode(Ask(1)) * 1000
    with suppress(anyio.BrokenResourceError):
        while True:
            await here.stream.send(question)


async def test_a_gateway_that_asks_faster_than_it_can_be_answered_is_given_up_and_the_log_says_so_once() -> None:
    said: list[str] = []
    handler = logger.add(said.append, level="ERROR", format="{message}")
    async with gateway() as here:
        await here.opens()
        await asks_until_it_is_hung_up_on(here)
    logger.remove(handler)
    assert said == [
        "the gateway does not read its control socket; giving it up\n",
        "the gateway is gone without a word; ending all its children\n",
    ]


async def test_a_gateway_that_reads_nothing_is_given_up_though_a_message_to_it_is_under_way() -> None:
    """The message was waited for, and with it everything that the gateway had left, and the supervisor's own end."""
    async with gateway() as here:
        await here.opens()
        await asks_on(here, BUFFERED)
        await asks_until_it_is_hung_up_on(here)


BUFFERED = 2000
"""More answers than a socket holds."""


async def test_a_gateway_that_closes_its_ears_is_hung_up_on() -> None:
    """It was heard, and never answered; its requests waited for ever."""
    async with gateway() as here:
        here.stream.extra(anyio.abc.SocketAttribute.raw_socket).shutdown(socket.SHUT_RD)
        with pytest.raises(anyio.BrokenResourceError):
            await asks_on(here, BUFFERED)


async def test_who_sends_descriptors_that_belong_to_nothing_is_hung_up_on() -> None:
    """They were kept as long as the connection."""
    async with gateway() as here:
        pair = os.pipe()
        await here.stream.send_fds(encode(Entrust("listener"), 1)[:1], pair)
        await here.stream.send_fds(encode(Entrust("listener"), 1)[1:2], pair)
        for fd in pair:
            os.close(fd)
        await here.is_hung_up_on()


async def test_a_gateway_that_leaves_at_once_leaves_nothing() -> None:
    async with gateway() as here:
        await here.says(*[Open(ref, "cat", "test") for ref in range(5)], Ask(9), Goodbye())


async def test_a_gateway_is_told_the_settings_that_hold_when_it_is_welcomed() -> None:
    """It was told those of when it had connected; what came while it waited for the last one's end passed it by."""
    settings = ["1"]
    async with gateway(greets=False, settings=lambda: settings[-1].encode()) as here:
        await anyio.wait_all_tasks_blocked()
        settings.append("2")
        await here.says(Hello(PROTOCOL))
        welcome = await here.hears()
        assert isinstance(welcome, Welcome)
        assert bytes(welcome.settings) == b"2"


async def test_without_descriptors_a_gateway_is_let_in_later(tmp_path: Path) -> None:
    """The supervisor ended, and with it every child."""
    served = anyio.Event()

    async def serve(_: anyio.abc.UNIXSocketStream) -> None:
        served.set()

    path = tmp_path / "run" / "control.sock"
    with anyio.fail_after(PATIENCE):
        async with (
            grounded(SETTINGS) as (ground, rooms),
            running_children(SETTINGS, Announcer(), ground, rooms) as children,
            listening(listen(path), path) as listener,
            anyio.create_task_group() as tasks,
        ):
            custody = Custody(children, 0, tasks)
            with socket.socket(socket.AF_UNIX) as connecting:
                connecting.connect(str(path))
                with complaints() as complained, descriptors_left(0):
                    tasks.start_soon(serve_each, listener, serve, custody)
                    await complained.wait()
                    assert not served.is_set()
                await served.wait()
            tasks.cancel_scope.cancel()
    custody.close()


async def test_while_there_is_a_gateway_a_second_one_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.listening.SECOND_THOUGHTS", 0.01)
    path = tmp_path / "run" / "control.sock"
    with anyio.fail_after(PATIENCE):
        async with (
            grounded(SETTINGS) as (ground, rooms),
            running_children(SETTINGS, Announcer(), ground, rooms) as children,
            listening(listen(path), path) as listener,
            anyio.create_task_group() as tasks,
        ):
            custody = Custody(children, 0, tasks)
            await custody.receive(None)
            tasks.start_soon(serve_each, listener, anyio.abc.UNIXSocketStream.aclose, custody)
            async with await anyio.connect_unix(path) as second:
                with complaints("WARNING") as complained:
                    with pytest.raises(anyio.EndOfStream):
                        await second.receive()
                    assert complained.is_set()
            tasks.cancel_scope.cancel()
    custody.close()


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
    said = part = b""
    while part or not said:
        await anyio.wait_readable(output)
        part = os.read(output, 100)
        said += part
    os.close(output)
    return said


def _start_elsewhere(command: list[str]) -> int:
    read, write = os.pipe()
    forking = ["setsid", "--fork", *command]
    os.posix_spawn("/usr/bin/setsid", forking, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
    os.close(write)
    return read


class Installing(Installation):
    """One that goes on until it is told otherwise."""

    def __init__(self) -> None:
        self.over = anyio.Event()

    @property
    def left(self) -> float:
        return 0.0 if self.over.is_set() else 60.0


async def test_a_gateway_is_let_in_once_packages_are_installed_and_is_told_to_wait() -> None:
    installation = Installing()
    async with gateway(greets=False, installation=installation) as here:
        await here.says(Hello(PROTOCOL))
        assert await here.hears() == Wait(60.0)
        installation.over.set()
        assert isinstance(await here.hears(), Welcome)
        await here.opens()


@pytest.mark.parametrize("word", [Goodbye(), Ask(1)])
async def test_a_gateway_that_is_to_wait_may_say_goodbye_and_nothing_else(word: FromGateway) -> None:
    async with gateway(greets=False, installation=Installing()) as here:
        await here.says(Hello(PROTOCOL))
        assert await here.hears() == Wait(60.0)
        await here.says(word)
        if isinstance(word, Goodbye):
            await here.stream.send_eof()
        await here.is_hung_up_on()
