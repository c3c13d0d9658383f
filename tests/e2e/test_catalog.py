"""The catalog with real children: whom it asks, when, what it makes of their answers, and what it leaves to others."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from loguru import logger

from common.reasons import Reason
from embedding.running import Running, running
from gateway.catalog import entries
from gateway.catalog.entries import BURST
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from tests.support.gateway import LIGHT, MODERN, QUICK, SERVERS, write_config
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

ANYBODY = Who()
GLANCE = 0.01
"""Seconds between two looks at whether a server was started: without a rest, this process would keep it from starting."""
GOOD: dict[str, Any] = {"tools/list": {"tools": [{"name": "one"}]}}


class Offering:
    """A server that offers what its file says."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._path = directory / f"{name}.json"
        self.says()

    def spec(self, **keys: Any) -> dict[str, Any]:
        return {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "offering.py"), str(self._path)], **keys}

    def says(self, results: dict[str, Any] | None = None, **keys: Any) -> None:
        self._path.write_text(json.dumps({"results": results or GOOD, **keys}))

    @property
    def starts(self) -> int:
        """How often it was started."""
        path = Path(f"{self._path}.starts")
        return len(path.read_text().splitlines()) if path.exists() else 0

    async def started(self, times: int) -> None:
        """Wait until it was started so often."""
        with anyio.fail_after(PATIENCE):
            while self.starts < times:  # noqa: ASYNC110 - a file tells nobody
                await anyio.sleep(GLANCE)


def tools(listing: Listing) -> list[str]:
    """The names of the tools that are listed."""
    return [tool.name for tool in listing.tools]


class Here:
    """The gateway, and the servers whose offers are in files."""

    def __init__(self, gateway: Running, offerings: dict[str, Offering]) -> None:
        self.sessions = gateway.sessions
        self.catalog = gateway.catalog
        self.offerings = offerings
        self._supervisor = gateway.supervisor

    async def children(self) -> int:
        """How many there are, or were a moment ago."""
        answer = await self._supervisor.ask()
        return answer.running + answer.ending

    @asynccontextmanager
    async def session(self, server: str, who: Who = ANYBODY) -> AsyncIterator[Callable[[str], Any]]:
        """A session, by which tools can be called."""
        session_set = self.sessions.open_set(who)
        try:
            caller = await session_set.caller(server, who)

            async def call(tool: str) -> bytes:
                return bytes(await caller.call(tool, b"{}", who).answer())

            yield call
        finally:
            session_set.end(Reason.CLIENT_CLOSED)


NAMES = (
    "whole",
    "changing",
    "waited",
    "cancelled",
    "mute",
    "dying",
    "mine",
    "narrow",
    "odd",
    "hanging",
    "noisy",
    "fleeting",
)


@asynccontextmanager
async def gateway(directory: Path) -> AsyncIterator[Here]:
    """One with all the servers, in this process."""
    offerings = {name: Offering(directory, name) for name in NAMES}
    keys: dict[str, dict[str, Any]] = {
        "mine": {"headers": ["X-Token"], "env": {"TOKEN": "${header:X-Token}"}, "allow_shared_uid": True},
        "narrow": {"max_sessions": 1},
    }
    specs: dict[str, Any] = {name: each.spec(**keys.get(name, {})) for name, each in offerings.items()}
    config = {
        **QUICK,
        "debug": {"level": "warn"},
        "runtime_dir": str(directory / "runtime"),
        "queue_max": 0,
        "auth": {"api_keys": {"keys": [{"name": "ann", "key": "of-ann"}]}},
        "servers": {**specs, "light": LIGHT, "modern": MODERN, "shared": {**LIGHT, "isolation": "user"}},
    }
    async with running(write_config(directory / "config.yaml", config)) as found:
        yield Here(found, offerings)


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Here]:
    async with gateway(tmp_path_factory.mktemp("catalog")) as here:
        yield here


@pytest.fixture
async def here(module: Here) -> AsyncIterator[Here]:
    """The module's gateway; the test ends when none of its children is left."""
    yield module
    with anyio.fail_after(PATIENCE):
        while await module.children():
            pass


async def test_all_that_a_server_offers_is_listed(here: Here) -> None:
    here.offerings["whole"].says(
        {
            "tools/list": [{"tools": [{"name": "a"}]}, {"tools": [{"name": "b"}, {"name": "a", "title": "again"}]}],
            "resources/list": {"resources": [{"uri": "note://1", "name": "n", "mimeType": "text/plain"}]},
            "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "note://{id}", "name": "t"}]},
            "prompts/list": {"prompts": [{"name": "p", "arguments": [{"name": "x"}]}]},
        }
    )
    listing = await here.catalog.listing("whole", ANYBODY)
    assert tools(listing) == ["a", "b"]
    assert listing.offer is not None
    assert [each.uri for each in listing.offer.resources] == ["note://1"]
    assert [each.uri_template for each in listing.offer.templates] == ["note://{id}"]
    assert [bytes(each.arguments) for each in listing.offer.prompts] == [b'[{"name": "x"}]']
    assert (await here.catalog.listing("whole", ANYBODY)).offer is listing.offer
    assert here.offerings["whole"].starts == 1


@pytest.mark.parametrize("server", ["light", "modern", "shared"])
async def test_whatever_the_server_speaks_and_however_it_is_shared_it_is_asked(here: Here, server: str) -> None:
    assert "echo" in tools(await here.catalog.listing(server, ANYBODY))


async def test_whoever_asks_at_once_waits_for_the_same_child(here: Here) -> None:
    found: list[Listing] = []

    async def ask(*, fresh: bool) -> None:
        found.append(await here.catalog.listing("waited", ANYBODY, fresh=fresh))

    async with anyio.create_task_group() as tasks:
        for fresh in (True, False, True, False):
            tasks.start_soon(partial(ask, fresh=fresh))
    assert [tools(each) for each in found] == [["one"]] * 4
    assert here.offerings["waited"].starts == 1


async def test_whoever_waits_for_a_child_that_another_asked_asks_again_when_that_one_hangs_up(here: Here) -> None:
    offering = here.offerings["cancelled"]
    offering.says(mute=["tools/list"])
    found: list[Listing] = []

    async def ask() -> None:
        found.append(await here.catalog.listing("cancelled", ANYBODY))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as waits, anyio.create_task_group() as hangs_up:
            hangs_up.start_soon(ask)
            await offering.started(1)
            waits.start_soon(ask)
            offering.says()
            hangs_up.cancel_scope.cancel()
    assert [tools(each) for each in found] == [["one"]]
    assert offering.starts == 2


async def test_a_session_whose_child_says_that_its_tools_changed_has_the_server_asked_again_once(here: Here) -> None:
    offering = here.offerings["changing"]
    offering.says(changes=100)
    assert tools(await here.catalog.listing("changing", ANYBODY)) == ["one"]
    offering.says({"tools/list": {"tools": [{"name": "one"}, {"name": "two"}]}}, changes=100)
    async with here.session("changing") as call:
        await call("one")
        assert [tools(await here.catalog.listing("changing", ANYBODY)) for _ in range(3)] == [["one", "two"]] * 3
    assert offering.starts == 3  # two that were asked, and the session's own


async def test_a_child_of_the_catalog_gives_way_to_a_session(here: Here) -> None:
    offering = here.offerings["narrow"]
    offering.says(mute=["tools/list"])
    async with anyio.create_task_group() as tasks:
        found: list[Listing] = []

        async def ask() -> None:
            found.append(await here.catalog.listing("narrow", ANYBODY))

        tasks.start_soon(ask)
        await offering.started(1)
        offering.says()
        with anyio.fail_after(PATIENCE):
            async with here.session("narrow") as call:  # although nobody may wait: queue_max is 0
                assert b"content" in await call("one")
    [listing] = found
    assert listing.failure is not None
    assert listing.failure.reason is Reason.MAX_SESSIONS
    assert here.catalog.condition("narrow") is None  # it is not the server's fault


async def test_nobody_waits_for_a_server_that_is_known_to_fail_and_it_is_asked_again_all_the_same(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "FIRST_REST", 0.0)
    hanging = here.offerings["hanging"]
    hanging.says(dies=["initialize"])
    assert (await here.catalog.listing("hanging", ANYBODY)).failure is not None
    hanging.says(mute=["tools/list"])
    with anyio.fail_after(PATIENCE):
        for _ in range(3):
            found = await here.catalog.listing("hanging", ANYBODY)
            assert found.failure is not None
            assert found.failure.reason is Reason.CHILD_EXITED  # the one before it: this child never answers
        await hanging.started(2)
        hanging.says()
        await here.catalog.close()
        while not tools(await here.catalog.listing("hanging", ANYBODY)):
            await anyio.lowlevel.checkpoint()
    assert hanging.starts == 3


async def test_what_a_child_writes_that_is_no_message_is_news_once(here: Here) -> None:
    lines: list[str] = []
    handler = logger.add(
        lambda line: lines.append(str(line)), level="INFO", filter=lambda each: "noisy" in each["message"]
    )
    here.offerings["noisy"].says(noise=2)
    for _ in range(2):
        assert tools(await here.catalog.listing("noisy", ANYBODY, fresh=True)) == ["one"]
    logger.remove(handler)
    assert here.offerings["noisy"].starts == 2
    assert len(lines) == 2


async def test_a_server_that_fails_says_why_breaks_nothing_else_and_keeps_what_it_offered(here: Here) -> None:
    dying, odd = here.offerings["dying"], here.offerings["odd"]
    dying.says(dies=["initialize"])
    odd.says({"tools/list": {"tools": [{"name": "a"}, {"nam": "b"}]}, "prompts/list": {"prompts": 5}})
    listings = {each.server: each for each in await here.catalog.listings(ANYBODY)}
    assert tools(listings["odd"]) == ["a"]
    assert listings["odd"].failure is None
    failure = listings["dying"].failure
    assert failure is not None
    assert failure.reason is Reason.CHILD_EXITED
    starts = dying.starts
    again = await here.catalog.listing("dying", ANYBODY)  # remembered
    assert (again.failure, dying.starts) == (failure, starts)
    condition = here.catalog.condition("dying")
    assert condition is not None
    assert (condition["state"], condition["code"]) == ("failing", "child_exited")
    dying.says()
    assert tools(await here.catalog.listing("dying", ANYBODY, fresh=True)) == ["one"]
    dying.says(dies=["tools/list"])
    both = await here.catalog.listing("dying", ANYBODY, fresh=True)
    assert tools(both) == ["one"]
    assert both.failure is not None


async def test_what_is_asked_again_and_again_pushes_no_users_certificate_out(here: Here) -> None:
    kept = repr(here.sessions.certificates)
    assert (await here.catalog.listing("fleeting", ANYBODY)).offer is not None
    assert repr(here.sessions.certificates) == kept


async def test_nobody_can_force_a_server_to_be_asked_without_end(here: Here) -> None:
    before = here.offerings["whole"].starts
    for _ in range(10):
        assert (await here.catalog.listing("whole", ANYBODY, fresh=True)).offer is not None
    assert here.offerings["whole"].starts - before <= BURST


async def test_what_is_each_users_own_is_asked_for_each(here: Here) -> None:
    def whose(name: str) -> Who:
        return Who(Principal("apikey", name), header=lambda _: [name])

    for who in map(whose, ("ann", "bob", "ann")):
        assert tools(await here.catalog.listing("mine", who)) == ["one"]
    assert here.offerings["mine"].starts == 2
    nothing = await here.catalog.listing("mine", ANYBODY)
    assert nothing.offer is None
    assert nothing.failure is not None
    assert nothing.failure.reason is Reason.CREDENTIAL_MISSING
    assert here.catalog.condition("mine") == {"state": "each user's own"}
    assert await here.catalog.look("mine") is None


async def test_a_server_that_there_is_not_is_told_as_on_every_door(here: Here) -> None:
    with pytest.raises(GatewayError) as caught:
        await here.catalog.listing("nowhere", ANYBODY)
    assert caught.value.reason is Reason.SERVER_NOT_FOUND


async def test_nothing_of_the_catalog_hangs_when_the_gateway_ends(tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE):
        async with gateway(tmp_path) as here:
            offering = here.offerings["mute"]
            offering.says(mute=["tools/list"])
            found: list[Listing] = []

            async def ask() -> None:
                found.append(await here.catalog.listing("mute", ANYBODY))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await offering.started(1)
                here.sessions.end_all(Reason.SHUTDOWN)
                tasks.start_soon(ask)
    failures = [each.failure.reason for each in found if each.failure is not None]
    assert failures == [Reason.SHUTDOWN] * 2
    assert not [*(tmp_path / "runtime" / "sessions").iterdir()]
