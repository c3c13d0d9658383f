"""Fixtures of the end-to-end tests."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.chaos import Row, table
from tests.support.gateway import SERVERS, Gateway, running
from tests.support.summary import print_section, recorded

CHAOS = "chaos"
"""What came of the chaos, for the summary: the fields of a row."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the chaos, if there was any."""
    rows = [Row(**each) for each in recorded(terminalreporter, CHAOS)]
    if rows:
        print_section(terminalreporter, "chaos: processes", table(rows))


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with the light server, for all tests of a module that do it no harm."""
    async with running(tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user can reach, as pytest's own are not, with the light server in it."""
    if os.geteuid() != 0:
        pytest.fail("this test gives children users of their own: it needs root")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        shutil.copy(SERVERS / "light.py", directory)
        yield Path(directory)


@pytest.fixture
async def one_gateway(shared: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway, once all that earlier tests opened there has gone, with connections of the test's own."""
    await shared.quiet()
    async with shared.connecting():
        yield shared
