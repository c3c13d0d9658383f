"""The ways into a program, as a client goes them: Streamable HTTP, HTTP+SSE, REST, and the pipe of a child itself.

Every answer is looked at: an answer that is not the one to this very request raises Wrong, and is never counted as one.
"""

import asyncio
import json
import subprocess
from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

from benchmarks.door import HELLO, INITIALIZED, VERSION, Door, Target, Wrong, answers, numbers, request, result, short
from benchmarks.http1 import Answer, Closed, Connection, Events, Stream, delete, get, path_of, post


class Streamable(Door):
    """Streamable HTTP: a POST for each message, the answer in its body, as JSON or as an event."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._path = target.paths[0]
        self._connection = Connection(target.port)
        self._headers = b""

    async def _hello(self, number: int) -> None:
        answer = await self._connection.request(post(self._path, request(number, b"initialize", HELLO)))
        version = result(_message(answer, number)).get("protocolVersion", VERSION)
        self._headers = b"Mcp-Protocol-Version: %b\r\n" % version.encode()
        if id_ := answer.header(b"mcp-session-id"):
            self._headers += b"Mcp-Session-Id: %b\r\n" % id_
        taken = await self._connection.request(post(self._path, INITIALIZED, self._headers))
        if taken.status not in (200, 202, 204):
            raise Wrong(f"{taken.status} {short(taken.body)}")

    async def _ask(self, number: int, message: bytes) -> bytes:
        return _message(await self._connection.request(post(self._path, message, self._headers)), number)

    def vanish(self) -> None:
        self._connection.close()

    async def close(self) -> None:
        await self._connection.request(delete(self._path, self._headers))
        self._connection.close()

    @property
    def reconnects(self) -> int:
        return self._connection.reconnects


class Sse(Door):
    """HTTP+SSE: a stream on which answers come, and another connection on which requests go."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._connection = Connection(target.port)
        self._stream = Stream(self._hear)
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting: tuple[int, asyncio.Future[bytes]] | None = None
        self._path = ""

    def _hear(self, name: bytes, data: bytes) -> None:
        if name == b"endpoint" and not self._endpoint.done():
            self._endpoint.set_result(data.decode())
        elif name == b"closed":
            error = Closed("the stream was closed")
            for waiting in (self._endpoint, self._waiting[1] if self._waiting else None):
                if waiting is not None and not waiting.done():
                    waiting.set_exception(error)
                    waiting.exception()  # seen, also where nobody waits any more
        elif self._waiting is not None and answers(data, self._waiting[0]):
            if not self._waiting[1].done():
                self._waiting[1].set_result(data)
        elif b'"method"' not in data:
            self.foreign += 1

    async def _hello(self, number: int) -> None:
        status = await self._stream.open(self.target.port, self.target.paths[0])
        if status != 200:
            raise Wrong(f"{status} for the stream")
        self._path = path_of(urljoin(self.target.paths[0], await self._endpoint))
        result(await self._ask(number, request(number, b"initialize", HELLO)))
        await self._post(INITIALIZED)

    async def _post(self, message: bytes) -> None:
        answer = await self._connection.request(post(self._path, message))
        if answer.status not in (200, 202, 204):
            raise Wrong(f"{answer.status} {short(answer.body)}")

    async def _ask(self, number: int, message: bytes) -> bytes:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting = number, answered
        await self._post(message)
        return await answered

    def vanish(self) -> None:
        self._stream.close()
        self._connection.close()

    async def close(self) -> None:
        self.vanish()

    @property
    def reconnects(self) -> int:
        return self._connection.reconnects


class Rest(Door):
    """A POST for each call: of a session that was got before, or of none."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._connection = Connection(target.port)
        self._path = target.paths[-1]

    async def open(self) -> None:
        """A session's id, where there are such, and the first call: there is nothing else to wait for."""
        await self._hello(0)
        await self.call()

    async def _hello(self, number: int) -> None:  # noqa: ARG002
        if len(self.target.paths) > 1:
            answer = await self._connection.request(get(self.target.paths[0]))
            if answer.status != 200:
                raise Wrong(f"{answer.status} {short(answer.body)}")
            self._path = self._path.replace("{id}", json.loads(answer.body)["sessionId"])

    async def call(self) -> None:
        text = f"n{next(numbers)}"
        answer = await self._connection.request(post(self._path, self.target.child.call(text)))
        if answer.status != 200 or self.target.child.expected(text) not in answer.body:
            raise Wrong(f"{answer.status} {short(answer.body)}")

    async def _ask(self, number: int, message: bytes) -> bytes:
        raise NotImplementedError

    def vanish(self) -> None:
        self._connection.close()

    async def close(self) -> None:
        if len(self.target.paths) > 1:
            query = self._path.partition("?")[2]
            await self._connection.request(delete(f"{self.target.paths[0]}?{query}"))
        self._connection.close()

    @property
    def reconnects(self) -> int:
        return self._connection.reconnects


class Pipe(Door):
    """No program at all: the child's own stdin and stdout."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: tuple[int, asyncio.Future[bytes]] | None = None
        self._rest = b""

    async def _hello(self, number: int) -> None:
        self._process = subprocess.Popen(  # noqa: ASYNC220  # asyncio's would cost what is measured
            self.target.child.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdout is not None
        asyncio.get_running_loop().add_reader(self._process.stdout, self._read)
        result(await self._ask(number, request(number, b"initialize", HELLO)))
        self._write(INITIALIZED)

    def _write(self, message: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(message + b"\n")

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        data = self._process.stdout.read(65536) or b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._process.stdout)
            if self._waiting and not self._waiting[1].done():
                self._waiting[1].set_exception(Closed("the child has ended"))
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._waiting and not self._waiting[1].done() and answers(line, self._waiting[0]):
                self._waiting[1].set_result(line)

    async def _ask(self, number: int, message: bytes) -> bytes:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting = number, answered
        self._write(message)
        return await answered

    def vanish(self) -> None:
        """There is nobody else to end it, so the child is ended."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            asyncio.get_running_loop().remove_reader(self._process.stdout)
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.kill()
            self._process.wait()

    async def close(self) -> None:
        self.vanish()


DOORS: Final[dict[str, Callable[[Target], Door]]] = {
    "Streamable HTTP": Streamable,
    "HTTP+SSE": Sse,
    "REST": Rest,
    "pipe": Pipe,
}


def _message(answer: Answer, number: int) -> bytes:
    """The message in an answer on Streamable HTTP that answers the request `number`."""
    if answer.status != 200:
        raise Wrong(f"{answer.status} {short(answer.body)}")
    if b"text/event-stream" not in answer.head.lower():
        found = [answer.body]
    else:
        found = [data for _, data in Events().feed(answer.body + b"\n\n")]
    for message in found:
        if answers(message, number):
            return message
    raise Wrong(f"no answer to {number} in {short(answer.body)}")
