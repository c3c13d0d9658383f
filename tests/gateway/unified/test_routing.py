"""Which server a tool is called on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from common.config.access import AccessRule
from common.reasons import Reason
from gateway.access import Access
from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Listing, Offer, Tool, Welcome
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.oversight import Oversight
from gateway.sessions import Sessions
from gateway.unified.asking import listings
from gateway.unified.routing import LONGEST_GUESS, MOST_GUESSES, RECENT, Router, not_asked_since, nowhere, route
from tests.gateway.test_succession import next_gateway

ANN, BOB = Who(Principal("basic", "ann")), Who(Principal("basic", "bob"))
NOW = datetime.now(UTC)


def offer(*tools: str, asked: datetime | None = None) -> Offer:
    """A server with these tools, asked just now unless it was `asked` before."""
    return Offer(Welcome(), tuple(map(Tool, tools)), (), (), (), asked or datetime.now(UTC), 0.1)


def failure() -> GatewayError:
    return GatewayError(Reason.CHILD_EXITED, "the server's process ended")


class Told(Catalog):
    """A catalog whose servers offer what the test says, and which knows who was asked."""

    def __init__(self, sessions: Sessions, **offers: Offer | GatewayError) -> None:
        super().__init__(sessions)
        self.allows = sessions.oversight.permission
        self.offers = offers
        self.heard: dict[str, Offer] = {}
        self.asked: list[str] = []

    def know(self, *servers: str) -> None:
        """These were asked before."""
        self.heard |= {each: told for each in servers if isinstance(told := self.offers[each], Offer)}

    def known(self, server: str, who: Who) -> Listing:
        if server not in self.heard:
            return Listing(server, None)
        may, offer = self.allows(who, server).tool, self.heard[server]
        return Listing(server, replace(offer, tools=tuple(tool for tool in offer.tools if may(tool.name))))

    def hides(self, server: str, who: Who, tool: str) -> bool:
        return not self.allows(who, server).tool(tool)

    async def listing(self, server: str, who: Who, *, fresh: bool = False) -> Listing:
        await anyio.lowlevel.checkpoint()
        if fresh or server not in self.heard:
            self.asked.append(server)
            self.know(server)
        told = self.offers[server]
        return Listing(server, None, told) if isinstance(told, GatewayError) else self.known(server, who)


def test_the_one_server_that_has_the_tool_is_it() -> None:
    known = [Listing("a", offer("x", "y")), Listing("b", offer("z")), Listing("c", None, failure())]
    assert [route(tool, known) for tool in ("x", "z", "w")] == ["a", "b", None]


def test_of_several_none_is_and_they_are_named() -> None:
    known = [Listing("a", offer("x")), Listing("b", offer("y")), Listing("c", offer("x"))]
    with pytest.raises(GatewayError) as error:
        route("x", known)
    assert (error.value.reason, error.value.status) == (Reason.AMBIGUOUS_TOOL, 409)
    assert error.value.about == {"tool": "x", "servers": ["a", "c"]}


def test_a_tool_that_is_nowhere_is_told_with_the_nearest_and_with_who_could_not_be_asked() -> None:
    error = nowhere("ecko", [Listing("a", offer("echo", "add")), Listing("b", None, failure())])
    assert error.message == "no server has a tool 'ecko', but of b it is not known what they have; did you mean 'echo'?"
    assert error.about == {"tool": "ecko", "unknown": ["b"]}
    assert nowhere("x" * 10_000, []).about["tool"] == "x" * 128


def test_only_those_that_can_be_asked_and_were_not_lately_are_asked_again() -> None:
    old = NOW - 2 * RECENT
    known = [
        Listing("old", offer(asked=old)),
        Listing("new", offer()),
        Listing("failing", None, failure()),
        Listing("failed since", offer(asked=old), failure()),
    ]
    assert not_asked_since(known, NOW - RECENT) == ["old"]


async def test_no_child_is_asked_where_it_is_known_who_has_the_tool() -> None:
    async with next_gateway() as here:
        catalog = Told(here.sessions, light=offer("x"), other=offer("y"))
        catalog.know("light", "other")
        assert await Router(here.sessions, catalog).server_of("y", ANN) == "other"
        assert catalog.asked == []


async def test_a_server_of_which_nothing_is_known_is_asked_first_for_it_may_have_the_tool_too() -> None:
    async with next_gateway() as here:
        catalog = Told(here.sessions, light=offer("x"), other=offer("x"))
        catalog.know("light")
        with pytest.raises(GatewayError, match="several servers have a tool 'x': light, other"):
            await Router(here.sessions, catalog).server_of("x", ANN)
        assert catalog.asked == ["other"]


async def test_a_tool_that_came_later_is_found_and_who_was_asked_a_moment_ago_is_not_asked_again() -> None:
    async with next_gateway() as here:
        long_ago = NOW - timedelta(hours=1)
        catalog = Told(here.sessions, light=offer("x", asked=long_ago), other=offer("y"))
        catalog.know("light", "other")
        catalog.offers["light"] = offer("x", "new")
        router = Router(here.sessions, catalog)
        assert await router.server_of("new", ANN) == "light"
        assert catalog.asked == ["light"]
        for _ in range(3):
            with pytest.raises(GatewayError, match="no server has a tool 'never'"):
                await router.server_of("never", ANN)
        assert catalog.asked == ["light"]


async def test_a_server_that_cannot_be_asked_breaks_nothing() -> None:
    async with next_gateway() as here:
        catalog = Told(here.sessions, light=failure(), other=offer("y"))
        assert await Router(here.sessions, catalog).server_of("y", ANN) == "other"


async def test_who_takes_too_long_is_not_waited_for() -> None:
    class Slow(Told):
        async def listing(self, server: str, who: Who, *, fresh: bool = False) -> Listing:
            if server == "light":
                await anyio.sleep_forever()
            return await super().listing(server, who, fresh=fresh)

    async with next_gateway() as here:
        catalog = Slow(here.sessions, light=offer("x"), other=offer("y"))
        first, second = await listings(catalog, ["light", "other"], ANN, within=0.2)
        assert (first.offer, first.failure) == (None, None)
        assert [tool.name for tool in second.tools] == ["y"]


async def test_nobody_is_led_to_what_is_not_theirs_nor_told_of_it() -> None:
    allowed = ({"allow": "*", "to": ["light"]}, {"allow": "basic:ann", "to": ["other"]})
    denied = {"deny": "basic:bob", "to": ["light:x"]}
    rules = [AccessRule.model_validate(rule) for rule in (*allowed, denied)]
    async with next_gateway() as here:
        here.sessions.oversight = Oversight(Access(rules))
        catalog = Told(here.sessions, light=offer("x", "z"), other=offer("x", "y"))
        catalog.know("light", "other")
        router = Router(here.sessions, catalog)
        assert await router.server_of("y", ANN) == "other"
        said = []
        for tool in ("x", "y", "w"):
            with pytest.raises(GatewayError) as error:
                await router.server_of(tool, BOB)
            said.append(error.value.message.replace(f"'{tool}'", "it"))
        assert set(said) == {"no server has a tool it"}


def test_of_many_tools_only_some_that_are_about_as_long_are_held_against_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[list[str]] = []

    def compare(_: str, names: list[str], **__: object) -> list[str]:
        compared.append(names)
        return []

    known = [Listing("a", offer("echo", *("x" * (3 + each) for each in range(200))))]
    assert "did you mean 'echo'" in nowhere("ecko", known).message
    monkeypatch.setattr("difflib.get_close_matches", compare)
    nowhere("ecko", known)
    nowhere("e" * (LONGEST_GUESS + 1), known)
    assert [len(names) for names in compared] == [MOST_GUESSES]
