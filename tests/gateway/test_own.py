"""A caller's own session set."""

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.kept import VERSION, Kept, write
from gateway.own import KEY
from gateway.succession import take_up
from supervisor.protocol import Lapsed
from tests.gateway.test_succession import REST, next_gateway

ANN, BOB = Who(Principal("basic", "ann")), Who(Principal("basic", "bob"))
FOR_ANN, FOR_BOB = (Who(Principal("bearer", "front", user)) for user in ("ann", "bob"))


def state(id_: str, who: Who) -> str:
    """What an earlier gateway wrote of a session of somebody's own set."""
    owner = who.principal
    return write(Kept(VERSION, id_, REST, owner.issuer, owner.subject, "light", user=owner.user, key=KEY))


async def test_each_principal_has_one_and_no_two_have_the_same() -> None:
    async with next_gateway() as here:
        own = here.sessions.own
        sets = [own.take(who) for who in (ANN, BOB, FOR_ANN, FOR_BOB)]
        assert len({each.id for each in sets}) == 4
        for session_set, who in zip(sets, (ANN, BOB, FOR_ANN, FOR_BOB), strict=True):
            own.leave(session_set)
            assert own.take(who) is session_set
            assert session_set.ended is None


async def test_the_anonymous_have_none_and_get_one_for_a_request() -> None:
    async with next_gateway() as here:
        async with here.sessions.own.using(Who()) as one, here.sessions.own.using(Who()) as two:
            assert one is not two
        assert [one.ended, two.ended] == [Reason.REQUEST_DONE] * 2
        assert here.sessions.of(Who().principal) == []


async def test_one_that_has_ended_is_forgotten_and_another_takes_its_place() -> None:
    async with next_gateway() as here:
        own = here.sessions.own
        for reason in (Reason.UNUSED, Reason.CLIENT_CLOSED, Reason.CREDENTIALS_REMOVED):
            before = own.take(ANN)
            before.end(reason)
            assert repr(own) == "<OwnSets: 0>"
            assert own.take(ANN) is not before


async def test_it_ends_with_its_owners_credentials_and_counts_for_quotas() -> None:
    async with next_gateway() as here:
        anns, bobs = here.sessions.own.take(ANN), here.sessions.own.take(BOB)
        assert here.sessions.quotas.sessions.of_user(ANN.principal) == 1
        here.sessions.end_of_others(lambda principal: principal == BOB.principal)
        assert (anns.ended, bobs.ended) == (Reason.CREDENTIALS_REMOVED, None)
        assert here.sessions.quotas.sessions.of_user(ANN.principal) == 0


async def test_in_the_place_of_a_session_of_it_that_has_ended_there_is_another() -> None:
    async with next_gateway() as here:
        child = here.child()
        take_up(here.sessions, [child.inherited(state("gw.a", ANN))], [])
        own = here.sessions.own.take(ANN)
        before = own.session("light", ANN)
        before.end(Reason.IDLE_TIMEOUT)
        assert before.had_a_caller
        assert own.live("light") is None
        assert own.session("light", ANN) is not before
        # Where somebody names the session, they are told.
        take_up(here.sessions, [here.child().inherited(state("gw.b", BOB).replace('"key":"own"', '"key":null'))], [])
        named = here.sessions.find_set("gw.b", BOB)
        named.session("light", BOB).end(Reason.IDLE_TIMEOUT)
        with pytest.raises(GatewayError, match="idle_timeout"):
            named.session("light", BOB)


async def test_the_next_gateway_finds_it_again_with_its_child() -> None:
    async with next_gateway() as here:
        child = here.child()
        assert take_up(here.sessions, [child.inherited(state("gw.a", FOR_ANN))], []) == 1
        session = here.sessions.own.take(FOR_ANN).session("light", FOR_ANN)
        assert session.relay is not None
        assert session.relay.lease == child.lease
        assert here.sessions.own.take(FOR_BOB).live("light") is None
        assert len(here.sessions.of(FOR_ANN.principal)) == 1


async def test_of_one_that_ended_meanwhile_the_owner_gets_another() -> None:
    async with next_gateway() as here:
        assert take_up(here.sessions, [], [Lapsed(1, "light", state("gw.a", ANN), Reason.CHILD_EXITED)]) == 0
        own = here.sessions.own.take(ANN)
        assert own.live("light") is None
        assert own.session("light", ANN).ended is None


async def test_its_id_is_no_use_for_naming_it() -> None:
    async with next_gateway() as here:
        own = here.sessions.own.take(ANN)
        assert here.sessions.named(own.id, ANN.principal) is None
        given = here.sessions.open_set(ANN)
        assert here.sessions.named(given.id, ANN.principal) is given
        assert here.sessions.named(given.id, BOB.principal) is None
