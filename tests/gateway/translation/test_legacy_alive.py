"""A legacy server of the SDK's, in a process of its own, behind the translator: real pipes, real timers.

The test is the conversation: it asks as one would, with numbers of its own, and waits for what it hears.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from gateway.channel import Channel
from gateway.framing import Oversized
from gateway.jsonrpc import Message, Request, Response, decode, encode
from gateway.large import LargeLine
from gateway.translation.interpreter import Interpreter
from gateway.translation.legacy_child import LegacyChild
from tests.gateway.translation.playbook import CAPABILITIES, EVERYTHING, LEVEL, VERSION, line
from tests.support.gateway import SERVERS
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

LIMIT = 1024 * 1024


class Conversation:
    """The child's only one: it tells the interpreter what it hears of the channel, and the other way round."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self.translator = LegacyChild(EVERYTHING, {"name": "test", "version": "1"})
        self.channel = Channel(stdin, stdout, LIMIT, self)
        self.holds = 0
        self.told: list[dict[str, Any]] = []
        self._interpreter = Interpreter(
            self.translator, say=self.channel.write, hear=self._hear, hold=self._hold, unhold=self._unhold
        )
        self._waiting: dict[bytes, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0

    async def asks(self, method: str, level: str = "", token: bool = False, **params: Any) -> dict[str, Any]:
        """A modern request; its result or its error."""
        self._last += 1
        meta: dict[str, Any] = {VERSION: "2026-07-28", CAPABILITIES: EVERYTHING}
        if level:
            meta[LEVEL] = level
        if token:
            meta["progressToken"] = self._last
        request = decode(line(id=self._last, method=method, params={**params, "_meta": meta}))
        assert isinstance(request, Request)
        answer = self._waiting[request.id] = asyncio.get_running_loop().create_future()
        self._interpreter.to_child(request)
        with anyio.fail_after(PATIENCE):
            result: dict[str, Any] = await answer
        return result

    async def calls(self, tool: str, *, says: str = "", level: str = "", **arguments: Any) -> tuple[Any, list[str]]:
        """Call a tool, as often as its questions want it; what it says at last, and what it asked on the way."""
        asked: list[str] = []
        again: dict[str, Any] = {}
        while True:
            result = await self.asks("tools/call", name=tool, arguments=arguments, level=level, token=True, **again)
            if result["resultType"] == "complete":
                return _said(result), asked
            requests = result["inputRequests"]
            asked += [each.get("params", {}).get("message", each["method"]) for each in requests.values()]
            again = {
                "requestState": result["requestState"],
                "inputResponses": {key: _answer(each, says) for key, each in requests.items()},
            }

    def end(self) -> None:
        self._interpreter.end()
        self.channel.close()

    def on_line(self, line: bytes) -> None:
        self._interpreter.from_child(decode(line))

    def on_large(self, line: LargeLine) -> None:
        raise AssertionError(line)

    def on_oversized(self, line: Oversized) -> None:
        raise AssertionError(line)

    def on_closed(self) -> None:
        for each in self._waiting.values():
            each.cancel()

    def _hear(self, message: Message, about: int | None) -> None:
        if isinstance(message, Response):
            body = json.loads(message.result or message.error)
            self._waiting.pop(message.id).set_result(body)
        else:
            self.told.append({**json.loads(encode(message)), "about": about})

    def _hold(self) -> None:
        self.holds += 1

    def _unhold(self) -> None:
        self.holds -= 1


def _said(result: dict[str, Any]) -> Any:
    if "structuredContent" in result:
        return result["structuredContent"].get("result", result["structuredContent"])
    return result["content"][0]["text"]


def _answer(request: dict[str, Any], says: str) -> dict[str, Any]:
    """What a user answers who says `says` to everything, and to what it was asked."""
    match request["method"]:
        case "elicitation/create":
            return {"action": "accept", "content": {"said": f"{says}: {request['params']['message']}"}}
        case "sampling/createMessage":
            text = f"{says}: {request['params']['messages'][0]['content']['text']}"
            return {"role": "assistant", "model": "m", "content": {"type": "text", "text": text}}
        case _:
            return {"roots": [{"uri": f"file:///{says}"}]}


@asynccontextmanager
async def child() -> AsyncIterator[Conversation]:
    """The server, and the conversation with it."""
    their_stdin, stdin = os.pipe()
    stdout, their_stdout = os.pipe()
    command = [sys.executable, str(SERVERS / "curious.py")]
    process = subprocess.Popen(command, stdin=their_stdin, stdout=their_stdout)  # noqa: ASYNC220
    os.close(their_stdin)
    os.close(their_stdout)
    conversation = Conversation(stdin, stdout)
    try:
        yield conversation
    finally:
        conversation.end()
        await anyio.to_thread.run_sync(process.wait)


async def test_a_legacy_server_is_discovered_and_asks_what_it_likes() -> None:
    async with child() as conversation:
        found = await conversation.asks("server/discover")
        assert found["supportedVersions"] == ["2026-07-28"]
        assert found["instructions"] == "Ask me, and I ask you."
        assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "curious"
        tools = await conversation.asks("tools/list")
        assert (tools["resultType"], tools["ttlMs"], tools["cacheScope"]) == ("complete", 0, "private")
        assert await conversation.calls("interview", says="yes", name="Ann", questions=3) == (
            ["yes: Ann 0", "yes: Ann 1", "yes: Ann 2"],
            ["Ann 0", "Ann 1", "Ann 2"],
        )
        assert await conversation.calls("think", says="thought", about="life") == (
            "thought: life",
            ["sampling/createMessage"],
        )
        assert await conversation.calls("look_around", says="home") == (["file:///home"], ["roots/list"])
        assert conversation.holds == 0


async def test_questions_that_are_asked_at_once_are_put_at_once() -> None:
    async with child() as conversation:
        result = await conversation.asks("tools/call", name="survey", arguments={"name": "Bob", "questions": 3})
        assert conversation.holds == 1
        assert sorted(each["params"]["message"] for each in result["inputRequests"].values()) == [
            "Bob 0",
            "Bob 1",
            "Bob 2",
        ]
        answers = {key: _answer(each, "no") for key, each in result["inputRequests"].items()}
        again = {"requestState": result["requestState"], "inputResponses": answers}
        result = await conversation.asks(
            "tools/call", name="survey", arguments={"name": "Bob", "questions": 3}, **again
        )
        assert _said(result) == {f"Bob {number}": f"no: Bob {number}" for number in range(3)}


async def test_six_interviews_at_once_get_each_their_own_answers() -> None:
    async with child() as conversation:
        answers: dict[str, Any] = {}

        async def interview(name: str) -> None:
            answers[name] = await conversation.calls("interview", says=f"I, {name}", name=name, questions=4)

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(interview, f"client{number}")
        for name, (heard, asked) in answers.items():
            assert asked == [f"{name} {number}" for number in range(4)]
            assert heard == [f"I, {name}: {question}" for question in asked]
        assert len(answers) == 6
        assert conversation.translator.counters == {}


async def test_progress_and_log_lines_are_about_their_call() -> None:
    async with child() as conversation:
        assert (await conversation.calls("climb", level="debug", steps=2))[0] == "there"
        assert [each["method"] for each in conversation.told] == [
            "notifications/progress",
            "notifications/message",
        ] * 2
        assert {each["about"] for each in conversation.told} == {1}
        conversation.told.clear()
        assert (await conversation.calls("climb_and_ask", says="yes"))[0] == "yes: further?"
        tokens = [(each["about"], each["params"]["progressToken"]) for each in conversation.told]
        assert tokens == [(2, 2), (3, 3)]
