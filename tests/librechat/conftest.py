"""One gateway and one process of LibreChats for all tests of a module."""

from collections.abc import AsyncIterator

import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.librechat import OPERATORS, TOKEN, Chats, LibreChat, chats


@pytest.fixture(scope="module")
async def process(anyio_backend: str) -> AsyncIterator[Chats]:
    """The LibreChats."""
    async with chats() as them:
        yield them


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with the light server, for all tests of a module that do it no harm."""
    servers = {"light": light(max_user_sessions=2)}
    directory = tmp_path_factory.mktemp("gateway")
    async with running(servers, tmp_path=directory, queue_timeout="200ms", **OPERATORS) as gateway:
        yield gateway


@pytest.fixture
async def gateway(shared: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway, once all that earlier tests opened there has gone, with connections of the test's own."""
    await shared.quiet()
    async with shared.connecting():
        shared.http.headers["Authorization"] = f"Bearer {TOKEN}"
        yield shared


@pytest.fixture
async def chat(gateway: Gateway, process: Chats) -> AsyncIterator[LibreChat]:
    """A LibreChat with the documented entry for the light server, and a breaker that keeps nobody away."""
    async with process.librechat(f"{gateway.url}/light/mcp") as them:
        yield them
