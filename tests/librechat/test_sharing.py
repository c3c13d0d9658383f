"""A child that outlives LibreChat's sessions: those of one conversation's turns, and those of several LibreChats."""

from pathlib import Path

import pytest

from tests.support.gateway import light, running
from tests.support.librechat import OPERATORS, SNIPPET, Chats

pytestmark = pytest.mark.slow

CONVERSATION = {"X-Conversation-Id": "{{LIBRECHAT_BODY_CONVERSATIONID}}"}


def turn(tool: str, text: str = "") -> list[dict[str, object]]:
    """The calls of a chat turn."""
    return [{"name": tool, "arguments": {"text": text}}]


async def test_r13_a_conversation_has_its_child_from_turn_to_turn(tmp_path: Path, process: Chats) -> None:
    servers = {"light": light(isolation=["user", "header:X-Conversation-Id"], linger="1m")}
    headers = {**SNIPPET["headers"], **CONVERSATION}
    async with (
        running(servers, tmp_path=tmp_path, **OPERATORS) as gateway,
        process.librechat(f"{gateway.url}/light/mcp", headers=headers) as chat,
    ):

        async def take(conversation: str, tool: str, text: str = "") -> str:
            body = {"conversationid": conversation}
            [result] = await chat.do("turn", user="ann", body=body, calls=turn(tool, text))
            return str(result["text"])

        assert await take("one", "add", "said in the first turn") == "1"
        assert await take("two", "add", "said elsewhere") == "1"
        assert await take("one", "notes") == '["said in the first turn"]'
        assert await take("two", "notes") == '["said elsewhere"]'
        # Each turn was a session of its own, which LibreChat ended; no connection of those counts for its breaker.
        assert [each["status"] for each in await chat.journal(http="DELETE")] == [204] * 4
        assert len({each["headers"]["mcp-session-id"] for each in await chat.journal(http="DELETE")}) == 4
        assert (await chat.do("breaker"))["cycles"] == 0


async def test_r13_a_users_sessions_from_several_librechats_share_a_child(tmp_path: Path, process: Chats) -> None:
    servers = {"light": light(isolation="user", linger="1m")}
    async with running(servers, tmp_path=tmp_path, **OPERATORS) as gateway:
        url = f"{gateway.url}/light/mcp"
        async with process.librechat(url) as one, process.librechat(url) as other:
            who = await one.call("ann", "whoami")
            assert await other.call("ann", "whoami") == who
        # Both have said goodbye; who comes back within the linger finds the child as it was.
        async with process.librechat(url) as again:
            assert await again.call("ann", "whoami") == who
