"""Both event loops."""

import asyncio
from typing import Any

import pytest

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
}


@pytest.fixture(scope="module", params=list(LOOPS.values()), ids=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The gateway runs on uvloop where it is to be had, and on asyncio's own loop elsewhere."""
    return request.param


@pytest.fixture(scope="module", autouse=True)
async def spare_descriptor(anyio_backend: Any) -> None:
    """uvloop keeps a descriptor for the day when there are no more, from the first time that its loop listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()
