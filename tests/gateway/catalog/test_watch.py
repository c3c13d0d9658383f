"""The watch over the servers, with a catalog that is none."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from loguru import logger

from common.reasons import Reason
from gateway.catalog import watch
from gateway.catalog.offers import Listing, Offer, Tool, Welcome
from gateway.catalog.watch import SEVERAL, Watch
from gateway.errors import GatewayError
from tests.gateway.catalog.test_conditions import BROKEN, NOON
from tests.support.processes import PATIENCE

OFFER = Offer(Welcome(), (Tool("a"),), (), (), (), NOON, 0.94)


class Looking:
    """A catalog that counts looks, and how many of them there are at once."""

    def __init__(self, **listings: Listing | None) -> None:
        self.listings = listings
        self.looks: list[str] = []
        self.now = self.most = 0
        self.on_look: Callable[[], None] = lambda: None
        self.reloaded = anyio.Event()
        self.known: set[str] = set()

    def condition(self, server: str) -> object:
        return {} if server in self.known else None

    def reload(self) -> None:
        self.reloaded.set()
        self.reloaded = anyio.Event()

    async def look(self, server: str) -> Listing | None:
        self.looks.append(server)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.lowlevel.checkpoint()
            self.on_look()
        finally:
            self.now -= 1
        return self.listings[server]

    def watch(self, **keys: Any) -> Watch:
        policies = {name: SimpleNamespace(personal=each is None) for name, each in self.listings.items()}
        return Watch(cast("Any", self), cast("Any", SimpleNamespace(policies=policies)), **keys)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    monkeypatch.setattr(watch, "FIRST", 0)
    monkeypatch.setattr(watch, "LEAST", 0)


@pytest.fixture
def said() -> Any:
    """The lines of the log."""
    lines: list[str] = []
    handler = logger.add(lambda line: lines.append(str(line).rstrip("\n")), format="{message}")
    yield lines
    logger.remove(handler)


async def test_at_the_start_each_server_says_what_it_has_a_few_at_a_time(said: list[str]) -> None:
    many = {f"s{number}": Listing(f"s{number}", OFFER) for number in range(5)}
    catalog = Looking(**many, broken=Listing("broken", None, BROKEN), mine=None)
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(catalog.watch(at_start=True, interval=None).run)
            while len(said) < 6:
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert catalog.most == SEVERAL
    assert said == [f"server 's{number}': 1 tool, started in 0.9 s" for number in range(5)] + [
        "server 'mine' is each user's own: what it offers is known once somebody asks"
    ]


async def test_after_a_reload_those_are_looked_at_of_which_nothing_is_known_even_if_it_comes_while_others_are() -> None:
    catalog = Looking(a=Listing("a", OFFER), b=Listing("b", OFFER), c=Listing("c", OFFER))

    def look() -> None:
        catalog.known.update(catalog.looks)
        if len(catalog.looks) == 3:
            catalog.known.remove("b")
            catalog.reload()
        elif len(catalog.looks) == 4:
            catalog.known.remove("c")
            catalog.reload()
        elif len(catalog.looks) == 5:
            scope.cancel()

    catalog.on_look = look
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        await catalog.watch(at_start=True, interval=None).run()
    assert catalog.looks == ["a", "b", "c", "b", "c"]


async def test_where_nobody_wants_it_nothing_is_looked_at() -> None:
    catalog = Looking(a=Listing("a", OFFER))
    await catalog.watch(at_start=False, interval=None).run()
    assert not catalog.looks


async def test_from_then_on_one_after_the_other_is_looked_at_round_by_round(said: list[str]) -> None:
    catalog = Looking(a=Listing("a", OFFER), b=Listing("b", None, BROKEN), mine=None)
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        catalog.on_look = lambda: scope.cancel() if len(catalog.looks) == 6 else None
        await catalog.watch(at_start=False, interval=0.001).run()
    assert catalog.looks == ["a", "b"] * 3
    assert catalog.most == 1
    assert not said


async def test_a_server_whose_package_is_being_installed_is_looked_at_again_and_keeps_nobody_waiting(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WHILE_INSTALLING", 0)
    installing = Listing("slow", None, GatewayError(Reason.INSTALLING, "it is being installed"))
    slow = {f"slow{number}": installing for number in range(SEVERAL)}
    catalog = Looking(**slow, quick=Listing("quick", OFFER))
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(catalog.watch(at_start=True, interval=None).run)
            while len(said) < 1:
                await anyio.lowlevel.checkpoint()
            catalog.listings.update(dict.fromkeys(slow, Listing("slow", OFFER)))
            while len(said) < 1 + SEVERAL:
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert said[0].startswith("server 'quick'")
