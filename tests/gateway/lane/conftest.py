"""Both event loops."""

from typing import Any

import pytest

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
}


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS.keys())
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The gateway runs on uvloop where it is to be had, and on asyncio's own loop elsewhere."""
    return request.param
