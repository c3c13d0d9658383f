"""How an answer is written to a connection, as fast as its client takes it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final, Protocol

from gateway.hot.exchange import SENDING, TAKING, Reply
from gateway.lane import answer

SLICE: Final = 64 * 1024
"""Bytes of a large answer that are written at a time, as the client takes them."""


class Out(Protocol):
    """What is had of a connection."""

    transport: asyncio.Transport

    @property
    def is_full(self) -> bool:
        """Whether there is something to wait for before more is written."""

    async def room(self) -> None:
        """Wait until more may be written, or the connection is gone."""

    def abort(self) -> None:
        """Drop it."""


async def write(out: Out, reply: Reply, date: str, *, last: bool) -> None:
    """Write all of `reply`; `last` says that the connection is closed afterwards.

    A client that does not take it in time loses the connection, and with it whoever writes. Raises BadHeader, before
    anything is written; ValueError for a body that has not the length that was announced; and whatever its parts raise.
    """
    if isinstance(reply.body, bytes):
        await _whole(out, reply, reply.body, date, last=last)
    elif reply.length is None:
        await _parts(out, reply, reply.body, date, last=last)
    else:
        with _within(out, SENDING):
            await _parts(out, reply, reply.body, date, last=last)


async def _whole(out: Out, reply: Reply, body: bytes, date: str, *, last: bool) -> None:
    head = answer.head(reply.status, reply.headers, len(body), date, last=last)
    if not answer.has_body(reply.status):
        body = b""
    if len(body) <= SLICE:
        out.transport.write(head + body)
        if out.is_full:
            with _within(out, TAKING):
                await out.room()
        return
    out.transport.write(head)
    view = memoryview(body)
    with _within(out, TAKING):
        for begin in range(0, len(body), SLICE):
            out.transport.write(view[begin : begin + SLICE])
            await out.room()


async def _parts(
    out: Out, reply: Reply, body: AbstractAsyncContextManager[AsyncIterator[bytes]], date: str, *, last: bool
) -> None:
    length = reply.length
    async with body as parts:
        out.transport.write(answer.head(reply.status, reply.headers, length, date, last=last))
        sent = 0
        async for part in parts:
            sent += len(part)
            if length is not None and sent > length:
                raise ValueError("a body is longer than was announced")
            if part:
                out.transport.write(part if length is not None else answer.chunk(part))
                if out.is_full:
                    await out.room()
        if length is None:
            out.transport.write(answer.LAST_CHUNK)
            await out.room()
        elif sent < length:
            raise ValueError("a body is shorter than was announced")


@contextmanager
def _within(out: Out, seconds: float) -> Iterator[None]:
    """The client has so long; then the connection is dropped."""
    over = asyncio.get_running_loop().call_later(seconds, out.abort)
    try:
        yield
    finally:
        over.cancel()
