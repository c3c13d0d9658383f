"""A call whose answer is a stream of events: what its child says and asks meanwhile, then the result or an error.

The status is out before the result is known. So it waits until the child has been asked: what is known to be wrong by
then is an HTTP error like any other.
"""

import asyncio

import anyio
import msgspec
from loguru import logger

from common.reasons import Reason
from gateway import sse
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http.streams import EventStream, event_stream
from gateway.jsonrpc import Notification, on_one_line
from gateway.large import Result
from gateway.meta import PROGRESS
from gateway.outbox import LOW_WATER, Outbox
from gateway.pressure import STALL
from gateway.rawjson import members, put_together
from gateway.rest.parked import Question


class CallStream:
    """The events of one call; a `asking.Listener`."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._taken = anyio.Event()
        self._asked = asyncio.Event()
        self._task: asyncio.Future[Result] | None = None
        """What is cancelled when the client is gone."""

    # What is heard.

    def asked(self) -> None:
        """The child has been asked."""
        self._asked.set()

    async def hear(self, message: Notification) -> None:
        """The child says something. This waits while the client has yet to take what there is, but not for ever."""
        event = event_of(message)
        if event:
            self._outbox.put(event)
        while self._outbox.held > LOW_WATER:
            self._taken = anyio.Event()
            with anyio.move_on_after(STALL) as waiting:
                await self._taken.wait()
            if waiting.cancelled_caught:
                logger.warning("a client does not keep up with the stream of its call; closing it")
                self._leave()

    def ask(self, question: Question) -> None:
        """The child asks something, which the client is to answer elsewhere."""
        self._outbox.put(sse.named(b"question", msgspec.json.encode(question.shown())))

    # What is answered.

    async def reply(self, answer: "asyncio.Future[Result]", *, is_own: bool) -> Reply:
        """The stream that ends with `answer`, once the child has been asked; where it `is_own`, it ends with the stream.

        Raises GatewayError where it is known by then that there is no result. Cancellation means that the client hung
        up.
        """
        self._task = answer if is_own else None
        try:
            await self._until_asked(answer)
        except BaseException:
            self._leave()
            raise
        if answer.done() and not self._asked.is_set():
            answer.result()
        answer.add_done_callback(self._finish)
        reply = event_stream(EventStream(self._outbox, self._leave, write=self._write))
        reply.put("Cache-Control", "no-store, no-transform")
        return reply

    async def _until_asked(self, answer: "asyncio.Future[Result]") -> None:
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait((asked, answer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()

    def _finish(self, answer: "asyncio.Future[Result]") -> None:
        if not answer.cancelled():
            self._outbox.put(_last(answer))
        self._outbox.close()

    def _write(self, event: bytes, _: bytes) -> bytes:
        self._taken.set()
        return event

    def _leave(self) -> None:
        """The client takes no more."""
        self._outbox.discard()
        self._taken.set()
        if self._task is not None:
            self._task.cancel()


def event_of(message: Notification) -> bytes:
    """What the caller is told of it; nothing where it is about something else than a call."""
    if message.method == "notifications/progress":
        params = members(message.params)
        params.pop(PROGRESS, None)
        return sse.named(b"progress", on_one_line(put_together(params)))
    if message.method == "notifications/message":
        return sse.named(b"message", on_one_line(message.params or b"{}"))
    return b""


def _last(answer: "asyncio.Future[Result]") -> bytes:
    error = answer.exception()
    if error is None:
        return sse.named(b"result", on_one_line(bytes(answer.result())))
    if not isinstance(error, GatewayError):
        logger.opt(exception=error).error("a call failed")
        error = GatewayError(Reason.INTERNAL_ERROR, "the gateway failed; its log says how")
    return sse.named(b"error", error.rest_body())
