"""Sessions from one gateway to the next; the test is the supervisor, and the children."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest
from loguru import logger

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hotstate import HotState
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Response, decode, notification, request
from gateway.kept import VERSION, Kept, write
from gateway.session import Door
from gateway.sessions import Sessions
from gateway.succession import leave, take_up
from supervisor.client import Grant, Inherited, SupervisorClient
from supervisor.protocol import PROTOCOL, Ending, Keep, Lapsed, Release, Welcome
from tests.support.control import Supervisor, connected

POLICY = ServerPolicy(start_timeout=10, request_timeout=10, max_message_bytes=1 << 20)
ALICE, BOB = Principal("basic", "alice"), Principal("basic", "bob")
ALICE_ASKS = Who(ALICE)
STREAMABLE, REST, SSE = Door.STREAMABLE.value, Door.REST.value, Door.SSE.value
WEBSOCKET = Door.WEBSOCKET.value


def state(id_: str, door: str, server: str = "light", owner: Principal = ALICE) -> str:
    """What an earlier gateway wrote of a session."""
    return write(Kept(VERSION, id_, door, owner.issuer, owner.subject, server))


class Child:
    """The child's ends of its pipes."""

    def __init__(self, lease: int) -> None:
        self.lease = lease
        self.stdin, theirs = os.pipe()
        ours, self.stdout = os.pipe()
        os.set_blocking(self.stdin, False)
        self.grant = Grant(lease, 1234, theirs, ours)

    def inherited(self, state: str, server: str = "light") -> Inherited:
        return Inherited(self.grant, server, state, 1.0)

    def read(self) -> bytes:
        try:
            return os.read(self.stdin, 65536)
        except BlockingIOError:
            return b""


class Next:
    """A gateway that comes after another."""

    def __init__(self, other: Supervisor, client: SupervisorClient, sessions: Sessions, hot_state: HotState) -> None:
        self.other = other
        self.client = client
        self.sessions = sessions
        self.hot_state = hot_state
        self.children: list[Child] = []

    def child(self) -> Child:
        child = Child(len(self.children) + 1)
        self.children.append(child)
        return child

    async def told(self) -> list[Release | Keep]:
        """What the supervisor was told of leases, once it has been told of the last of these."""
        self.client.release(1000, Reason.UNUSED, ())
        marker = (Release(1000, Reason.UNUSED), 0)
        while marker not in self.other.heard:
            await anyio.lowlevel.checkpoint()
        return [message for message, _ in self.other.heard if isinstance(message, Release | Keep)][:-1]


@asynccontextmanager
async def next_gateway() -> AsyncIterator[Next]:
    """One that has not taken up anything yet."""
    hot_state = HotState.create()
    async with connected((Welcome(PROTOCOL, msgspec.Raw(b"{}"), 1, keeps=True), 0)) as (other, client):
        sessions = Sessions(client, {"light": POLICY, "other": POLICY}, "gw", hot_state)
        here = Next(other, client, sessions, hot_state)
        try:
            yield here
        finally:
            sessions.end_all(Reason.SHUTDOWN)
            for child in here.children:
                os.close(child.stdin)
                os.close(child.stdout)
    hot_state.close()


async def test_a_session_is_found_by_its_owner_at_its_door() -> None:
    async with next_gateway() as here:
        child = here.child()
        assert take_up(here.sessions, [child.inherited(state("gw.a", STREAMABLE))], []) == 1
        session = here.sessions.find("gw.a", ALICE_ASKS, "light", Door.STREAMABLE)
        assert session.relay is not None
        assert (session.relay.lease, session.relay.initialized, session.in_use) == (1, True, True)
        for principal, server, door in (
            (BOB, "light", Door.STREAMABLE),
            (ALICE, "other", Door.STREAMABLE),
            (ALICE, "light", Door.SSE),
        ):
            with pytest.raises(GatewayError, match="no such session"):
                here.sessions.find("gw.a", Who(principal), server, door)


@pytest.mark.parametrize("revision", ["2025-03-26", ""])
async def test_the_revision_of_a_session_is_known_again(revision: str) -> None:
    kept = Kept(VERSION, "gw.a", STREAMABLE, ALICE.issuer, ALICE.subject, "light", revision=revision)
    async with next_gateway() as here:
        assert take_up(here.sessions, [here.child().inherited(write(kept))], []) == 1
        session = here.sessions.find("gw.a", ALICE_ASKS, "light", Door.STREAMABLE)
        assert session.relay is not None
        assert session.relay.version == revision


async def test_sessions_of_one_set_are_one_set_again() -> None:
    async with next_gateway() as here:
        first, second = here.child(), here.child()
        taken = take_up(
            here.sessions,
            [first.inherited(state("gw.a", REST)), second.inherited(state("gw.a", REST, "other"), "other")],
            [],
        )
        assert taken == 2
        found = here.sessions.find_set("gw.a", ALICE_ASKS)
        relays = [found.session(server, ALICE_ASKS).relay for server in ("light", "other")]
        assert [relay.lease for relay in relays if relay is not None] == [1, 2]
        assert found.session("light", ALICE_ASKS).had_a_caller
        assert await found.session("light", ALICE_ASKS).caller()
        assert here.sessions.counts().children == 2


async def test_of_two_sessions_with_one_server_in_one_set_the_later_counts() -> None:
    async with next_gateway() as here:
        older, newer = here.child(), here.child()
        take_up(here.sessions, [newer.inherited(state("gw.a", REST)), older.inherited(state("gw.a", REST))], [])
        relay = here.sessions.find_set("gw.a", ALICE_ASKS).session("light", ALICE_ASKS).relay
        assert relay is not None
        assert relay.lease == newer.lease
        assert await here.told() == [Release(older.lease, Reason.GATEWAY_LOST)]


@pytest.mark.parametrize(
    ("left", "server"),
    [
        ("", "light"),
        (state("gw.b", "telnet"), "light"),
        (state("gw.b", SSE), "light"),
        (state("gw.b", WEBSOCKET), "light"),
        (state("gw.b", STREAMABLE, "gone"), "gone"),
        (state("gw.b", STREAMABLE, "other"), "light"),
        (state("gw.a", STREAMABLE), "light"),
        (state("gw.a", REST), "light"),
        (state("gw.set", REST, owner=BOB), "light"),
    ],
)
async def test_what_cannot_be_gone_on_with_is_let_go(left: str, server: str) -> None:
    async with next_gateway() as here:
        first, second, third = here.child(), here.child(), here.child()
        taken = take_up(
            here.sessions,
            [
                first.inherited(state("gw.a", STREAMABLE)),
                second.inherited(state("gw.set", REST)),
                third.inherited(left, server),
            ],
            [],
        )
        assert taken == 2
        assert await here.told() == [Release(third.lease, Reason.GATEWAY_LOST)]


async def test_what_an_earlier_gateway_had_begun_is_brought_to_an_end() -> None:
    async with next_gateway() as here:
        child, quiet = here.child(), here.child()
        notes = here.hot_state.slot(child.lease)
        notes.begin(7)
        notes.begin(9)
        notes.ask(b'"q1"')
        notes.begin_line()
        take_up(
            here.sessions, [child.inherited(state("gw.a", STREAMABLE)), quiet.inherited(state("gw.b", STREAMABLE))], []
        )
        end, *cancelled, answer = child.read().rstrip(b"\n").split(b"\n")
        assert end == b""
        params = [{"requestId": call, "reason": "the gateway restarted"} for call in (7, 9)]
        expected = [notification("notifications/cancelled", each) for each in params]
        assert [decode(line) for line in cancelled] == expected
        declined = decode(answer)
        assert isinstance(declined, Response)
        assert (declined.id, b"restarted" in declined.error) == (b'"q1"', True)
        assert quiet.read() == b""
        assert repr(here.hot_state).startswith("<HotState: 2 of")


async def test_of_a_session_that_ended_meanwhile_its_owner_is_told_why() -> None:
    async with next_gateway() as here:
        child = here.child()
        lapsed = [
            Lapsed(10, "light", state("gw.a", STREAMABLE), Reason.MAX_LIFETIME),
            Lapsed(11, "light", state("gw.set", REST), Reason.CHILD_EXITED),
            Lapsed(12, "light", "unreadable", Reason.CHILD_EXITED),
        ]
        assert take_up(here.sessions, [child.inherited(state("gw.set", REST, "other"), "other")], lapsed) == 1
        with pytest.raises(GatewayError, match="max_lifetime"):
            here.sessions.find("gw.a", ALICE_ASKS, "light", Door.STREAMABLE)
        with pytest.raises(GatewayError, match="there is no such session"):
            here.sessions.find("gw.a", Who(BOB), "light", Door.STREAMABLE)
        found = here.sessions.find_set("gw.set", ALICE_ASKS)
        assert found.session("other", ALICE_ASKS).relay is not None
        with pytest.raises(GatewayError, match="child_exited"):
            found.session("light", ALICE_ASKS)


async def test_a_gateway_that_leaves_lets_go_and_ends_nothing_that_can_be_kept() -> None:
    async with next_gateway() as here:
        child = here.child()
        take_up(here.sessions, [child.inherited(state("gw.a", STREAMABLE))], [])
        relay = here.sessions.find("gw.a", ALICE_ASKS, "light", Door.STREAMABLE).relay
        assert relay is not None
        leave(here.sessions)
        relay.leave()
        assert await here.told() == []
        with pytest.raises(GatewayError) as error:
            relay.request(request(1, "tools/list"), relay.new_outbox(), who=ALICE_ASKS)
        assert (error.value.reason, error.value.status) == (Reason.GATEWAY_RESTARTED, 503)
        with pytest.raises(GatewayError) as error:
            here.sessions.open(ALICE_ASKS, "light", Door.STREAMABLE)
        assert error.value.reason is Reason.GATEWAY_RESTARTED
        relay.on_ending(Reason.CHILD_EXITED, None)
        assert relay.ended is Reason.GATEWAY_RESTARTED


async def test_a_child_that_does_not_read_is_ended_and_that_is_said_once() -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), format="{message}", level="WARNING")
    try:
        async with next_gateway() as here:
            child = here.child()
            take_up(here.sessions, [child.inherited(state("gw.a", STREAMABLE))], [])
            relay = here.sessions.find("gw.a", ALICE_ASKS, "light", Door.STREAMABLE).relay
            assert relay is not None
            for _ in range(20):
                relay.notify(notification("notifications/large", {"text": "x" * POLICY.max_message_bytes}))
            while relay.ended is None:
                await anyio.lowlevel.checkpoint()
            assert await here.told() == [Release(child.lease, Reason.CHILD_NOT_READING)]
    finally:
        logger.remove(sink)
    assert [line.strip().endswith("does not read its input") for line in said] == [True]


async def test_a_session_that_ends_leaves_no_note() -> None:
    async with next_gateway() as here:
        child = here.child()
        take_up(here.sessions, [child.inherited(state("gw.a", STREAMABLE))], [])
        here.client.on_ending(Ending(child.lease, Reason.IDLE_TIMEOUT))
        assert repr(here.hot_state).startswith("<HotState: 0 of")
