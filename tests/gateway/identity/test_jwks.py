"""An issuer's keys: when they are fetched, and when not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from loguru import logger

from gateway.identity.jwks import AT_ONCE, FRESH, LARGEST, RATE, RETRY, FetchFailed, Jwks, fetch
from tests.support.tokens import EC_KEY, OTHER_RSA_KEY, RSA_KEY, jwk, jwks

URL = "https://login.example/jwks"
ONE, TWO = jwk(RSA_KEY, "one"), jwk(OTHER_RSA_KEY, "two")


class Issuer:
    """One that publishes `content`, or fails where that is nothing."""

    def __init__(self, content: str) -> None:
        self.content = content
        self.fetches = 0
        self.may_answer = anyio.Event()
        self.may_answer.set()
        self.now = 0.0
        self.keys = Jwks(URL, (), self.fetch, lambda: self.now)

    async def fetch(self, url: str) -> str:
        assert url == URL
        self.fetches += 1
        await self.may_answer.wait()
        if not self.content:
            raise FetchFailed("status 500")
        return self.content

    async def has(self, kid: str | None) -> bool:
        """Whether a token that names this key finds one."""
        return bool(await self.keys.keys(kid))


async def test_keys_are_fetched_when_the_first_token_comes_and_then_kept() -> None:
    issuer = Issuer(jwks(ONE))
    assert issuer.fetches == 0
    for _ in range(100):
        assert await issuer.has("one")
    assert issuer.fetches == 1


async def test_a_new_key_is_found_as_soon_as_a_token_names_it() -> None:
    issuer = Issuer(jwks(ONE))
    assert await issuer.has("one")
    issuer.content = jwks(TWO)
    assert await issuer.has("two")
    assert not await issuer.has("one")


async def test_a_key_that_was_taken_back_is_good_for_ten_minutes_at_most() -> None:
    issuer = Issuer(jwks(ONE, TWO))
    assert await issuer.has("one")
    issuer.content = jwks(TWO)
    issuer.now += FRESH - 1
    assert await issuer.has("one")
    issuer.now += 1
    assert not await issuer.has("one")


async def test_a_flood_of_unknown_keys_makes_few_fetches() -> None:
    issuer = Issuer(jwks(ONE))
    for number in range(1000):
        assert not await issuer.has(f"../../etc/passwd-{number}")
    assert issuer.fetches == AT_ONCE
    issuer.now += 1 / RATE
    for number in range(1000):
        assert not await issuer.has(str(number))
    assert issuer.fetches == AT_ONCE + 1


async def test_requests_share_one_fetch() -> None:
    issuer = Issuer(jwks(ONE))
    issuer.may_answer = anyio.Event()
    found = []

    async def ask() -> None:
        found.append(await issuer.has("one"))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        issuer.may_answer.set()
    assert found == [True] * 100
    assert issuer.fetches == 1


async def test_who_hangs_up_while_fetching_leaves_it_to_the_next() -> None:
    issuer = Issuer(jwks(ONE))
    issuer.may_answer = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(issuer.has, "one")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    issuer.may_answer.set()
    assert await issuer.has("one")


async def test_nobody_waits_for_a_fetch_whose_key_is_there() -> None:
    issuer = Issuer(jwks(ONE))
    assert await issuer.has("one")
    issuer.may_answer = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(issuer.has, "unknown")
        await anyio.wait_all_tasks_blocked()
        issuer.now += FRESH
        with anyio.fail_after(5):
            assert await issuer.has("one")
        issuer.may_answer.set()


async def test_a_fetch_that_fails_leaves_the_keys_and_is_told_once() -> None:
    issuer = Issuer(jwks(ONE))
    said: list[str] = []
    assert await issuer.has("one")
    issuer.content = ""
    sink = logger.add(said.append, level="WARNING", format="{message}")
    try:
        for _ in range(5):
            issuer.now += max(FRESH, RETRY)
            assert await issuer.has("one")
    finally:
        logger.remove(sink)
    assert said == [f"the keys at {URL} cannot be had: status 500; those from before hold\n"]
    assert issuer.fetches == 6


async def test_where_there_were_never_any_keys_that_is_said() -> None:
    issuer = Issuer("")
    for _ in range(20):
        with pytest.raises(FetchFailed):
            await issuer.has("one")
    assert issuer.fetches == AT_ONCE
    issuer.content = jwks(ONE)
    issuer.now += 1 / RATE
    assert await issuer.has("one")


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"keys": []}', '{"keys": [1]}', "[" * 100_000])
async def test_what_is_no_set_of_keys_changes_nothing(content: str) -> None:
    issuer = Issuer(jwks(ONE))
    assert await issuer.has("one")
    issuer.content = content
    assert not await issuer.has("two")
    assert await issuer.has("one")


async def test_a_token_that_names_no_key_may_mean_any() -> None:
    issuer = Issuer(jwks(ONE, TWO, jwk(EC_KEY)))
    assert len(await issuer.keys.keys(None)) == 3
    assert len(await issuer.keys.keys("one")) == 2


# The fetch itself.


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that says this, whatever it is asked."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            try:
                await stream.send(answer)
            except anyio.BrokenResourceError:
                return

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}/jwks"
        tasks.cancel_scope.cancel()


def answer(status: str = "200 OK", *headers: str, body: bytes = b"{}") -> bytes:
    """An answer as it is on the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


async def test_keys_are_fetched_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with answering(answer(body=b'{"keys": []}')) as url:
        assert await fetch(url) == '{"keys": []}'


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer("302 Found", "Location: http://127.0.0.1:1/elsewhere"), "status 302"),
        (answer("500 Oh"), "status 500"),
        (answer(body=b"x" * (LARGEST + 1)), f"the answer is larger than {LARGEST} bytes"),
        (answer("200 OK", "Content-Encoding: gzip"), "the answer is compressed, which was not asked for"),
        (b"no HTTP at all\r\n\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_what_is_no_plain_answer_is_none(said: bytes, why: str) -> None:
    async with answering(said) as url:
        with pytest.raises(FetchFailed) as failed:
            await fetch(url)
    assert str(failed.value) == why


async def test_an_issuer_that_is_not_there_is_told() -> None:
    with pytest.raises(FetchFailed, match="ConnectError"):
        await fetch("http://127.0.0.1:1/jwks")
