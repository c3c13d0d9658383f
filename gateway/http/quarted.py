"""What Quart has to know: how its request is one of ours, and how our answer is one of its.

Nothing is decided here. Doors, guards and all that they ask know requests and answers by `gateway.http.asked` and
`gateway.hot.exchange`; this module is the only one that turns the one into the other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

import anyio
from quart import Blueprint, Quart, Response, current_app, g, has_websocket_context, request, websocket
from quart.typing import ResponseTypes
from quart.wrappers.response import ResponseBody
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.hot.exchange import Head, Reply, value_of
from gateway.http.asked import Asked
from gateway.http.checks import Checks
from gateway.http.streams import abandon

CHECKS: Final = "checks"
"""The extension of the application that every request passes."""

SENDING: Final = 600.0
"""Seconds in which a client has to take all of a body whose length is known."""

DISCARDING: Final = 2.0
"""Seconds in which the rest of a request is read that no door has read."""


Handler = Callable[..., Awaitable[Reply]]
"""A door's answer; it is given what stands in the path."""


def add(routes: Blueprint, path: str, name: str, handler: Handler, method: str) -> None:
    """Have `handler` answer requests to `path` with this method."""

    async def view(**parts: Any) -> Response:
        return response(await handler(**parts))

    routes.add_url_rule(path, name, view, methods=[method], provide_automatic_options=False)


def given(handler: Handler) -> Handler:
    """`handler`, given the request itself before all else."""

    async def given_it(**parts: Any) -> Reply:
        return await handler(asked(), **parts)

    return given_it


def install(app: Quart, checks: Checks) -> None:
    """Have every request of `app` pass the checks first, and every answer bear what they say."""
    app.extensions[CHECKS] = checks

    async def check() -> Response | None:
        reply = await checks.check(asked())
        return response(reply) if reply is not None else None

    app.before_request(check)
    app.before_websocket(check)
    app.after_request(_finish)
    app.after_websocket(_finish_handshake)
    app.teardown_request(_let_go)


def asked() -> Asked:
    """What is being answered: a request, or the handshake of a WebSocket."""
    found: Asked | None = g.get("asked")
    if found is None:
        found = g.asked = _asked()
    return found


def _asked() -> Asked:
    current = websocket if has_websocket_context() else request
    path, query = current.path, current.query_string.decode("latin-1")
    # The first one is the framework's own, for the address.
    headers = tuple((name.lower(), value) for name, value in [*current.headers.items()][1:])
    version = current.http_version
    head = Head(current.method, path, query, headers, current.remote_addr or "", version)
    body = b"" if has_websocket_context() else request.body
    server = (current.view_args or {}).get("server")
    return Asked(
        head, body, current_app.extensions[CHECKS], door=current.blueprint, server=server, endpoint=current.endpoint
    )


def response(reply: Reply) -> Response:
    """`reply`, as Quart sends it."""
    made = Response(_body(reply), status=reply.status, headers=Headers(reply.headers))
    if value_of(reply.headers, "Content-Type") is None:
        del made.headers["Content-Type"]  # the framework's own guess
    if reply.status == HTTPStatus.NOT_MODIFIED:
        del made.headers["Content-Length"]  # it would be that of what the client has
    if not isinstance(reply.body, bytes):
        made.timeout = None
        if reply.length is not None:
            made.content_length, made.timeout = reply.length, SENDING
    return made


def _body(reply: Reply) -> bytes | ResponseBody:
    return reply.body if isinstance(reply.body, bytes) else _Stream(reply.body)


class _Stream(ResponseBody):
    """The parts of a body as they come."""

    def __init__(self, parts: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        self.parts = parts

    async def __aenter__(self) -> AsyncIterator[bytes]:
        return await self.parts.__aenter__()

    async def __aexit__(self, exc_type: type, exc_value: BaseException, tb: TracebackType) -> None:
        await self.parts.__aexit__(exc_type, exc_value, tb)


async def _finish(response: Response) -> Response:
    """The request is read to its end, for the next one comes behind it.

    A client that hangs up meanwhile never begins the event stream that it would have got, so that is over, too.
    """
    try:
        await _discard_rest()
    except BaseException:
        if isinstance(response.response, _Stream):
            abandon(response.response.parts)
        raise
    _mark(response)
    return response


async def _let_go(_: BaseException | None) -> None:
    """The body of a request that is over is of no more use, but what there was of the request is in a cycle with Quart's
    own, and it may be long before the collector comes.
    """
    found: Asked | None = g.get("asked")
    if found is not None:
        found.body = b""


async def _finish_handshake(response: ResponseTypes | None) -> ResponseTypes | None:
    """A refused handshake, after which the connection is of no more use."""
    if response is not None:
        response.headers["Connection"] = "close"
        _mark(response)
    return response


def _mark(response: ResponseTypes) -> None:
    headers = list(response.headers)
    asked().checks.mark(asked(), response.status_code, headers)
    response.headers.clear()
    response.headers.extend(headers)


async def _discard_rest() -> None:
    """Read what no door has read of the request, for DISCARDING seconds at most; Quart bounds how much that may be."""
    with anyio.move_on_after(DISCARDING), suppress(RequestEntityTooLarge):
        async for _ in request.body:
            pass
