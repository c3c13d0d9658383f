"""A gateway that restarts under LibreChat's users: nobody loses a session, and no storm begins."""

import signal
from pathlib import Path

import anyio
import pytest

from tests.support.apart import gateway as front
from tests.support.apart import stop, supervisor
from tests.support.gateway import running
from tests.support.librechat import OPERATORS, ChatError, Chats, LibreChat

pytestmark = pytest.mark.slow

USERS = [f"user-{number}" for number in range(20)]


class Load:
    """Users who call a tool again and again, and what came of it."""

    def __init__(self, chat: LibreChat) -> None:
        self.chat = chat
        self.done = dict.fromkeys(USERS, 0)
        self.errors: list[str] = []
        self.over = False
        self._news = anyio.Event()

    async def use(self, user: str) -> None:
        while not self.over:
            try:
                await self.chat.call(user, "add", text=user)
                self.done[user] += 1
            except ChatError as error:
                self.errors.append(str(error))
            self._news.set()
            self._news = anyio.Event()

    async def each_has_done(self, more: int) -> None:
        wanted = {user: count + more for user, count in self.done.items()}
        while any(self.done[user] < count for user, count in wanted.items()):
            await self._news.wait()


async def the_same(chat: LibreChat, users: list[str]) -> None:
    """The users' connections are the first that there were."""
    for user in users:
        state = await chat.state(user)
        assert (user, state["state"], len(state["sessions"])) == (user, "connected", 1)
    assert await chat.do("breaker") == {"open": False, "cycles": len(USERS), "failedRounds": 0, "trips": 0}


async def test_r12_a_restart_under_load_costs_nobody_a_session(tmp_path: Path, process: Chats) -> None:
    async with supervisor(tmp_path, **OPERATORS) as (_, path), front(path) as first:
        url = f"{first.url}/light/mcp"
        chat = await process.open(url)
        load = Load(chat)
        async with anyio.create_task_group() as tasks:
            assert set(await chat.connect(*USERS)) == {"connected"}
            for user in USERS:
                tasks.start_soon(load.use, user)
            await load.each_has_done(2)
            await stop(first, signal.SIGTERM)
            async with front(path) as second:
                await second.said(f"went on with {len(USERS)} of {len(USERS)} sessions")
                await load.each_has_done(2)
                load.over = True
                for user in USERS:
                    assert len(await chat.call(user, "notes")) >= load.done[user]
                await the_same(chat, USERS)
                await chat.do("close")
    # A call that finds the old gateway on its way out is told so; most wait for the next one.
    assert {"the session goes on" in each for each in load.errors} <= {True}, load.errors


async def test_r12_a_crash_costs_nobody_a_session_who_is_not_in_the_middle_of_a_call(
    tmp_path: Path, process: Chats
) -> None:
    async with supervisor(tmp_path, **OPERATORS) as (_, path):
        async with front(path) as first:
            chat = await process.open(f"{first.url}/light/mcp")
            assert set(await chat.connect(*USERS)) == {"connected"}
            pids = {user: (await chat.call(user, "whoami"))["pid"] for user in USERS}
            await chat.seen(http="GET", status=200, times=len(USERS))
            await stop(first, signal.SIGKILL)
        async with front(path) as second:
            await second.said(f"went on with {len(USERS)} of {len(USERS)} sessions")
            assert {user: (await chat.call(user, "whoami"))["pid"] for user in USERS} == pids
            # All their streams are back, by themselves.
            await chat.seen(http="GET", status=200, times=2 * len(USERS))
            await the_same(chat, USERS)
            await chat.do("close")


async def test_r08_a_gateway_that_is_leaving_answers_what_is_in_flight_and_says_429_to_who_comes(
    tmp_path: Path, process: Chats
) -> None:
    async with (
        running(tmp_path=tmp_path, drain_timeout="20s", **OPERATORS) as gateway,
        process.librechat(f"{gateway.url}/light/mcp") as chat,
    ):
        await chat.connect("ann", "bob")
        answers: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def hold() -> None:
                answers.append(await chat.call("ann", "hold", text="waited for"))

            tasks.start_soon(hold)
            await gateway.said("stderr: holding")
            gateway.process.terminate()
            await gateway.said("waiting up to 20 seconds for 1 calls in flight")
            [refusal] = await chat.connect("cyd")
            assert "shutting down" in refusal
            assert [each["status"] for each in await chat.journal(user="cyd")] == [429]
            assert (await chat.do("breaker"))["failedRounds"] == 0
            assert await chat.call("bob", "echo", text="still served") == "still served"
            await chat.call("ann", "release")
        assert answers == ["waited for"]
