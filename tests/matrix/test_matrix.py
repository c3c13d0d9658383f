"""Every cell of the table, by a real client, a real gateway and a real child."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.matrix.cells import CHILDREN, NOT, YES, Row, rows
from tests.matrix.checks import BUT, UNKNOWN, WORKS
from tests.matrix.clients import Connection, connected
from tests.support.gateway import SERVERS, Gateway, running
from tests.support.processes import PATIENCE

pytestmark = [
    pytest.mark.slow,
    # It warns who uses what 2026-07-28 has no more, which is what most of our clients are for.
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

SCRIPTS = {"dual": "everything.py", "legacy": "everything_legacy.py", "modern": "everything_modern.py"}


def _server(script: str) -> dict[str, Any]:
    # Whoever listens for changes must have the child that changes.
    return {"command": sys.executable, "args": [str(SERVERS / script)], "anonymous": "shared"}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with a server of each kind, of which it is told nothing."""
    servers = {child: _server(SCRIPTS[child]) for child in CHILDREN}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.client} to {row.child}")
async def test_every_feature_comes_out_as_the_table_says(shared: Gateway, row: Row, subtests: pytest.Subtests) -> None:
    async with connected(shared, row.client, row.child) as connection:
        for feature, outcome in row.outcomes.items():
            with subtests.test(f"{feature}: {outcome}"), anyio.fail_after(PATIENCE):
                await _comes_out(connection, feature, outcome)


async def _comes_out(connection: Connection, feature: str, outcome: str) -> None:
    await (UNKNOWN if outcome == NOT else WORKS)[feature](connection)
    if outcome not in (YES, NOT):
        await BUT[outcome](connection, feature)
