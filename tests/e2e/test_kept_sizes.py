"""What a peer says of itself may be long; nobody else is to suffer for that."""

from pathlib import Path

import pytest

from tests.support.gateway import LIGHT, MODERN, running
from tests.support.rawmcp import Streamable, request

pytestmark = pytest.mark.slow


async def test_who_says_more_of_itself_than_can_be_kept_is_served_and_ends_nobody_elses_session(tmp_path: Path) -> None:
    async with running({"light": LIGHT, "modern": {**MODERN, "era": "modern"}}, tmp_path=tmp_path) as gateway:
        bystander = await Streamable(gateway.http).open()
        who = await bystander.call(1, "whoami")
        info = {"name": "x" * 5_000_000, "version": "1"}
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
        talker = Streamable(gateway.http, "/modern/mcp")
        answer = await talker.post(request(0, "initialize", hello))
        assert answer.status_code == 200
        assert await bystander.call(2, "whoami") == who
        await gateway.said("is too long to be kept for a later gateway")
