"""Hot requests in front of an application that knows nothing of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest

from gateway.hot import asgi
from gateway.hot.asgi import BOUND, InFront
from gateway.hot.exchange import Answering, Head, Reply
from tests.support.processes import PATIENCE

GONE = {"type": "http.disconnect"}


def part(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


class Hot:
    """Answers what comes to `/hot`, each as its body says."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.ends: list[str] = []

    def takes(self, head: Head) -> Answering | None:
        return partial(self._answer, head) if head.path == "/hot" else None

    async def _answer(self, head: Head, body: bytes) -> Reply | None:
        self.heads.append(head)
        match body:
            case b"none":
                return None
            case b"wait":
                try:
                    await anyio.sleep_forever()
                finally:
                    self.ends.append("the call")
            case b"stream" | b"endless":
                return Reply(200, self._parts(endless=body == b"endless"), [("X-Kind", "stream")])
            case b"counted":
                return Reply(200, self._parts(), length=6)
        return Reply(201, body, [("X-Kind", "bytes")])

    @asynccontextmanager
    async def _parts(self, *, endless: bool = False) -> AsyncIterator[AsyncIterator[bytes]]:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"
            if endless:
                await anyio.sleep_forever()

        try:
            yield parts()
        finally:
            self.ends.append("the stream")


class Client:
    """An ASGI server with one client, who sends `events` and hangs up once `hangs_up` so many events came back.

    It takes no more than `takes` of them."""

    def __init__(self, *events: dict[str, Any], hangs_up: int | None = None, takes: int = 100, **scope: Any) -> None:
        self.scope = {
            "type": "http", "method": "POST", "path": "/hot", "query_string": b"a=1", "http_version": "1.1",
            "headers": [(b"Host", b"x")], "client": ("192.0.2.1", 1), "root_path": "", **scope,
        }  # fmt: skip
        self.events = [*events]
        self.sent: list[dict[str, Any]] = []
        self._hangs_up = hangs_up
        self._takes = takes
        self._over = anyio.Event()
        if hangs_up == 0:
            self._over.set()

    async def receive(self) -> Any:
        if self.events:
            return self.events.pop(0)
        await self._over.wait()
        return GONE

    async def send(self, event: Any) -> None:
        if len(self.sent) == self._takes:
            await anyio.sleep_forever()
        self.sent.append(event)
        if len(self.sent) == self._hangs_up:
            self._over.set()

    @property
    def body(self) -> bytes:
        return b"".join(each["body"] for each in self.sent[1:])


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says what it got."""
    got = b"app:"
    if scope["type"] == "http":
        while (event := await receive())["type"] == "http.request":
            got += event["body"]
            if not event["more_body"]:
                break
        else:
            got += b"gone"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": got})


async def served(client: Client) -> Hot:
    """What the hot doors saw of it."""
    hot = Hot()
    with anyio.fail_after(PATIENCE):
        await InFront(hot, application)(client.scope, client.receive, client.send)  # type: ignore[arg-type]
    return hot


async def test_a_hot_request_is_answered_and_the_application_hears_nothing_of_it() -> None:
    client = Client(part(b"he", more=True), part(b"llo"))
    hot = await served(client)
    assert hot.heads == [Head("POST", "/hot", "a=1", (("host", "x"),), "192.0.2.1", "1.1")]
    assert client.sent[0]["status"] == 201
    assert client.sent[0]["headers"] == [(b"x-kind", b"bytes"), (b"content-length", b"5")]
    assert client.body == b"hello"


@pytest.mark.parametrize(("asked", "length"), [(b"stream", []), (b"counted", [(b"content-length", b"6")])])
async def test_a_body_in_parts_is_sent_as_it_comes_and_left(asked: bytes, length: list[Any]) -> None:
    client = Client(part(asked))
    hot = await served(client)
    assert [(each["body"], each["more_body"]) for each in client.sent[1:]] == [
        (b"one", True),
        (b"two", True),
        (b"", False),
    ]
    assert [each for each in client.sent[0]["headers"] if each[0] == b"content-length"] == length
    assert hot.ends == ["the stream"]


async def test_what_turns_out_to_be_no_hot_request_is_the_applications_as_though_nobody_had_seen_it() -> None:
    client = Client(part(b"no", more=True), part(b"ne"))
    hot = await served(client)
    assert len(hot.heads) == 1
    assert client.body == b"app:none"


@pytest.mark.parametrize(
    "scope", [{"path": "/other"}, {"root_path": "/below"}, {"type": "websocket"}, {"type": "lifespan"}]
)
async def test_what_is_none_in_the_first_place_is_not_even_read(scope: dict[str, Any]) -> None:
    client = Client(part(b"x"), **scope)
    hot = await served(client)
    assert hot.heads == []
    assert client.body in (b"app:x", b"app:")


async def test_a_body_that_is_too_long_is_the_applications() -> None:
    parts = [part(b"x" * (BOUND // 2), more=True)] * 3
    client = Client(*parts, part(b"end"))
    hot = await served(client)
    assert hot.heads == []
    assert client.body == b"app:" + b"x" * (BOUND // 2 * 3) + b"end"


async def test_a_client_that_hangs_up_before_all_is_there_has_asked_nothing() -> None:
    client = Client(part(b"x", more=True), hangs_up=0)
    hot = await served(client)
    assert hot.heads == []
    assert client.body == b"app:xgone"


async def test_who_hangs_up_cancels_the_call_and_ends_the_stream() -> None:
    assert (await served(Client(part(b"wait"), hangs_up=0))).ends == ["the call"]
    assert (await served(Client(part(b"endless"), hangs_up=3))).ends == ["the stream"]


@pytest.mark.parametrize(("asked", "bound"), [(b"counted", "SENDING"), (b"whole", "TAKING")])
async def test_who_does_not_take_an_answer_is_waited_for_only_so_long(
    asked: bytes, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, bound, 0)
    client = Client(part(asked), takes=1)
    hot = await served(client)
    assert [each["type"] for each in client.sent] == ["http.response.start"]
    assert hot.ends == ["the stream"] * (asked == b"counted")


async def test_who_does_not_take_a_stream_has_all_the_time_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "SENDING", 0)
    client = Client(part(b"stream"))
    await served(client)
    assert client.body == b"onetwo"
