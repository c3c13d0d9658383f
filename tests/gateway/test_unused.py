"""The time in which an id without a child must be used."""

import weakref

import anyio
import pytest

from common.reasons import Reason
from gateway import unused
from gateway.unused import Unused
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


class Idle:
    """What has an id; why it ended."""

    time: Unused

    def __init__(self, *, in_use: bool = False) -> None:
        self.in_use = in_use
        self.reasons: list[Reason] = []
        self.ended = anyio.Event()

    def end(self, reason: Reason) -> None:
        self.reasons.append(reason)
        self.ended.set()


async def test_what_nobody_uses_ends_by_itself_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused, "UNUSED", 0.01)
    idle = Idle()
    Unused(idle)
    with anyio.fail_after(PATIENCE):
        await idle.ended.wait()
    assert idle.reasons == [Reason.UNUSED]


async def test_a_timer_that_finds_its_time_begun_anew_waits_for_the_rest_of_it() -> None:
    idle = Idle()
    time = Unused(idle)
    time.begin_anew()
    time._due()
    assert idle.reasons == []
    assert time._timer is not None
    time.cancel()


async def test_what_is_in_use_goes_on_and_its_time_may_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused, "UNUSED", 0.0)
    idle = Idle(in_use=True)
    time = Unused(idle)
    with anyio.fail_after(PATIENCE):
        while time._timer is not None:
            await anyio.lowlevel.checkpoint()
    assert idle.reasons == []
    idle.in_use = False
    time.begin_anew()
    with anyio.fail_after(PATIENCE):
        await idle.ended.wait()
    assert idle.reasons == [Reason.UNUSED]


@pytest.mark.usefixtures("without_collector")
async def test_what_has_ended_waits_for_no_collector() -> None:
    idle = Idle()
    idle.time = Unused(idle)
    idle.time.cancel()
    gone = weakref.ref(idle)
    del idle
    assert gone() is None
