"""Sessions by key; the test is the table, its sessions and their bridges. Real ones: `tests/e2e/test_stateless.py`."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.modern.keyed import TRIES, KeyedSessions
from gateway.relay import Relay
from gateway.session import Door, Session

ALICE, BOB = Principal("basic", "alice"), Principal("basic", "bob")


class Bridge:
    """A relay that has said what is in `asked`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.discarded = False

    @property
    def used(self) -> bool:
        return bool(self.asked)

    def new_outbox(self) -> "Bridge":
        return self

    def discard(self) -> None:
        self.discarded = True

    def request(self, message: Request, outbox: object, *, who: Who | None) -> None:
        assert who is None  # it is the gateway's own
        self.asked.append(message.method)


class Fake:
    """A session that starts as `start` has it."""

    def __init__(self, principal: Principal, server: str, key: str | None, fault: GatewayError | None) -> None:
        self.principal, self.server, self.key = principal, server, key
        self.bridge = Bridge()
        self.relay: Bridge | None = None
        self.ended: Reason | None = None
        self.fault = fault

    def end(self, reason: Reason) -> None:
        self.ended = reason

    async def start(self) -> Bridge:
        if self.fault is not None:
            raise self.fault
        return self.bridge


class Table:
    """Opens sessions; `faults` are what the next ones have, where they have one."""

    def __init__(self, *faults: GatewayError | None, ending: bool = True) -> None:
        self.opened: list[Fake] = []
        self.faults = list(faults)
        self.ending = ending
        self.keyed = KeyedSessions(self)

    def open(self, who: Who, server: str, door: Door, key: str | None = None) -> Session:
        assert door is Door.STATELESS
        fault = self.faults.pop(0) if self.faults else None
        fake = Fake(who.principal, server, key, fault)
        if fault is not None and self.ending:
            original: Callable[[], Any] = fake.start

            async def start() -> Any:
                fake.ended = Reason.CHILD_EXITED
                return await original()

            fake.start = start  # type: ignore[method-assign]
        self.opened.append(fake)
        return cast("Session", fake)

    async def start(self, principal: Principal = ALICE, server: str = "s", key: str = "k") -> Relay:
        return await self.keyed.start(Who(principal), server, key, {})


LOST = GatewayError(Reason.SESSION_NOT_FOUND, "gone")


async def test_the_same_key_of_the_same_principal_is_the_same_session_opened_once() -> None:
    table = Table()
    assert await table.start() is await table.start()
    [session] = table.opened
    assert session.bridge.asked == ["server/discover"]
    assert session.bridge.discarded


async def test_any_other_key_principal_or_server_is_another_session() -> None:
    table = Table()
    relays = [
        await table.start(),
        await table.start(key="other"),
        await table.start(principal=BOB),
        await table.start(server="t"),
    ]
    assert len(set(map(id, relays))) == 4


async def test_a_session_that_has_ended_is_replaced() -> None:
    table = Table()
    first = await table.start()
    table.opened[0].ended = Reason.IDLE_TIMEOUT
    assert await table.start() is not first


async def test_a_session_that_ends_while_it_is_looked_for_is_replaced_too() -> None:
    table = Table(LOST)
    assert await table.start() is table.opened[1].bridge  # type: ignore[comparison-overlap]


async def test_sessions_that_always_end_are_not_looked_for_for_ever() -> None:
    table = Table(*[LOST] * TRIES)
    with pytest.raises(GatewayError) as raised:
        await table.start()
    assert raised.value.reason is Reason.CHILD_EXITED
    assert len(table.opened) == TRIES


async def test_a_refusal_is_passed_on_and_the_session_found_again() -> None:
    table = Table(GatewayError(Reason.MAX_SESSIONS, "full"), ending=False)
    for _ in range(2):
        with pytest.raises(GatewayError) as raised:
            await table.start()
        assert raised.value.reason is Reason.MAX_SESSIONS
    [session] = table.opened
    session.fault = None
    await table.start()


async def test_a_session_of_an_earlier_gateway_is_found_and_not_opened_again() -> None:
    table = Table()
    session = Fake(ALICE, "s", "k", None)
    session.bridge.asked.append("before")
    table.keyed.resume(cast("Session", session))
    assert await table.start() is session.bridge  # type: ignore[comparison-overlap]
    assert session.bridge.asked == ["before"]
    newer = Fake(ALICE, "s", "k", None)
    table.keyed.resume(cast("Session", newer))
    assert session.ended is Reason.GATEWAY_LOST
    assert repr(table.keyed) == "<KeyedSessions: 1>"
