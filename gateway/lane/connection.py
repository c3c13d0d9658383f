"""One connection: at rest, at work for the hot doors, or Hypercorn's.

```
                bytes                        all of it is here
   REST ─────────────────────▶ GATHERING ──────────────────────▶ AT_WORK
   ▲ ▲                             │                             │  │
   │ │                             │ none of ours, or too slow   │  │ none of theirs
   │ │ Hypercorn is idle           ▼                             │  │
   │ └──────────────────────────  COLD  ◀────────────────────────┼──┘
   └─────────────────────────────────────────────────────────────┘ answered
```

Every state but REST holds what came meanwhile, or has passed it on. Nothing of a request is lost on the way to Hypercorn:
until it is answered here, its bytes are kept as they came.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, Protocol, cast

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, LifespanState
from loguru import logger

from gateway.hot.exchange import Answering, HotApp, Reply
from gateway.lane import answer, writing
from gateway.lane.clock import Clock
from gateway.lane.cold import LINGER, Cold
from gateway.lane.request import Request, Unread, look

MAX_PIECES: Final = 16
"""Parts in which a head may come, for it is looked at anew with each of them; Hypercorn may have the next."""

MAX_AHEAD: Final = 64 * 1024
"""Bytes that a client may send ahead while it waits for an answer, before no more is read."""


class State(Enum):
    """Whose the bytes are that come."""

    REST = auto()
    GATHERING = auto()
    AT_WORK = auto()
    COLD = auto()
    OVER = auto()


class Surroundings(Protocol):
    """What a connection has of its server."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    state: LifespanState
    hot: HotApp
    loop: asyncio.AbstractEventLoop
    dates: answer.Dates
    at_rest: "Clock[Connection]"
    patience: "Clock[Connection]"
    is_ending: bool

    def enter(self, connection: "Connection") -> None:
        """There is one more."""

    def leave(self, connection: "Connection") -> None:
        """It is gone."""

    def set_apart(self, size: int) -> bool:
        """Whether there is room for so many bytes of a request that is not whole; it is to be given back."""

    def give_back(self, size: int) -> None:
        """They are not held any more."""

    def follow(self, task: asyncio.Task[None]) -> None:
        """`task` is Hypercorn's on one of the connections, and is waited for."""


class Connection(asyncio.Protocol):
    """One connection. What comes is fed by the transport; one task at most works for the hot doors."""

    __slots__ = (
        "_ahead", "_answering", "_around", "_cold", "_eof", "_held", "_paused", "_pieces", "_remote_addr", "_request",
        "_room", "_served", "_state", "task", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    task: asyncio.Task[None] | None
    """What answers the request that is being answered."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._state = State.OVER
        self._remote_addr = ""
        self._served = 0
        self._held: bytearray | None = None
        """All of a request that is not whole."""
        self._pieces = 0
        self._request: Request | None = None
        """Its head, if that is whole."""
        self._answering: Answering | None = None
        """What is going to answer it."""
        self._ahead: bytearray | None = None
        """What came behind a request that is being answered."""
        self._eof = False
        self._paused = False
        self._room: asyncio.Event | None = None
        """Set once more may be written; None while it may."""
        self._cold: Cold | None = None
        self.task = None

    def __repr__(self) -> str:
        return f"<Connection of {self._remote_addr} {self._state.name.lower()}, {self._served} requests>"

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._around.enter(self)
        peer = transport.get_extra_info("peername")
        if not peer or self._around.is_ending:
            self._close()
            return
        self._remote_addr = peer[0]
        self._rest()

    def data_received(self, data: bytes) -> None:
        _HEAR[self._state](self, data)

    def eof_received(self) -> bool:
        """The client sends no more; to Hypercorn, and so here, that means that it hung up. True: we close.

        Hypercorn hears of it only once it has answered what was sent ahead, so it is who has that.
        """
        if self._state is State.COLD:
            assert self._cold is not None
            self._cold.feed_eof()
        elif self._state is State.AT_WORK and self._ahead:
            self._eof = True
        elif self._state is not State.OVER:
            self._hang_up()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of asyncio.Protocol
        self._state = State.OVER
        self._ahead = None
        self._let_go()
        self.resume_writing()
        if self._cold is not None:
            self._cold.lost()
            self._cold = None
        if self.task is None:
            self._around.leave(self)
        else:
            self.task.cancel()
            self.task.add_done_callback(lambda _: self._around.leave(self))

    def pause_writing(self) -> None:
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    # What Hypercorn and the server say.

    @property
    def is_full(self) -> bool:
        """Whether there is something to wait for before more is written."""
        return self._room is not None

    async def room(self) -> None:
        """Wait until more may be written, or the connection is gone."""
        if self._room is not None:
            await self._room.wait()

    def count(self) -> int:
        """One more request begins; how many there were before."""
        self._served += 1
        return self._served - 1

    def take_back(self) -> None:
        """Hypercorn has answered all that it was given."""
        self._cold = None
        if self._state is State.COLD:
            self._rest()

    def rested_enough(self) -> None:
        """The keep-alive timeout is over."""
        self._close()

    def waited_enough(self) -> None:
        """A request did not come whole in time."""
        self._hand_over_held()

    def end(self) -> None:
        """The server ends: close now, or with the answer."""
        if self._state is State.REST or (self._state is State.GATHERING and self._request is None):
            self._close()
        elif self._state is State.GATHERING:
            self._hand_over_held()
        elif self._cold is not None:
            self._cold.end()

    def abort(self) -> None:
        """Drop it."""
        self.transport.abort()

    # What is done with what comes.

    def _look(self, data: bytes) -> None:
        """`data` is at the beginning of a request."""
        found = look(data, self._remote_addr)
        if isinstance(found, Request):
            answering = self._around.hot.takes(found.head)
            if answering is None:
                self._hand_over(data)
            elif found.end <= len(data):
                self._work(found, answering, data)
            elif self._around.set_apart(found.end):
                self._request, self._answering = found, answering
                self._hold(data)
            else:
                self._hand_over(data)
        elif found is Unread.PARTIAL and self._pieces < MAX_PIECES:
            self._hold(data)
        else:
            self._hand_over(data)

    def _hold(self, data: bytes) -> None:
        if self._state is State.REST:
            self._state = State.GATHERING
            self._around.at_rest.stop(self)
            self._around.patience.start(self)
        self._held = bytearray(data)

    def _gather(self, data: bytes) -> None:
        assert self._held is not None
        self._held += data
        if self._request is None:
            self._pieces += 1
            self._look(bytes(self._held))
        elif len(self._held) >= self._request.end:
            assert self._answering is not None
            self._work(self._request, self._answering, self._held)

    def _work(self, request: Request, answering: Answering, data: bytes | bytearray) -> None:
        if self._state is State.REST:
            self._around.at_rest.stop(self)
        else:
            self._around.patience.stop(self)
        self._state = State.AT_WORK
        self._let_go()
        if len(data) > request.end:
            self._ahead = bytearray(memoryview(data)[request.end :])
        self.task = self._around.loop.create_task(self._answer(request, answering, data), name="hot request")

    def _let_go(self) -> None:
        if self._request is not None:
            self._around.give_back(self._request.end)
        self._held = self._request = self._answering = None
        self._pieces = 0

    def _wait(self, data: bytes) -> None:
        if self._ahead is None:
            self._ahead = bytearray()
        self._ahead += data
        if len(self._ahead) > MAX_AHEAD and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _pass_on(self, data: bytes) -> None:
        assert self._cold is not None
        self._cold.feed(data)

    def _drop(self, data: bytes) -> None:
        """Nobody is there to hear it."""

    def _hand_over_held(self) -> None:
        assert self._held is not None
        self._hand_over(bytes(self._held))

    def _hand_over(self, data: bytes) -> None:
        """Hypercorn has the connection from now on, beginning with `data`."""
        self._around.at_rest.stop(self)
        self._around.patience.stop(self)
        self._let_go()
        self._state = State.COLD
        self._cold = Cold(self._around, self)
        self._cold.feed(data)
        if self._eof:
            self._cold.feed_eof()
        self._around.follow(self._around.loop.create_task(self._cold.run(), name="cold requests"))

    # How a request is answered.

    async def _answer(self, request: Request, answering: Answering, data: bytes | bytearray) -> None:
        """Have the hot doors answer, and go on with what came behind; cancelled once the connection is gone."""
        try:
            reply = await self._reply(answering, bytes(memoryview(data)[request.begin : request.end]))
            if reply is not None:
                await self._write(reply, request)
        finally:
            self.task = None
        if self._state is State.AT_WORK:
            self._go_on(bytes(data[: request.end]) if reply is None else None)

    async def _reply(self, answering: Answering, body: bytes) -> Reply | None:
        try:
            return await answering(body)
        except Exception as error:  # noqa: BLE001 - whatever it was, one request failed
            logger.opt(exception=error).error("a hot request failed")
            return Reply(500, headers=[answer.FAILED])

    async def _write(self, reply: Reply, request: Request) -> None:
        """Write all of it. Where it must be the last on its connection, this ends with the connection closed."""
        self._served += 1
        last = (
            request.last
            or self._around.is_ending
            or self._served >= self._around.config.keep_alive_max_requests
            or answer.closes(reply.headers)
        )
        try:
            await writing.write(self, reply, self._around.dates.now(), last=last)
        except answer.BadHeader as error:
            logger.error("the answer to a hot request is none: {}", error)
            self.transport.write(answer.head(500, [answer.FAILED], 0, self._around.dates.now(), last=True))
            last = True
        except Exception as error:  # noqa: BLE001 - the same
            logger.opt(exception=error).error("the answer to a hot request failed")
            last = True
        if last and self._state is State.AT_WORK:
            self._close()

    def _go_on(self, unread: bytes | None) -> None:
        """The request is answered, or is Hypercorn's with all of its bytes, `unread`."""
        ahead, self._ahead = bytes(self._ahead or b""), None
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if unread is not None or self._eof:
            self._hand_over((unread or b"") + ahead)
        elif self._around.is_ending:
            self._close()
        else:
            self._rest()
            if ahead:
                self._look(ahead)

    # How it ends.

    def _rest(self) -> None:
        self._state = State.REST
        self._around.at_rest.start(self)

    def _hang_up(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self._close()

    def _close(self) -> None:
        """Nothing more is heard; the client has LINGER seconds to take what is left for it."""
        self._state = State.OVER
        self._around.at_rest.stop(self)
        self._around.patience.stop(self)
        if self.transport.get_write_buffer_size():
            self._around.loop.call_later(LINGER, self.transport.abort)
        self.transport.close()


_HEAR: Final[dict[State, Callable[[Connection, bytes], Any]]] = {
    State.REST: Connection._look,
    State.GATHERING: Connection._gather,
    State.AT_WORK: Connection._wait,
    State.COLD: Connection._pass_on,
    State.OVER: Connection._drop,
}
