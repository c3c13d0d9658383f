"""Waiting for a place, and giving it back, whatever happens in between."""

from collections import Counter
from contextlib import suppress

import anyio
import pytest

from common.config.session_paths import mark
from common.reasons import Reason
from supervisor.environment import SpawnError
from supervisor.gate import Gate
from supervisor.protocol import ServerReport
from supervisor.queueing import Request
from tests.supervisor.test_admission import SETTINGS
from tests.support.specs import server_spec

FREE = Request("free", "ann", "gw.1")
ONE = SETTINGS.model_copy(update={"max_sessions": 1, "queue_timeout": 30.0})


def reports(gate: Gate) -> ServerReport:
    """How `free` is."""
    return gate.reports(Counter())["free"]


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind() -> None:
    gate = Gate(ONE)
    await gate.enter(1, FREE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.enter, 2, FREE)
        await anyio.wait_all_tasks_blocked()
        assert (gate.waiting, reports(gate)) == (1, ServerReport(waiting=1))
        tasks.cancel_scope.cancel()
    assert gate.waiting == 0
    gate.left(1)
    await gate.enter(3, FREE)


async def test_who_is_cancelled_as_the_place_comes_passes_it_on() -> None:
    gate = Gate(ONE)
    await gate.enter(1, FREE)
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def first() -> None:
            with scope:
                await gate.enter(2, FREE)

        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(gate.enter, 3, FREE)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        gate.left(1)
    assert gate.waiting == 0
    gate.left(3)
    await gate.enter(4, FREE)


async def test_who_waits_too_long_is_refused_with_a_time_to_come_back() -> None:
    gate = Gate(ONE.model_copy(update={"queue_timeout": 0.01}))
    await gate.enter(1, FREE)
    with pytest.raises(SpawnError) as refused:
        await gate.enter(2, FREE)
    assert (refused.value.reason, refused.value.retry_after) == (Reason.MAX_SESSIONS, 5)
    assert gate.waiting == 0


async def test_other_settings_may_give_room_at_once() -> None:
    gate = Gate(ONE)
    await gate.enter(1, FREE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.enter, 2, FREE)
        await anyio.wait_all_tasks_blocked()
        gate.use(SETTINGS)
    assert gate.waiting == 0


@pytest.mark.parametrize(
    ("reason", "failing"),
    [(Reason.COMMAND_NOT_FOUND, True), (Reason.SPAWN_FAILED, True), (Reason.ROOM_FAILED, False)],
)
async def test_a_server_that_cannot_be_spawned_is_given_a_rest(reason: Reason, failing: bool) -> None:
    gate = Gate(ONE)
    error = SpawnError(reason, "it was not found", "for the log alone")
    for ticket in range(2):
        await gate.enter(ticket, FREE)
        gate.could_not_spawn(ticket, FREE, error)
    if not failing:
        await gate.enter(3, FREE)
        return
    with pytest.raises(SpawnError) as refused:
        await gate.enter(3, FREE)
    assert refused.value.reason is Reason.SERVER_FAILING
    assert refused.value.retry_after is not None


async def test_who_waited_for_a_server_that_began_to_fail_meanwhile_is_refused() -> None:
    gate = Gate(ONE)
    error = SpawnError(Reason.COMMAND_NOT_FOUND, "it was not found", "for the log alone")
    await gate.enter(0, FREE)
    gate.could_not_spawn(0, FREE, error)
    await gate.enter(1, FREE)
    refusals: list[Reason] = []

    async def wait() -> None:
        try:
            await gate.enter(2, FREE)
        except SpawnError as refused:
            refusals.append(refused.reason)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        gate.could_not_spawn(1, FREE, error)
    assert refusals == [Reason.SERVER_FAILING]
    await gate.enter(3, Request("tight"))


async def test_who_gives_way_in_a_full_queue_is_refused_at_once() -> None:
    gate = Gate(ONE.model_copy(update={"queue_max": 2}))
    await gate.enter(1, FREE)
    refused: list[SpawnError] = []

    async def greedy(ticket: int) -> None:
        try:
            await gate.enter(ticket, FREE)
        except SpawnError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for ticket in (2, 3):
            tasks.start_soon(greedy, ticket)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(gate.enter, 4, Request("free", "bob", "gw.2"))
        await anyio.wait_all_tasks_blocked()
        assert [error.reason for error in refused] == [Reason.MAX_SESSIONS]
        assert gate.waiting == 2
        tasks.cancel_scope.cancel()
    gate.left(1)


async def test_who_is_let_in_to_try_a_failing_server_and_gives_up_leaves_the_try_to_the_next() -> None:
    gate = Gate(ONE)
    failed = SpawnError(Reason.SPAWN_FAILED, "no", "no")
    for ticket in (1, 2):
        await gate.enter(ticket, FREE)
        gate.could_not_spawn(ticket, FREE, failed)
    row = gate._failures._rows["free"]
    row.last -= 1000  # its rest is over
    await gate.enter(3, FREE)
    with pytest.raises(SpawnError, match="given a rest"):
        await gate.enter(4, FREE)
    gate.gave_up(3, FREE)
    await gate.enter(5, FREE)


OWN = SETTINGS.model_copy(
    update={"servers": {"own": server_spec("own", path=f"/srv/{mark('user.id')}"), "plain": server_spec("plain")}}
)


@pytest.mark.parametrize(("server", "rests"), [("own", False), ("plain", True)])
async def test_a_user_without_a_directory_gives_nobody_elses_server_a_rest(server: str, *, rests: bool) -> None:
    gate = Gate(OWN)
    for ticket in range(3):
        request = Request(server, "ann", "gw.1")
        with suppress(SpawnError):
            await gate.enter(ticket, request)
            gate.could_not_spawn(ticket, request, SpawnError(Reason.PATH_NOT_FOUND, "not there", ""))
    other = Request(server, "bob", "gw.2")
    if rests:
        with pytest.raises(SpawnError) as refused:
            await gate.enter(9, other)
        assert refused.value.reason is Reason.SERVER_FAILING
    else:
        await gate.enter(9, other)


async def test_what_is_nobodys_is_called_to_make_room_for_whoever_waits() -> None:
    gate, called = Gate(ONE), list[list[int]]()
    gate.on_wait = called.append
    await gate.enter(1, Request("free", "", "catalog", gives_way=True))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.enter, 2, FREE)
        await anyio.wait_all_tasks_blocked()
        assert called == [[1]]
        gate.left(1)
