"""Fixtures of the end-to-end tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, running


@pytest.fixture
async def one_gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the light server, and nothing special."""
    async with running(tmp_path=tmp_path) as gateway:
        yield gateway
