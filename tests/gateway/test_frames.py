"""A WebSocket beside its messages: when a client counts as gone that is still connected, and when it is not read."""

import anyio

from common.reasons import Reason
from gateway.frames import Link, silence
from tests.support.processes import PATIENCE

EVERY = 0.01
BOUND = 0.05


class Client:
    """The other end of a link, which answers so many pings, or never has room for one."""

    def __init__(self, answers: int, *, has_room: bool = True) -> None:
        self.link = Link(self.ping)
        self.pings = 0
        self._answers = answers
        self._has_room = has_room

    async def ping(self) -> None:
        self.pings += 1
        if not self._has_room:
            await anyio.sleep_forever()
        if self.pings <= self._answers:
            self.link.heard = anyio.current_time()


async def test_a_client_that_answers_no_ping_is_silent() -> None:
    client = Client(answers=0)
    with anyio.fail_after(PATIENCE):
        await silence(client.link, EVERY, BOUND)
    assert client.pings > 0


async def test_one_that_answers_is_not_until_it_no_longer_does() -> None:
    client = Client(answers=20)
    with anyio.fail_after(PATIENCE):
        await silence(client.link, EVERY, BOUND)
    assert client.pings > 20


async def test_a_ping_that_finds_no_room_is_given_up() -> None:
    client = Client(answers=0, has_room=False)
    with anyio.fail_after(PATIENCE):
        await silence(client.link, EVERY, BOUND)
    assert client.pings > 1


async def test_a_link_keeps_the_first_fault_and_reads_on_only_when_told() -> None:
    link = Link(Client(0).ping)
    link.fail(Reason.INVALID_JSON)
    link.fail(Reason.BAD_REQUEST)
    assert (link.fault, link.broken.is_set()) == (Reason.INVALID_JSON, True)
    link.pause()
    link.pause()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.room)
        await anyio.wait_all_tasks_blocked()
        link.resume()
    with anyio.fail_after(PATIENCE):
        await link.room()
