"""Fifty users with fifty secrets, whose sessions open and close at random: every call sees its own user's, and no other.

What happens is drawn beforehand by seeded dice, an operation at a time for each user; in which order the users come is
the scheduler's. A test that fails is repeated with the same dice.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.support.credentials import DOORS, HEADER, SHARED, user
from tests.support.gateway import Gateway, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH

pytestmark = pytest.mark.slow

USERS = 50
OPERATIONS = 10
"""Of each user."""
AT_ONCE = 8
TOKEN = "of-the-front"


class User:
    """Somebody with a secret, which may change, and sessions that were opened with one."""

    def __init__(self, number: int, http: httpx2.AsyncClient, secrets: dict[int, str]) -> None:
        self.number = number
        self.http = http
        self.secrets = secrets
        self.sessions: list[tuple[str, str]] = []
        """By door and id."""
        self.dice = random.Random(number)
        self.outcomes: Counter[str] = Counter()

    @property
    def secret(self) -> str:
        """The one that they have now."""
        return self.secrets[self.number]

    def plan(self) -> Iterator[str]:
        """What they do."""
        yield "open"
        for step in range(1, OPERATIONS):
            if step == OPERATIONS // 2:
                yield "change"
            yield self.dice.choices(["call", "open", "close"], [6, 2, 1])[0]

    async def do(self, what: str) -> None:
        """One thing, with any of their sessions."""
        self.http.headers[HEADER] = self.secret
        if what == "change":
            self.secrets[self.number] = f"changed-{self.number}-{self.dice.getrandbits(64):x}"
        elif what == "open" or not self.sessions:
            await self.open()
        elif what == "call":
            await self.call(self.dice.choice(self.sessions))
        else:
            await self.close(self.dice.choice(self.sessions))

    async def open(self) -> None:
        door = self.dice.choice([*DOORS])
        shown, id_ = await DOORS[door](self.http, None)
        assert shown == self.secret
        self.outcomes["opened"] += 1
        self.sessions.append((door, id_))

    async def call(self, session: tuple[str, str]) -> None:
        """Whatever a session was opened with, what is seen in it is what the user has now."""
        door, id_ = session
        shown, _ = await DOORS[door](self.http, id_)
        assert shown == self.secret
        self.outcomes["seen"] += 1

    async def close(self, session: tuple[str, str]) -> None:
        self.sessions.remove(session)
        door, id_ = session
        if door == "streamable":
            ended = await self.http.delete("/light/mcp", headers={**BOTH, "Mcp-Session-Id": id_})
            assert ended.status_code == 204
        elif door == "rest":
            ended = await self.http.delete("/api/sessionid", params={"sessionId": id_})
            assert ended.status_code == 204


async def live(
    gateway: Gateway, number: int, secrets: dict[int, str], turn: anyio.Semaphore, all_: Counter[str]
) -> None:
    """One user, from beginning to end."""
    async with user(gateway, Authorization=f"Bearer {TOKEN}") as http:
        somebody = User(number, http, secrets)
        for what in somebody.plan():
            async with turn:
                await somebody.do(what)
        for session in tuple(somebody.sessions):
            await somebody.close(session)
        all_.update(somebody.outcomes)


@pytest.mark.parametrize("isolation", ["session", "user"])
async def test_every_call_sees_its_own_users_secret(tmp_path: Path, isolation: str) -> None:
    """With `user`, too, where all fifty are one principal, which does not say for whom it asks."""
    secrets = {number: f"secret-{number}-{random.Random(number).getrandbits(64):x}" for number in range(USERS)}
    outcomes: Counter[str] = Counter()
    auth = {"bearer": {"tokens": [TOKEN]}}
    async with running(
        {"light": {**SHARED, "isolation": isolation}},
        tmp_path=tmp_path,
        auth=auth,
        max_sessions=400,
        debug={"level": "info"},
    ) as gateway:
        turn = anyio.Semaphore(AT_ONCE)
        with anyio.fail_after(4 * PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number in range(USERS):
                    tasks.start_soon(live, gateway, number, secrets, turn, outcomes)
        await gateway.said("credentials changed .* respawned")
    assert outcomes["opened"] >= 2 * USERS
    assert outcomes["seen"] >= 2 * USERS
    assert not any(secret in gateway.log for secret in secrets.values())
