"""Who waits for news, and what wakes them."""

import anyio
import anyio.lowlevel
import pytest

from gateway.bell import FOR_EVER, Bell
from tests.support.processes import PATIENCE


@pytest.mark.parametrize("within", [PATIENCE, FOR_EVER])
async def test_everybody_who_waits_is_woken_and_who_comes_later_is_not(within: float) -> None:
    bell, woken = Bell(), list[int]()

    async def wait(number: int) -> None:
        await bell.wait(within)
        woken.append(number)

    bell.ring()  # for nobody
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in (1, 2):
                tasks.start_soon(wait, number)
            await anyio.lowlevel.checkpoint()
            assert woken == []
            bell.ring()
    assert sorted(woken) == [1, 2]
    assert repr(bell) == "<Bell for 0>"


@pytest.mark.parametrize("within", [-1.0, 0.0, 0.001])
async def test_nobody_waits_longer_than_they_like(within: float) -> None:
    bell = Bell()
    with anyio.fail_after(PATIENCE):
        await bell.wait(within)
    assert repr(bell) == "<Bell for 0>"


async def test_one_who_gives_up_wakes_nobody_else() -> None:
    bell, woken = Bell(), list[str]()

    async def wait() -> None:
        await bell.wait(FOR_EVER)
        woken.append("the other")

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await bell.wait(FOR_EVER)
            assert repr(bell) == "<Bell for 1>"
            assert woken == []
            bell.ring()
    assert woken == ["the other"]
