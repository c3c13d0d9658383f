"""The table of sessions, without children."""

import re

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.sessions import CHILDLESS_SHARE, MAX_CHILDLESS
from tests.gateway.test_succession import next_gateway

ANN, BOB = Who(Principal("basic", "ann")), Who(Principal("basic", "bob"))


async def test_of_the_ids_that_nobody_has_used_one_principal_gets_a_share() -> None:
    async with next_gateway() as here:
        for _ in range(CHILDLESS_SHARE):
            one = here.sessions.open_set(ANN)
        with pytest.raises(GatewayError) as error:
            here.sessions.open_set(ANN)
        assert (error.value.reason, error.value.headers) == (Reason.MAX_USER_SESSIONS, {"Retry-After": "30"})
        here.sessions.open_set(BOB)
        one.end(Reason.CLIENT_CLOSED)
        here.sessions.open_set(ANN)


async def test_where_nobody_says_who_they_are_they_share_all_of_them() -> None:
    async with next_gateway() as here:
        for _ in range(MAX_CHILDLESS):
            here.sessions.open_set(Who())
        with pytest.raises(GatewayError) as error:
            here.sessions.open_set(Who())
        assert error.value.reason is Reason.MAX_SESSIONS


async def test_an_id_is_issued_and_nobody_can_guess_the_next_one() -> None:
    async with next_gateway() as here:
        ids = [here.sessions.open_set(Who()).id for _ in range(200)]
        assert len(set(ids)) == 200
        assert all(
            re.fullmatch(r"gw\.[A-Za-z0-9_-]{32}", each) for each in ids
        )  # 192 random bits behind the node's name
        assert len({each[3:7] for each in ids}) > 190
