"""Connections that go back and forth between the hot doors and Hypercorn."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from gateway import server
from gateway.lane import carrier, cold, connection, writing
from gateway.lane.request import MAX_BODY
from tests.gateway.lane.served import Client, Served, post, served
from tests.support.processes import PATIENCE


@pytest.fixture
async def here() -> AsyncIterator[Served]:
    async with served() as each:
        yield each


@pytest.fixture
async def client(here: Served) -> AsyncIterator[Client]:
    async with here.client() as each:
        yield each


async def test_a_hot_request_is_answered_by_the_hot_doors(here: Served, client: Client) -> None:
    await client.send(post("/hot/echo?a=%20", b"{}", "Accept: b"))
    head, body = await client.answer()
    assert head.startswith(b"http/1.1 200 \r\nx-path: /hot/echo\r\ncontent-length: 2\r\ndate: ")
    assert body == b"{}"
    [(heard, _)] = here.doors.heard
    assert (heard.query, heard.get("accept"), heard.remote_addr) == ("a=%20", "b", "127.0.0.1")


async def test_a_connection_goes_back_and_forth(here: Served, client: Client) -> None:
    for _ in range(3):
        await client.send(post("/hot/echo", b"1"))
        assert await client.body() == b"1"
        await client.send(post("/cold", b"2"))
        assert await client.body() == b"cold /cold 2"
    assert len(here.doors.heard) == 3


async def test_requests_sent_ahead_are_answered_in_order(here: Served, client: Client) -> None:
    asked = [("/hot/echo", b"1"), ("/hot/echo", b""), ("/cold", b"3"), ("/hot/none", b"4"), ("/hot/echo", b"5")]
    await client.send(b"".join(post(path, body) for path, body in asked))
    assert [await client.body() for _ in asked] == [
        b"1",
        b"",
        b"cold /cold 3",
        b"cold /hot/none 4",
        b"cold /hot/echo 5",
    ]
    await client.send(post("/hot/echo", b"6"))
    assert await client.body() == b"6"
    assert [body for _, body in here.doors.heard] == [b"1", b"", b"6"]


async def test_wherever_a_request_is_cut_it_is_answered_alike(here: Served, client: Client) -> None:
    data = post("/hot/echo", b"{}")
    for cut in range(1, len(data)):
        await client.send(data[:cut])
        await anyio.wait_all_tasks_blocked()
        await client.send(data[cut:])
        assert await client.body() == b"{}"
    assert len(here.doors.heard) == len(data) - 1


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/hot/echo", "/cold"])
async def test_a_request_of_single_bytes_is_answered_by_whomever(client: Client, path: str) -> None:
    for byte in post(path, b"{}"):
        await client.send(bytes([byte]))
        await anyio.wait_all_tasks_blocked()
    assert (await client.body()).endswith(b"{}")


async def test_what_the_hot_doors_give_back_is_answered_whole_by_the_others(client: Client) -> None:
    for size in (0, 10, 200_000):
        await client.send(post("/hot/none", b"x" * size))
        assert await client.body() == b"cold /hot/none " + b"x" * size


async def test_the_largest_body_is_collected_and_a_larger_one_is_not(here: Served, client: Client) -> None:
    for size, hot in ((MAX_BODY, True), (MAX_BODY + 1, False)):
        await client.send(post("/hot/echo", b"x" * size))
        assert len(await client.body()) == size + (0 if hot else len(b"cold /hot/echo "))
    assert len(here.doors.heard) == 1


async def test_a_large_answer_comes_whole(client: Client) -> None:
    await client.send(post("/hot/large", b"5000000"))
    assert await client.body() == b"x" * 5_000_000


async def test_parts_are_sent_as_they_come(here: Served, client: Client) -> None:
    await client.send(post("/hot/stream"))
    head = (await client.until(b"\r\n\r\n")).lower()
    assert b"transfer-encoding: chunked\r\n" in head
    assert b"content-length" not in head
    for _ in range(3):
        here.doors.next_part.release()
        assert await client.until(b"part\r\n") == b"4\r\npart\r\n"
    here.doors.may_answer.set()
    here.doors.next_part.release()
    assert await client.until(b"\r\n\r\n") == b"0\r\n\r\n"
    assert (here.doors.entered, here.doors.left) == (1, 1)
    await client.send(post("/hot/echo", b"on"))
    assert await client.body() == b"on"


async def test_a_length_that_is_announced_is_kept(here: Served, client: Client) -> None:
    await client.send(post("/hot/announced", b"5") + post("/hot/echo", b"on"))
    head, body = await client.answer()
    assert (b"transfer-encoding" in head, body) == (False, b"12345")
    assert await client.body() == b"on"


@pytest.mark.parametrize(("length", "sent"), [(b"6", b"12345"), (b"4", b"12")])
async def test_one_that_is_not_ends_the_connection_before_anybody_reads_on(
    client: Client, length: bytes, sent: bytes
) -> None:
    await client.send(post("/hot/announced", length) + post("/hot/echo", b"on"))
    assert (await client.rest()).endswith(b"\r\n\r\n" + sent)


async def test_a_client_that_reads_nothing_gets_no_more_than_the_connection_holds(here: Served, client: Client) -> None:
    await client.send(post("/hot/flood"))
    made = -1
    while made != here.doors.made:
        made = here.doors.made
        await anyio.wait_all_tasks_blocked()
    assert 0 < made < 1000
    await client.until(b"x" * 65536)
    with anyio.fail_after(PATIENCE):
        while here.doors.made == made:
            await client.stream.receive()
    await client.stream.aclose()
    with anyio.fail_after(PATIENCE):
        await here.doors.cancelled.wait()
    assert here.doors.left == 1


@pytest.mark.parametrize("asked", [post("/hot/large", b"50000000"), post("/hot/large", b"60000") * 800])
async def test_a_client_that_does_not_take_its_answer_in_time_loses_the_connection(
    client: Client, monkeypatch: pytest.MonkeyPatch, asked: bytes
) -> None:
    monkeypatch.setattr(writing, "TAKING", 0)
    await client.send(asked)
    await anyio.wait_all_tasks_blocked()
    assert 0 < len(await client.rest()) < 48_000_000


async def test_so_does_one_whose_answer_in_parts_has_a_length(
    here: Served, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "SENDING", 0)
    await client.send(post("/hot/promised"))
    with anyio.fail_after(PATIENCE):
        await here.doors.cancelled.wait()
    assert here.doors.left == 1


async def test_bodies_that_do_not_come_are_not_waited_for_beyond_what_all_may_hold(
    here: Served, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = post("/hot/echo", b"x" * 1000)
    monkeypatch.setattr(carrier, "MAX_HELD", len(whole))
    for _ in range(3):
        await client.send(whole[:-1])
        await anyio.wait_all_tasks_blocked()
        async with here.client() as other:
            await other.send(whole[:-1])
            await anyio.wait_all_tasks_blocked()
            await other.send(whole[-1:])
            assert await other.body() == b"cold /hot/echo " + b"x" * 1000
        await client.send(whole[-1:])
        assert await client.body() == b"x" * 1000


def kept(monkeypatch: pytest.MonkeyPatch) -> list[carrier.Carrier]:
    """All carriers that are made from now on."""
    made: list[carrier.Carrier] = []

    def keep(*given: Any) -> carrier.Carrier:
        made.append(carrier.Carrier(*given))
        return made[-1]

    monkeypatch.setattr(server, "Carrier", keep)
    return made


class Gone(asyncio.Transport):
    """The transport of a connection that was reset, as uvloop leaves it."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return True


async def test_a_client_that_is_gone_before_hypercorn_begins_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = kept(monkeypatch)
    faults: list[dict[str, Any]] = []
    async with served():
        made[0].loop.set_exception_handler(lambda _, context: faults.append(context))
        connection = made[0].connection()
        connection.connection_made(Gone())
        connection.data_received(post("/cold"))
        connection.connection_lost(ConnectionResetError())
    made[0].loop.set_exception_handler(None)
    assert faults == []


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_what_was_held_of_a_body_is_free_again_however_that_ends(
    monkeypatch: pytest.MonkeyPatch, *, hangs_up: bool
) -> None:
    made = kept(monkeypatch)
    if not hangs_up:
        monkeypatch.setattr(carrier, "PATIENCE", 0)
    whole = post("/hot/echo", b"x" * 1000)
    async with served() as here, here.client() as client:
        await client.send(whole[:-1])
        await anyio.wait_all_tasks_blocked()
        if hangs_up:
            assert made[0].held == len(whole)
            await client.stream.send_eof()
            assert await client.rest() == b""
        else:
            await client.send(whole[-1:])
            assert (await client.body()).startswith(b"cold ")
    assert made[0].held == 0


def reset(client: Client) -> None:
    raw: socket.socket = client.stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("path", ["/hot/wait", "/hot/stream"])
@pytest.mark.parametrize("how", ["closes", "half closes", "resets"])
async def test_a_client_that_hangs_up_ends_its_request(here: Served, client: Client, path: str, how: str) -> None:
    await client.send(post(path))
    with anyio.fail_after(PATIENCE):
        await here.doors.begun.wait()
        if how == "half closes":
            await client.stream.send_eof()
            assert b"waited" not in await client.rest()
        else:
            if how == "resets":
                reset(client)
            await client.stream.aclose()
        await here.doors.cancelled.wait()


@pytest.mark.parametrize("begin", [b"", b"POST /hot/echo HTTP/1.1\r\nHost", post("/hot/echo", b"{}")[:-1]])
async def test_half_a_request_and_no_more_is_the_end_of_the_connection(client: Client, begin: bytes) -> None:
    await client.send(begin)
    await anyio.wait_all_tasks_blocked()
    await client.stream.send_eof()
    assert await client.rest() == b""


async def test_what_was_sent_ahead_of_a_hang_up_is_not_in_the_way_of_an_answer(here: Served, client: Client) -> None:
    await client.send(post("/hot/wait") + post("/hot/echo"))
    with anyio.fail_after(PATIENCE):
        await here.doors.begun.wait()
    await client.stream.send_eof()
    await anyio.wait_all_tasks_blocked()
    here.doors.may_answer.set()
    assert await client.body() == b"waited"
    await client.rest()


async def test_the_answer_may_be_the_last(client: Client, here: Served) -> None:
    await client.send(post("/hot/echo", b"a", "Connection: close") + post("/hot/echo", b"b"))
    answer = (await client.rest()).lower()
    assert answer.count(b"connection: close") == answer.count(b"http/1.1 200") == 1
    async with here.client() as other:
        await other.send(post("/hot/last"))
        assert (await other.rest()).lower().count(b"connection: close") == 1


async def test_a_fault_is_a_500_and_the_end_of_the_connection(client: Client) -> None:
    await client.send(post("/hot/fault"))
    answer = (await client.rest()).lower()
    assert answer.startswith(b"http/1.1 500 \r\nconnection: close\r\ncontent-length: 0\r\ndate: ")


async def test_a_header_cannot_split_an_answer(client: Client, here: Served) -> None:
    await client.send(post("/hot/split"))
    answer = (await client.rest()).lower()
    assert answer.startswith(b"http/1.1 500 ")
    assert b"x-c" not in answer
    assert (here.doors.entered, here.doors.left) == (1, 1)


async def test_a_stream_that_breaks_has_no_end(client: Client, here: Served) -> None:
    await client.send(post("/hot/broken"))
    assert (await client.rest()).endswith(b"4\r\npart\r\n")
    assert here.doors.left == 1


async def test_a_client_may_not_send_ahead_without_bound(client: Client, here: Served) -> None:
    await client.send(post("/hot/wait"))
    with anyio.move_on_after(0.5):
        while True:
            await client.send(post("/hot/echo", b"x" * 60_000) * 10)
    here.doors.may_answer.set()
    assert await client.body() == b"waited"
    assert await client.body() == b"x" * 60_000


async def test_a_connection_at_rest_has_no_task(client: Client, here: Served) -> None:
    await anyio.wait_all_tasks_blocked()
    before = len(asyncio.all_tasks())
    for path in ("/hot/echo", "/cold"):
        await client.send(post(path))
        await client.answer()
        await anyio.wait_all_tasks_blocked()
        assert len(asyncio.all_tasks()) == before


class TestSlowClients:
    """No connection is held for ever by one that does not go on."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "KEEP_ALIVE", 0.2)
        monkeypatch.setattr(carrier, "PATIENCE", 0.1)

    @pytest.mark.parametrize(
        "begin", [b"", b"POST /hot/echo HTT", post("/hot/echo") + b"POS", post("/cold"), b"\x16\x03"]
    )
    async def test_one_at_rest_or_with_half_a_head_is_closed(self, client: Client, begin: bytes) -> None:
        await client.send(begin)
        await client.rest()

    async def test_the_rest_of_a_body_may_be_late(self, client: Client, here: Served) -> None:
        data = post("/hot/echo", b"{}")
        await client.send(data[:-1])
        await anyio.sleep(0.5)
        await client.send(data[-1:])
        assert await client.body() == b"cold /hot/echo {}"

    async def test_a_call_may_last_longer_than_a_rest(self, client: Client, here: Served) -> None:
        await client.send(post("/cold"))
        await client.answer()
        await client.send(post("/hot/wait"))
        await anyio.sleep(0.5)
        here.doors.may_answer.set()
        assert await client.body() == b"waited"
        await client.rest()


class TestEnd:
    """The server's end."""

    async def test_what_rests_is_closed_at_once_and_what_runs_is_answered(self, here: Served, client: Client) -> None:
        async with here.client() as resting, here.client() as rested, here.client() as partial:
            await rested.send(post("/cold"))
            await rested.answer()
            await partial.send(b"POST /hot")
            await client.send(post("/hot/wait"))
            with anyio.fail_after(PATIENCE):
                await here.doors.begun.wait()
            here.stop.set()
            for each in (resting, rested, partial):
                assert await each.rest() == b""
            here.doors.may_answer.set()
            assert (await client.rest()).endswith(b"waited")
            with anyio.fail_after(PATIENCE):
                await here.over.wait()

    @pytest.mark.parametrize("path", ["/hot/wait", "/hot/flood"])
    async def test_what_does_not_end_is_cancelled(
        self, monkeypatch: pytest.MonkeyPatch, here: Served, client: Client, path: str
    ) -> None:
        for module in (server, cold, connection):
            monkeypatch.setattr(module, "LINGER", 0.1)
        await client.send(post(path))
        await anyio.wait_all_tasks_blocked()
        here.stop.set()
        with anyio.fail_after(PATIENCE):
            await here.over.wait()
        assert here.doors.cancelled.is_set()

    async def test_a_cancelled_server_leaves_nothing(self) -> None:
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                async with served() as here, here.client() as client:
                    await client.send(post("/hot/wait"))
                    await here.doors.begun.wait()
                    tasks.cancel_scope.cancel()
                    await anyio.sleep_forever()

            tasks.start_soon(serve)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "hot request"]

    async def test_one_that_accepts_no_more_still_serves_whom_it_has(self, here: Served, client: Client) -> None:
        await client.send(post("/hot/echo", b"1"))
        assert await client.body() == b"1"
        here.stop_accepting()
        await client.send(post("/hot/echo", b"2"))
        assert await client.body() == b"2"
        with pytest.raises(OSError, match="ttempts failed|refused"):
            async with here.client():
                pass

    async def test_the_most_requests_of_a_connection_are_counted_over_both(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_REQUESTS", 3)
        for paths in (("/hot/echo", "/cold", "/hot/echo"), ("/cold", "/hot/echo", "/cold")):
            async with served() as here, here.client() as client:
                for path in paths[:2]:
                    await client.send(post(path))
                    assert b"connection: close" not in (await client.answer())[0]
                await client.send(post(paths[2]))
                assert b"connection: close" in (await client.rest()).lower()
