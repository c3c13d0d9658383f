"""Rest and silence: sessions that LibreChat forgets, and connections that it keeps."""

from pathlib import Path

import pytest

from gateway import server
from gateway.http import streams
from tests.support.gateway import light, running
from tests.support.librechat import OPERATORS, Chats

pytestmark = pytest.mark.slow


async def test_r14_a_session_that_nobody_deletes_ends_as_idle_and_the_user_notices_nothing(
    tmp_path: Path, process: Chats
) -> None:
    servers = {"light": light(idle_timeout="300ms")}
    async with running(servers, tmp_path=tmp_path, **OPERATORS) as gateway:
        url = f"{gateway.url}/light/mcp"
        async with process.librechat(url) as chat:
            first = await chat.call("ann", "whoami")
            await gateway.said("session .* on light ended: idle_timeout")
            # Its GET stays open: LibreChat has no reason to come back before the next call.
            assert len(await chat.journal(http="GET")) == 1
            await chat.do("minuteLater", user="ann")
            assert (await chat.call("ann", "whoami"))["pid"] != first["pid"]
            assert (await chat.do("breaker"))["failedRounds"] == 0
        # A LibreChat that is killed, or older than 0.8.8, says no goodbye.
        async with process.librechat(url) as chat:
            await chat.connect("ann")
            await chat.do("crash")
            await gateway.said("session .* on light ended: idle_timeout", times=2)


def test_r11_and_r03_a_quiet_stream_says_something_every_fifteen_seconds() -> None:
    assert streams.KEEP_ALIVE <= 15


def test_r20_a_connection_may_rest_for_longer_than_any_pool_keeps_it() -> None:
    assert server.KEEP_ALIVE >= 30
