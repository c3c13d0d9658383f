"""What comes over a control connection, with a real socket, and the test as the peer."""

import os
import socket
from collections.abc import AsyncIterator

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from supervisor.incoming import Incoming

PATIENCE = 30.0


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Incoming, socket.socket]]:
    """A connection: what comes to one of its ends, and the socket of the other."""
    ours, theirs = socket.socketpair()
    with theirs:
        async with await anyio.abc.UNIXSocketStream.from_socket(ours) as stream:
            with Incoming(stream) as incoming, anyio.fail_after(PATIENCE):
                yield incoming, theirs


async def turns(number: int) -> None:
    """Let the event loop look at its sockets so often."""
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


async def test_what_was_sent_is_received_with_its_descriptors(ends: tuple[Incoming, socket.socket]) -> None:
    incoming, theirs = ends
    read, write = os.pipe()
    socket.send_fds(theirs, [b"with"], [write])
    os.close(write)
    data, (fd,) = await incoming.receive()
    assert data == b"with"
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert os.read(read, 1) == b""
    os.close(read)
    theirs.send(b"without")
    assert await incoming.receive() == (b"without", [])


async def test_who_gives_up_waiting_loses_nothing(ends: tuple[Incoming, socket.socket]) -> None:
    incoming, theirs = ends
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(incoming.receive)
        await turns(2)
        theirs.send(b"late")
        tasks.cancel_scope.cancel()
    await turns(3)
    assert await incoming.receive() == (b"late", [])


async def test_who_is_slow_has_one_portion_taken_off_the_socket_and_gets_all_in_order(
    ends: tuple[Incoming, socket.socket],
) -> None:
    incoming, theirs = ends
    theirs.send(b"first")
    assert await incoming.receive() == (b"first", [])
    theirs.send(b"second")
    await turns(3)
    theirs.send(b"third")
    await turns(3)
    assert [await incoming.receive(), await incoming.receive()] == [(b"second", []), (b"third", [])]


async def test_the_end_comes_behind_what_was_said_and_stays(ends: tuple[Incoming, socket.socket]) -> None:
    incoming, theirs = ends
    theirs.send(b"last")
    theirs.close()
    assert await incoming.receive() == (b"last", [])
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await incoming.receive()


async def test_descriptors_that_nobody_took_are_closed(ends: tuple[Incoming, socket.socket]) -> None:
    incoming, theirs = ends
    theirs.send(b"watch")
    await incoming.receive()
    read, write = os.pipe()
    socket.send_fds(theirs, [b"unheard"], [write])
    os.close(write)
    await turns(3)
    incoming.__exit__()
    assert os.read(read, 1) == b""
    os.close(read)
