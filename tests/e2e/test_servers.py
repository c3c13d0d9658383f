"""What a gateway says of its servers by itself, which of them are there, and how many calls each may have."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway import QUICK, Gateway, light, running, write_config
from tests.support.rawmcp import Streamable, call, notification, request
from tests.support.rawmodern import Modern
from tests.support.rawmodern import call as modern_call
from tests.support.rawws import websocket

pytestmark = pytest.mark.slow

SERVERS: dict[str, Any] = {
    "light": light(name="The light one", tags=["test"]),
    "narrow": light(maxConcurrency=2, timeout="1m"),
    "broken": light("--refuse"),
    "mine": light(headers=["X-Token"], env={"TOKEN": "${header:X-Token}"}, allow_shared_uid=True),
    "off": light(enabled=False),
}


KEYS: dict[str, Any] = {"list_at_start": True, "health_interval": "10m"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is."""
    return tmp_path_factory.mktemp("gateway") / "config.yaml"


@pytest.fixture(scope="module")
async def module(config: Path, anyio_backend: str) -> AsyncIterator[Gateway]:
    async with running(SERVERS, tmp_path=config.parent, **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def gateway(module: Gateway) -> AsyncIterator[Gateway]:
    """The module's, with connections of the test's own."""
    async with module.connecting():
        yield module


async def test_at_its_start_it_tells_what_each_server_has(gateway: Gateway) -> None:
    await gateway.said(r"INFO .* server 'light': \d\d tools, started in \d+\.\d s")
    await gateway.said(r"WARNING .* server 'broken' fails \(start_failed\): the server refused 'initialize'")
    await gateway.said(r"INFO .* server 'mine' is each user's own")
    await gateway.said(r"INFO .* server 'narrow': \d\d tools")
    servers = (await gateway.health())["servers"]
    assert servers["light"]["offer"]["state"] == "well"
    assert servers["light"]["offer"]["tools"] > 30
    assert (servers["broken"]["offer"]["state"], servers["broken"]["offer"]["code"]) == ("failing", "start_failed")
    assert servers["mine"]["offer"] == {"state": "each user's own"}


async def test_a_disabled_server_is_not_there_until_a_reload_says_otherwise(gateway: Gateway, config: Path) -> None:
    assert (await gateway.health())["disabled"] == ["off"]
    id_ = await gateway.session_id()
    assert (await gateway.call(id_, "echo", server="off")).status_code == 404
    assert (await gateway.http.post("/off/mcp", json=request(1, "ping"))).status_code == 404
    swapped = {**SERVERS, "off": light(), "broken": light(enabled=False)}
    keys = {**QUICK, **KEYS, "runtime_dir": str(config.parent / "runtime")}
    write_config(config, {**keys, "servers": swapped})
    os.kill(gateway.program("supervisor"), signal.SIGHUP)
    await gateway.said("the servers for new sessions are now: light, narrow, mine, off$")
    assert (await gateway.call(id_, "echo", server="off", text="there")).status_code == 200
    assert (await gateway.call(id_, "echo", server="broken")).status_code == 404
    health = await gateway.health()
    assert health["disabled"] == ["broken"]
    assert "broken" not in health["servers"]
    await gateway.http.delete("/api/sessionid", params={"sessionId": id_})


async def test_one_call_too_many_of_a_server_is_refused_at_every_door_until_one_is_answered(gateway: Gateway) -> None:
    http = gateway.http
    session = await Streamable(http, "/narrow/mcp").open()
    id_ = await gateway.session_id()
    async with websocket(gateway.url, "/narrow/ws") as socket:
        for number in range(2):
            await socket.send(call(number, "hold"))
        await socket.ask(request("p", "ping"))  # they have been heard by now
        assert (await socket.ask(call(3, "echo")))["error"]["data"]["code"] == "max_concurrency"
        refused = await session.post(call(1, "echo"))
        assert (refused.status_code, code(refused)) == (200, "max_concurrency")
        assert (await session.post(request(2, "tools/list"))).json()["result"]  # which is no call
        rest = await gateway.call(id_, "echo", server="narrow")
        assert (rest.status_code, code(rest), rest.headers["Retry-After"]) == (429, "max_concurrency", "1")
        modern = await Modern(http, "/narrow/mcp").post(modern_call(1, "echo"))
        assert (modern.status_code, code(modern)) == (429, "max_concurrency")
        assert (await gateway.health())["refusals"]["max_concurrency"] == 4
        await socket.send(notification("notifications/cancelled", {"requestId": 1}))
        await socket.ask(request("p", "ping"))
        assert (await gateway.call(id_, "echo", server="narrow", text="x")).status_code == 200
    await session.delete()
    await http.delete("/api/sessionid", params={"sessionId": id_})


def code(answer: httpx2.Response) -> str:
    """Of an error."""
    error = answer.json()["error"]
    return str(error["data"]["code"] if "data" in error else error["code"])
