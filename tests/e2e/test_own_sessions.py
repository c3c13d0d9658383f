"""The session of a caller that names none: through a restart, over its idle timeout, and without its owner's key."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.apart import gateway, stop, supervisor
from tests.support.gateway import Gateway, light, write_config
from tests.support.processes import watching
from tests.support.users import KEYS, OTHER, of

pytestmark = pytest.mark.slow

ANN = of("ann")
SERVERS = {"light": light(), "common": light(isolation="user"), "brief": light(idle_timeout="1s")}


async def ask(front: Gateway, whose: dict[str, str], server: str, tool: str, **arguments: Any) -> tuple[Any, bool]:
    """What a tool says, and whether its child is new."""
    body = {"tool": tool, "server": server, "arguments": arguments}
    answer = await front.http.post("/api/v1/tools/call", headers=whose, json=body)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["content"][0]["text"]), "Mcp-Session-New" in answer.headers


async def children(front: Gateway, whose: dict[str, str]) -> int:
    """How many servers have a child for `whose` sessions."""
    found = (await front.http.get("/api/v1/sessions", headers=whose)).json()["sessions"]
    return sum(at["pid"] is not None for each in found for at in each["servers"])


async def test_the_next_gateway_goes_on_with_everybodys_own_and_with_no_second_child(tmp_path: Path) -> None:
    async with supervisor(tmp_path, SERVERS, **KEYS) as (_, path):
        async with gateway(path) as front:
            before = {}
            for name, server in (("ann", "light"), ("ann", "common"), ("bob", "common"), ("cyd", "light")):
                await ask(front, of(name), server, "add", text=name)
                before[name, server], _ = await ask(front, of(name), server, "whoami")
            await stop(front, signal.SIGKILL)
        async with gateway(path) as front:
            for (name, server), who in before.items():
                assert await ask(front, of(name), server, "whoami") == (who, False)
                assert await ask(front, of(name), server, "notes") == ([name], False)
            assert [await children(front, of(name)) for name in ("ann", "bob", "cyd")] == [2, 1, 1]
            assert (await front.health())["status"] == "ok"
            assert (await front.http.get("/health", headers=ANN)).json()["children"]["running"] == 4


async def test_one_that_ended_as_idle_is_replaced_and_one_without_its_owners_key_is_gone(tmp_path: Path) -> None:
    async with supervisor(tmp_path, SERVERS, **KEYS) as (program, path), gateway(path) as front:
        first, new = await ask(front, ANN, "brief", "whoami")
        assert new
        await front.said("on brief ended: idle_timeout")
        second, new = await ask(front, ANN, "brief", "whoami")
        assert new
        assert first["instance"] != second["instance"]
        theirs, _ = await ask(front, OTHER, "light", "whoami")
        mine, _ = await ask(front, ANN, "light", "whoami")
        file = tmp_path / "config.yaml"
        config = YAML(typ="safe").load(file.read_text())
        tokens = config["auth"]["bearer"]["tokens"]
        tokens[:] = [each for each in tokens if each["name"] != "ci"]
        write_config(file, config)
        with watching(theirs["pid"]) as [child]:
            program.process.send_signal(signal.SIGHUP)
            await child.ended()
        await front.said("on light ended: credentials_removed")
        assert await ask(front, ANN, "light", "whoami") == (mine, False)
