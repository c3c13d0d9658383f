"""A client that behaves as LibreChat does (tests/e2e/node/librechat), in a process of its own, told what to do.

One process stands for several LibreChats, each with connections, a journal and a circuit breaker of its own.
"""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.node import PACKAGE, node_process
from tests.support.processes import PATIENCE

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes in a line that the process may print."""

QUICKLY = 0.05
"""How much of LibreChat's waits before another try remains."""

TOKEN = "s3cret-of-librechat"

SNIPPET: dict[str, Any] = {
    "type": "streamable-http",
    "requiresOAuth": False,
    "headers": {"Authorization": "Bearer ${MCP_GATEWAY_TOKEN}", "X-Gateway-User": "{{LIBRECHAT_USER_ID}}"},
}
"""The entry in `librechat.yaml` as docs/librechat.md has it, but for its URL and its timeouts."""

ENVIRONMENT: dict[str, Any] = {"env": {"MCP_GATEWAY_TOKEN": TOKEN}, "breaker": {"maxCycles": 1000}}
"""LibreChat's `.env` there."""

OPERATORS: dict[str, Any] = {
    "auth": {"bearer": {"tokens": [{"name": "librechat", "token": TOKEN}]}},
    "trust_user_header": "X-Gateway-User",
    "trusted_fronts": ["librechat"],
}
"""What the gateway's configuration has for it there; the users of some tests are none."""


class ChatError(Exception):
    """What a LibreChat's user sees, or its log."""


class Chats:
    """The process."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, anyio.Event] = {}
        self._answers: dict[int, Any] = {}
        self._writing = anyio.Lock()

    async def listen(self) -> None:
        """Take what it answers, until it has ended."""
        while True:
            try:
                line = await self._lines.receive_until(b"\n", LONGEST_ANSWER)
            except (anyio.IncompleteRead, anyio.EndOfStream):
                return
            answer = json.loads(line)
            self._answers[answer["id"]] = answer
            self._waiting.pop(answer["id"]).set()

    async def do(self, chat: int, command: str, params: Any) -> Any:
        """Have a LibreChat carry out a command, others beside it. Raises ChatError."""
        number = next(self._numbers)
        self._waiting[number] = anyio.Event()
        line = json.dumps({"id": number, "chat": chat, "command": command, "params": params})
        async with self._writing:
            await self._commands.send(line.encode() + b"\n")
        with anyio.fail_after(PATIENCE):
            if number in self._waiting:
                await self._waiting[number].wait()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise ChatError(answer["error"])
        return answer["result"]

    async def open(self, url: str, **settings: Any) -> "LibreChat":
        """A LibreChat with the server at `url` in its configuration, written as the documentation has it.

        `settings` are other keys of the entry. Its waits before another try are short.
        """
        chat = LibreChat(self, next(self._numbers))
        await chat.do("open", **{**SNIPPET, **ENVIRONMENT, "url": url, "factor": QUICKLY, **settings})
        return chat

    @asynccontextmanager
    async def librechat(self, url: str, **settings: Any) -> AsyncIterator["LibreChat"]:
        """The same. Leaving, it says goodbye to the server."""
        chat = await self.open(url, **settings)
        try:
            yield chat
        finally:
            with anyio.CancelScope(shield=True):
                await chat.do("close")


class LibreChat:
    """One LibreChat."""

    def __init__(self, chats: Chats, number: int) -> None:
        self._chats = chats
        self._number = number

    async def do(self, command: str, **params: Any) -> Any:
        """Carry out one command. Raises ChatError."""
        return await self._chats.do(self._number, command, params)

    async def call(self, user: str, tool: str, /, **arguments: Any) -> Any:
        """A user's call of a tool; the text that it gives, decoded where it is JSON. Raises ChatError."""
        text = (await self.result(user, tool, **arguments))["text"]
        try:
            return json.loads(text)
        except ValueError:
            return text

    async def result(self, user: str, tool: str, /, label: str | None = None, **arguments: Any) -> dict[str, Any]:
        """The same; the beginning of the text, and the `length` of it all. `label` is a name by which to stop it."""
        params = {"user": user, "name": tool, "arguments": arguments, "label": label}
        result: dict[str, Any] = await self.do("callTool", **{k: v for k, v in params.items() if v is not None})
        return result

    async def connect(self, *users: str) -> list[str]:
        """Connect all of them at once; for each `connected`, or why not."""
        answers: list[str] = await self.do("connectAll", users=users)
        return answers

    async def state(self, user: str) -> dict[str, Any]:
        """What is known of a user's connection, once nothing is being built again."""
        state: dict[str, Any] = await self.do("settled", user=user)
        return state

    async def seen(self, times: int = 1, **match: Any) -> dict[str, Any]:
        """Wait until so many exchanges have these properties; the last of them."""
        entry: dict[str, Any] = await self.do("seen", match=match, times=times)
        return entry

    async def journal(self, **match: Any) -> list[dict[str, Any]]:
        """The exchanges so far that have these properties."""
        entries = await self.do("journal")
        return [each for each in entries if all(each.get(key) == value for key, value in match.items())]

    async def trips(self) -> int:
        """How often the circuit breaker has opened."""
        return int((await self.do("breaker"))["trips"])


@asynccontextmanager
async def chats() -> AsyncIterator[Chats]:
    """The process, until the end."""
    main = str(PACKAGE / "librechat" / "main.mjs")
    async with anyio.create_task_group() as tasks, node_process(main) as process:
        them = Chats(process)
        tasks.start_soon(them.listen)
        yield them
