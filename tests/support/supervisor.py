"""The supervisor's end of the control socket, played by a test: real frames, real children, and any answer one likes.

For what a real supervisor says rarely, or only after minutes: refusals, waiting, limits, certificates.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc
import msgspec

from common.reasons import Reason
from supervisor.protocol import (
    PROTOCOL,
    Answer,
    Ask,
    Certificate,
    Ending,
    Exit,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Gone,
    Hello,
    Open,
    Opened,
    Refused,
    Release,
    Welcome,
    decode_from_gateway,
    encode,
)
from tests.support.gateway import LIGHT, Gateway, programs
from tests.support.processes import PATIENCE

T = TypeVar("T", bound=FromGateway)

POLICY = {"start_timeout": 24.0, "request_timeout": 300.0, "max_message_bytes": 1 << 20}


class Played:
    """A supervisor that does what a test says; by default it starts the light server for every `Open`."""

    def __init__(self, stream: anyio.abc.UNIXSocketStream, settings: dict[str, Any]) -> None:
        self.heard: list[FromGateway] = []
        self.on_open: Callable[[Open], Awaitable[None]] = self.spawn
        self.answer = Answer(0, running=0, ending=0)
        self._stream = stream
        self._settings = settings
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._news = anyio.Event()

    async def run(self) -> None:
        """Play until the gateway hangs up."""
        reader = FrameReader()
        try:
            async with self._stream:
                while True:
                    for body, _ in reader.feed(await self._stream.receive(), []):
                        await self._hear(decode_from_gateway(body))
        except anyio.EndOfStream:
            pass
        finally:
            for child in self._children.values():
                child.kill()
                child.wait()

    async def told(self, kind: type[T], times: int = 1) -> T:
        """Wait until the gateway has sent `times` messages of a kind; the last of those."""
        with anyio.fail_after(PATIENCE):
            while len(found := [each for each in self.heard if isinstance(each, kind)]) < times:
                await self._news.wait()
        return found[times - 1]

    async def send(self, message: FromSupervisor) -> None:
        """Say something."""
        await self._stream.send(encode(message))

    def refuse(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        """From now on, refuse every child."""

        async def refuse(request: Open) -> None:
            await self.send(Refused(request.ref, reason, message, retry_after))

        self.on_open = refuse

    async def spawn(self, request: Open, *options: str) -> None:
        """Start a light server; its lease is the request's number."""
        (stdin, to_child), (from_child, stdout) = os.pipe(), os.pipe()
        command = [LIGHT["command"], *LIGHT["args"], *options]
        child = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        self._children[request.ref] = child
        message = encode(Opened(request.ref, request.ref, child.pid), 2)
        await self._stream.send_fds(message, [to_child, from_child])
        for fd in (stdin, stdout, to_child, from_child):
            os.close(fd)

    async def end(self, lease: int, reason: Reason, exit_: Exit | None = None, certificate: str = "") -> None:
        """Say that a child is being ended."""
        await self.send(Ending(lease, reason, exit_, certificate))

    async def bury(self, lease: int, certificate: Certificate) -> None:
        """Say that a child is gone."""
        await self.send(Gone(lease, certificate))

    async def _hear(self, message: FromGateway) -> None:
        match message:
            case Hello():
                await self.send(Welcome(PROTOCOL, msgspec.Raw(json.dumps(self._settings).encode())))
            case Open():
                await self.on_open(message)
            case Ask(ref=ref):
                await self.send(msgspec.structs.replace(self.answer, ref=ref))
            case Release(lease=lease, reason=reason):
                await self.end(lease, reason)
        self.heard.append(message)
        self._news.set()
        self._news = anyio.Event()


@asynccontextmanager
async def played(auth: dict[str, Any] | None = None, **policy: float) -> AsyncIterator[tuple[Played, Gateway]]:
    """A gateway, and the supervisor that the test plays for it."""
    settings = {
        "hostname": "127.0.0.1",
        "port": 0,
        "node": "gw",
        "allowed_hosts": [],
        "auth": auth or {},
        "debug": {"level": "debug"},
        "servers": {"light": POLICY | policy, "other": POLICY | policy},
    }
    # Not in the test's own directory: the path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "control.sock"
        listener = await anyio.create_unix_listener(path)
        async with listener, programs([sys.executable, "-m", "gateway", "--socket", str(path)]) as gateway:
            with anyio.fail_after(PATIENCE):
                stream = await listener.accept()
            assert isinstance(stream, anyio.abc.UNIXSocketStream)
            supervisor = Played(stream, settings)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(supervisor.run)
                gateway.url = (await gateway.said(r"listening on (\S+) for"))[1]
                async with gateway.connecting():
                    yield supervisor, gateway
                gateway.process.terminate()  # it waits for the supervisor to hang up, so while that is still there
