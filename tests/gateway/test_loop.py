"""The event loop that the gateway runs on."""

from pathlib import Path

import pytest

from gateway import __main__ as program
from tests.support.gateway import LIGHT, running


@pytest.mark.slow
async def test_it_is_uvloops_where_that_is_installed(tmp_path: Path) -> None:
    assert program.has_uvloop()
    async with running({"light": LIGHT}, tmp_path=tmp_path) as gateway:
        assert any("the event loop is uvloop's" in line for line in gateway.lines)


def test_it_is_asyncios_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    assert not program.has_uvloop()
