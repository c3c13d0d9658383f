"""In every mode, and in a sandbox, a session works, and nothing of it outlives it or the supervisor."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import ROOT, WRAPPED, running
from tests.support.processes import watching
from tests.support.rawmcp import Streamable
from tests.support.wrappers import HAS_SHIM

pytestmark = pytest.mark.slow

GRACES = {"stop_grace": "100ms", "terminate_grace": "200ms"}
WAYS: list[dict[str, Any]] = [
    {"reaping": "cgroup"},
    {"reaping": "namespace"},
    {"reaping": "tagged"},
    {"wrapper": "shells", "reaping": "namespace"},
    {"wrapper": "shells", "reaping": "tagged"},
    {"reaping": "tagged", "sandbox": {"kind": "bubblewrap", "writable": [str(ROOT)]}},
    {"reaping": "cgroup", "sandbox": {"kind": "bubblewrap", "writable": [str(ROOT)]}},
]


@pytest.mark.usefixtures("leaves_empty_cgroups")
@pytest.mark.parametrize("keys", WAYS, ids=lambda keys: "-".join(keys) + "-" + keys["reaping"])
@pytest.mark.parametrize("end", ["delete", "supervisor", "gateway"])
async def test_nothing_is_left(keys: dict[str, Any], end: str, tmp_path: Path) -> None:
    async with running({"light": {**WRAPPED, **GRACES}}, tmp_path=tmp_path, **keys) as gateway:
        await gateway.said(f"every tree is kept whole by: {keys['reaping']}")
        await gateway.said(f"children are started by: {'shells' if 'wrapper' in keys or not HAS_SHIM else 'the shim'}")
        session = await Streamable(gateway.http).open()
        await session.call(1, "helper")
        pids = gateway.children()
        assert len(pids) >= 3
        with watching(*pids) as processes:
            await session.call(2, "stray")  # which the meter may end before anybody else does
            if end == "delete":
                await session.delete()
                await gateway.gone(1)
                assert gateway.children() == set()
            else:
                os.kill(gateway.program(end), signal.SIGKILL)
                await gateway.process.wait()
            for process in processes:
                await process.ended()
