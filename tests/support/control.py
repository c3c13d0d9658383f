"""The supervisor's end of a control socket, for a test that plays it."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc

from supervisor.client import SupervisorClient, connect
from supervisor.protocol import FrameReader, FromGateway, FromSupervisor, decode_from_gateway, encode
from tests.support.processes import PATIENCE


class Supervisor:
    """Says what it is told to, keeps what it hears, and hangs up when the gateway has said its last word."""

    def __init__(self, end: anyio.abc.UNIXSocketStream) -> None:
        self.heard: list[tuple[FromGateway, int]] = []
        """Each message with how many descriptors came along."""
        self._end = end

    async def says(self, message: FromSupervisor, fds: int = 0) -> None:
        """Send a message, with so many descriptors."""
        opened = [os.open(os.devnull, os.O_RDWR) for _ in range(fds)]
        await (self._end.send_fds(encode(message, fds), opened) if fds else self._end.send(encode(message)))
        for fd in opened:
            os.close(fd)

    async def says_at_once(self, *messages: tuple[FromSupervisor, int]) -> None:
        """Send messages, each with so many descriptors, that arrive together."""
        opened = [os.open(os.devnull, os.O_RDWR) for _, fds in messages for _ in range(fds)]
        data = b"".join(encode(message, fds) for message, fds in messages)
        await (self._end.send_fds(data, opened) if opened else self._end.send(data))
        for fd in opened:
            os.close(fd)

    async def says_in_two_parts(self, message: FromSupervisor, fds: int, then: bytes) -> None:
        """The same, but that the message's last byte comes with the bytes `then`."""
        frame = encode(message, fds)
        opened = [os.open(os.devnull, os.O_RDWR) for _ in range(fds)]
        await self._end.send_fds(frame[:-1], opened)
        await self._end.send(frame[-1:] + then)
        for fd in opened:
            os.close(fd)

    async def listen(self) -> None:
        """Until the gateway has gone."""
        reader = FrameReader()
        try:
            while True:
                data, fds = await self._end.receive_fds(65536, 10)
                for body, own in reader.feed(data, fds):
                    self.heard.append((decode_from_gateway(body), len(own)))
                for fd in fds:
                    os.close(fd)
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            await self.hang_up()

    def closes_its_ears(self) -> None:
        """From now on nothing can be sent to it."""
        self._end.extra(anyio.abc.SocketAttribute.raw_socket).shutdown(socket.SHUT_RD)

    async def hang_up(self) -> None:
        await self._end.aclose()


@asynccontextmanager
async def playing_supervisor() -> AsyncIterator[tuple[Supervisor, anyio.abc.UNIXSocketStream]]:
    """A supervisor, and the gateway's stream to it."""
    ends = [await anyio.abc.UNIXSocketStream.from_socket(end) for end in socket.socketpair()]
    async with ends[0], ends[1]:
        with anyio.fail_after(PATIENCE):
            yield Supervisor(ends[0]), ends[1]


@asynccontextmanager
async def connected(*greeting: tuple[FromSupervisor, int]) -> AsyncIterator[tuple[Supervisor, SupervisorClient]]:
    """A gateway that is welcomed so."""
    async with playing_supervisor() as (other, stream), anyio.create_task_group() as tasks:
        for message, fds in greeting:
            await other.says(message, fds)
        tasks.start_soon(other.listen)
        async with connect(stream) as client:
            yield other, client
