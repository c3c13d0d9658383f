"""WebSocket clients that do not read, do not stop, or vanish: what they cost is bounded, and nothing is left of them."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import pytest
from wsproto.events import CloseConnection, TextMessage

from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE, open_files
from tests.support.rawmcp import call, request, said
from tests.support.rawws import connected, handshake, websocket

pytestmark = pytest.mark.slow

LIMIT = 64 * 1024


async def until_dropped(send: Callable[[], Awaitable[None]]) -> None:
    """Send, and never read, until the connection is dropped."""
    with suppress(anyio.BrokenResourceError):
        while True:
            await send()


async def test_a_message_without_end_is_not_kept(tmp_path: Path) -> None:
    async with running({"light": light(max_message_bytes=LIMIT)}, tmp_path=tmp_path) as gateway:
        async with websocket(gateway.url) as session:
            await until_dropped(partial(session.send_event, TextMessage(data="x" * LIMIT, message_finished=False)))
        await gateway.said("on light ended: message_too_large")
        await gateway.gone(1)


# Back-pressure.


async def test_clients_that_do_not_read_are_cut_off_and_nobody_else_notices(tmp_path: Path) -> None:
    """Two of them at a time, for that takes a while: one gets more than it reads, the other asks more than it reads."""
    async with (
        running(tmp_path=tmp_path) as gateway,
        websocket(gateway.url) as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_get_and_never_read, gateway)
        tasks.start_soon(_ask_and_never_read, gateway)
        assert said(await other.ask(call(1, "echo", text="here"))) == "here"
        await gateway.said("its client does not keep up with a stream")
        await gateway.said("on light ended: client_stalled", times=2)
        await gateway.gone(2)
        assert said(await other.ask(call(2, "echo", text="still here"))) == "still here"


async def _get_and_never_read(gateway: Gateway) -> None:
    async with websocket(gateway.url) as session:
        await session.send(call(1, "flood", lines=20_000))
        await gateway.said("on light ended: client_stalled", times=2)


async def _ask_and_never_read(gateway: Gateway) -> None:
    async with websocket(gateway.url) as session:
        # The gateway itself answers a ping, at once, and with the same long id: it does not read on, either.
        await until_dropped(partial(session.send, request("x" * 10_000, "ping")))


async def test_a_client_that_reads_late_gets_everything(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        await session.send(call(1, "flood", lines=20_000))
        for _ in range(20_000):
            assert len((await session.message())["params"]["data"]) == 1024
        assert said(await session.message()) == "flooded"


# Many that vanish.


async def hang_up_at_once(gateway: Gateway) -> None:
    async with connected(gateway.url) as stream:
        await stream.send(handshake(gateway.url, "/light/ws", {}))


async def hang_up_after_the_handshake(gateway: Gateway) -> None:
    async with websocket(gateway.url, hello=False):
        pass


async def hang_up_in_a_call(gateway: Gateway) -> None:
    async with websocket(gateway.url) as session:
        await session.send(call(1, "hold"))


async def hang_up_in_a_frame(gateway: Gateway) -> None:
    async with websocket(gateway.url) as session:
        await session.send_bytes(b"\x81\xfe\x10\x00")


async def say_goodbye(gateway: Gateway) -> None:
    async with websocket(gateway.url) as session:
        await session.send_event(CloseConnection(code=1001))


async def send_what_is_wrong(gateway: Gateway) -> None:
    async with websocket(gateway.url) as session:
        await session.send_binary(b"\0")


async def speak_too_early(gateway: Gateway) -> None:
    async with connected(gateway.url) as stream:
        await stream.send(handshake(gateway.url, "/light/ws", {}) + b"\x81\x80early")


MANNERS: list[Callable[[Gateway], Awaitable[None]]] = [
    hang_up_at_once,
    hang_up_after_the_handshake,
    hang_up_in_a_call,
    hang_up_in_a_frame,
    say_goodbye,
    send_what_is_wrong,
    speak_too_early,
]


async def test_nothing_is_left_of_clients_that_vanish(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, max_sessions=1000, debug={"level": "info"}) as gateway:
        before = await descriptors(gateway)

        async def play(manner: Callable[[Gateway], Awaitable[None]]) -> None:
            for _ in range(105 // len(MANNERS)):
                await manner(gateway)

        async with anyio.create_task_group() as tasks:
            for manner in MANNERS:
                tasks.start_soon(play, manner)
        with anyio.fail_after(PATIENCE):
            while (await gateway.health())["sessions"] or gateway.children():
                await gateway.quiet()
            while await descriptors(gateway) > before:  # each look is a request; the kernel tells nobody
                pass


async def descriptors(gateway: Gateway) -> tuple[int, ...]:
    """How many the gateway and the supervisor have, with one connection to ask over."""
    await gateway.health()
    return tuple(open_files(gateway.program(name)) for name in ("gateway", "supervisor"))
