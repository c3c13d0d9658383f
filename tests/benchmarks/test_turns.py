"""Nobody else waits behind a large answer: counted is what one turn of the event loop does of it.

The bound is in `bounds.json`. A turn is what the loop does between two looks at what has come. asyncio's own loop shows
where one begins, which uvloop does not; the gateway does the same on both.
"""

import asyncio
import json
import os
import threading
from asyncio import selector_events
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import anyio.to_thread
import pytest

from gateway import outline
from tests.benchmarks.inside import CLIENTS, gateway_here

pytestmark = pytest.mark.slow

BOUNDS: dict[str, dict[str, int]] = json.loads((Path(__file__).parent / "bounds.json").read_text())
SIZE = 8 * 1024 * 1024


class Turns:
    """What the turns did, in bytes: read from pipes, written to connections, checked in one go at the end."""

    def __init__(self) -> None:
        self.most = 0
        self.total = 0
        self._this = 0

    def handled(self, size: int) -> None:
        self._this += size
        self.total += size

    def over(self) -> None:
        self.most, self._this = max(self.most, self._this), 0


@contextmanager
def counted() -> Iterator[Turns]:
    """Those of this thread's loop."""
    turns, here = Turns(), threading.get_ident()
    loop: Any = asyncio.get_running_loop()
    run_once, read = loop._run_once, os.read
    transport: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write, decoded = transport.write, outline._decoded

    def turn() -> None:
        run_once()
        turns.over()

    def reading(fd: int, size: int) -> bytes:
        data = read(fd, size)
        turns.handled(len(data) if threading.get_ident() == here else 0)
        return data

    def writing(self: Any, data: Any) -> None:
        turns.handled(len(data))
        write(self, data)

    def checking(data: bytearray, known: Any) -> Any:
        turns.handled(len(data))
        return decoded(data, known)

    with (
        patch.object(loop, "_run_once", turn),
        patch.object(os, "read", reading),
        patch.object(transport, "write", writing),
        patch.object(outline, "_decoded", checking),
    ):
        yield turns


@pytest.mark.parametrize("door", [*CLIENTS, "Streamable HTTP, as an event"])
def test_a_turn_does_no_more_of_a_large_answer_than_a_piece(door: str, tmp_path: Path) -> None:
    async def counting() -> None:
        async with gateway_here(tmp_path) as port:
            client: Any = await anyio.to_thread.run_sync(CLIENTS[door.partition(",")[0]], port)
            if "event" in door:
                client.as_events()
            try:
                with counted() as turns:
                    assert await anyio.to_thread.run_sync(client.large, SIZE) > SIZE
            finally:
                await anyio.to_thread.run_sync(client.close)
        assert turns.total > 2 * SIZE, "it was read, and written"
        assert turns.most <= BOUNDS["bytes of a large answer that one turn of the loop handles"]["each door"]

    anyio.run(counting)
