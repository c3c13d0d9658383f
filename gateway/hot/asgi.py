"""Hot requests under any ASGI server: in front of an application, which gets all others (ASGI 3.0, HTTP).

A request that may be hot is read whole, within BOUND. Where it turns out to be none, the application gets what was read
as though nobody had seen it.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import anyio
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    HTTPScope,
    Scope,
)

from gateway.hot.exchange import SENDING, TAKING, Answering, Head, HotApp, Reply

BOUND: Final = 256 * 1024
"""Bytes of a body; a longer one is the application's."""


class InFront:
    """An ASGI application: `hot` before `app`."""

    def __init__(self, hot: HotApp, app: ASGIFramework) -> None:
        self.app = app
        self._hot = hot

    def __repr__(self) -> str:
        return f"<InFront of {self.app!r}>"

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection, request or lifespan."""
        head = head_of(scope) if scope["type"] == "http" and not scope.get("root_path") else None
        answering = self._hot.takes(head) if head is not None else None
        if answering is None:
            await self.app(scope, receive, send)
            return
        came, body = await _read(receive)
        if body is None or not await _answered(answering, body, receive, send):
            await self.app(scope, _again(came, receive), send)


async def _answered(answering: Answering, body: bytes, receive: ASGIReceiveCallable, send: ASGISendCallable) -> bool:
    """Answer a request; whether it was a hot one. A client that hangs up cancels it."""
    is_hot = True
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch, name="a client that hangs up")
        reply = await answering(body)
        if reply is None:
            is_hot = False
        else:
            await _send(reply, send)
        tasks.cancel_scope.cancel()
    return is_hot


def head_of(scope: HTTPScope) -> Head | None:
    """All of a request but its body; None where it is of no kind that could be a hot one."""
    client = scope.get("client")
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    query = scope["query_string"].decode("latin-1")
    address = client[0] if client else "<local>"
    return Head(scope["method"], scope["path"], query, headers, address or "", scope["http_version"])


async def _read(receive: ASGIReceiveCallable) -> tuple[list[ASGIReceiveEvent], bytes | None]:
    """What came of the request, and all of its body; None where that is too long, or the client is gone."""
    came: list[ASGIReceiveEvent] = []
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        came.append(event)
        if event["type"] != "http.request":
            return came, None
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > BOUND:
            return came, None
        if not event.get("more_body", False):
            return came, b"".join(parts)


def _again(came: Sequence[ASGIReceiveEvent], receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
    """What brings `came` once more, and then what comes."""
    left = [*came]

    async def again() -> ASGIReceiveEvent:
        return left.pop(0) if left else await receive()

    return again


async def _send(reply: Reply, send: ASGISendCallable) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    start: Any = {"type": "http.response.start", "status": int(reply.status), "headers": headers}
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", b"%d" % len(reply.body)))
        with anyio.move_on_after(TAKING):
            await send(start)
            await send(_part(reply.body, more=False))
        return
    if reply.length is not None:
        headers.append((b"content-length", b"%d" % reply.length))
    with anyio.move_on_after(SENDING if reply.length is not None else math.inf):
        async with reply.body as parts:
            await send(start)
            async for part in parts:
                await send(_part(part, more=True))
            await send(_part(b"", more=False))


def _part(data: bytes, *, more: bool) -> Any:
    return {"type": "http.response.body", "body": data, "more_body": more}
