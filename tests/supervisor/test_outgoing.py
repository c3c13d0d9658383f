"""What goes out over a control connection, with a real socket, and the test as the peer."""

import os
import socket
from collections.abc import AsyncIterator

import anyio
import anyio.abc
import pytest

from common.reasons import Reason
from supervisor.outgoing import Outgoing
from supervisor.protocol import Entrust, FrameReader, FromGateway, Keep, Release, decode_from_gateway
from tests.support.processes import PATIENCE

LONG = "x" * 200_000


Ends = tuple[Outgoing[FromGateway], socket.socket]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """A connection: what goes out at one end, and the socket of whoever reads at the other."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    with theirs:
        async with await anyio.abc.UNIXSocketStream.from_socket(ours) as stream:
            outgoing: Outgoing[FromGateway] = Outgoing(stream)
            yield outgoing, theirs
            outgoing.drop()


def heard(theirs: socket.socket, reader: FrameReader) -> list[tuple[FromGateway, list[int]]]:
    """The messages that have come whole, each with its descriptors."""
    messages: list[tuple[FromGateway, list[int]]] = []
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(theirs, 65536, 8)
        except BlockingIOError:
            return messages
        messages += [(decode_from_gateway(body), own) for body, own in reader.feed(data, fds)]


async def test_what_is_put_is_in_the_socket_before_anybody_else_has_a_turn(ends: Ends) -> None:
    outgoing, theirs = ends
    read, write = os.pipe()
    assert outgoing.put(Keep(1, "state"))
    assert outgoing.put(Entrust("listener"), (write,))
    (kept, none), (entrusted, (fd,)) = heard(theirs, FrameReader())
    assert (kept, none, entrusted) == (Keep(1, "state"), [], Entrust("listener"))
    os.write(fd, b"through")
    assert os.read(read, 100) == b"through"
    os.close(fd)
    assert os.read(read, 1) == b""  # the one that was put is closed, too
    os.close(read)


async def test_what_the_socket_has_no_room_for_comes_later_whole_and_in_order(ends: Ends) -> None:
    outgoing, theirs = ends
    read, write = os.pipe()
    sent: list[FromGateway] = [Keep(number, LONG) for number in range(8)]
    for message in sent:
        assert outgoing.put(message)
    assert outgoing.put(Entrust("hot_state"), (write,))
    assert outgoing.put(Release(1, Reason.SHUTDOWN))
    outgoing.end()
    reader, came = FrameReader(), list[tuple[FromGateway, list[int]]]()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outgoing.write_all)
            while len(came) < len(sent) + 2:
                came += heard(theirs, reader)
                await anyio.lowlevel.checkpoint()
    assert [message for message, _ in came] == [*sent, Entrust("hot_state"), Release(1, Reason.SHUTDOWN)]
    assert [len(fds) for _, fds in came] == [0] * len(sent) + [1, 0]
    os.close(came[-2][1][0])
    os.close(read)


async def test_after_its_end_nothing_is_taken_and_no_descriptor_kept(ends: Ends) -> None:
    outgoing, theirs = ends
    read, write = os.pipe()
    outgoing.end()
    assert not outgoing.put(Entrust("listener"), (write,))
    assert not outgoing.put(Keep(1, ""))
    assert heard(theirs, FrameReader()) == []
    assert os.read(read, 1) == b""  # its other end is closed
    os.close(read)


async def test_a_peer_that_has_gone_is_no_error_to_whoever_puts_and_ends_the_writing(ends: Ends) -> None:
    outgoing, theirs = ends
    theirs.close()
    assert outgoing.put(Keep(1, ""))
    assert not await outgoing.write_all()
