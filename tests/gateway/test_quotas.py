"""What users and keys have at once."""

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from common.config.amounts import KeyQuota, UserQuota
from common.config.amounts import Quotas as Settings
from common.reasons import Reason
from gateway.drain import CallsInFlight
from gateway.errors import GatewayError
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.quotas import Quotas, key_of
from gateway.session import Door
from gateway.succession import take_up
from tests.gateway.test_succession import ALICE, ALICE_ASKS, REST, STREAMABLE, next_gateway, state

ANN, BOB = Principal("bearer", "librechat", "ann"), Principal("bearer", "librechat", "bob")
CI = Principal("apikey", "ci")
JWT = Principal("https://issuer.example", "ci")


def reason(check: Callable[[Principal], None], principal: Principal) -> Reason | None:
    """Why not, if not."""
    try:
        check(principal)
    except GatewayError as error:
        return error.reason if "Retry-After" in error.headers else Reason.INTERNAL_ERROR
    return None


def test_all_users_of_one_front_are_one_key() -> None:
    assert key_of(ANN) == key_of(BOB) == Principal("bearer", "librechat")
    assert key_of(CI) == CI


def test_where_nothing_is_said_nobody_is_limited() -> None:
    quotas = Quotas()
    for _ in range(1000):
        quotas.sessions.take(ANN)
        quotas.children.take(ANN)
        quotas.calls.take(ANN)
    assert {reason(check, ANN) for check in (quotas.check_sessions, quotas.check_children, quotas.check_calls)} == {
        None
    }


def test_one_user_at_its_quota_does_not_touch_another() -> None:
    quotas = Quotas(Settings(user=UserQuota(sessions=2, calls_in_flight=1)))
    quotas.sessions.take(ANN)
    quotas.sessions.take(ANN)
    quotas.calls.take(ANN)
    assert reason(quotas.check_sessions, ANN) is Reason.MAX_USER_SESSIONS
    assert reason(quotas.check_calls, ANN) is Reason.MAX_USER_CALLS
    assert reason(quotas.check_sessions, BOB) is None
    assert reason(quotas.check_calls, BOB) is None
    quotas.sessions.give_back(ANN)
    quotas.calls.give_back(ANN)
    assert reason(quotas.check_sessions, ANN) is None
    assert reason(quotas.check_calls, ANN) is None


def test_a_key_counts_all_its_users_together() -> None:
    quotas = Quotas(Settings(key=KeyQuota(sessions=2, children=2, calls_in_flight=2)))
    for tally in (quotas.sessions, quotas.children, quotas.calls):
        tally.take(ANN)
        tally.take(BOB)
    assert reason(quotas.check_sessions, ANN) is Reason.MAX_KEY_SESSIONS
    assert reason(quotas.check_children, BOB) is Reason.MAX_KEY_SESSIONS
    assert reason(quotas.check_calls, ANN) is Reason.MAX_KEY_CALLS
    assert reason(quotas.check_sessions, CI) is None


def test_a_key_may_have_limits_of_its_own_and_nobody_borrows_its_name() -> None:
    settings = Settings(key=KeyQuota(sessions=1), keys={"ci": KeyQuota(sessions=2)})
    quotas = Quotas(settings.resolved(has_users=False))
    for principal in (CI, JWT):
        quotas.sessions.take(principal)
    assert reason(quotas.check_sessions, CI) is None
    assert reason(quotas.check_sessions, JWT) is Reason.MAX_KEY_SESSIONS


def test_what_the_file_gives_for_one_key_holds_with_the_rest_of_what_it_gives_for_all() -> None:
    settings = Settings(
        key=KeyQuota(sessions=1, children=7), keys={"ci": KeyQuota(sessions=None), "cd": KeyQuota(calls_in_flight=3)}
    )
    resolved = settings.resolved(has_users=False)
    assert resolved.keys["ci"] == KeyQuota(sessions=None, children=7)
    assert resolved.keys["cd"] == KeyQuota(sessions=1, children=7, calls_in_flight=3)
    assert Settings.model_validate_json(resolved.model_dump_json()) == resolved


def test_only_where_there_are_users_they_have_limits_by_default() -> None:
    assert Settings().resolved(has_users=False).user == UserQuota()
    assert Settings().resolved(has_users=True).user == UserQuota(sessions=200, calls_in_flight=50)
    unlimited = Settings(user=UserQuota(calls_in_flight=None)).resolved(has_users=True).user
    assert unlimited == UserQuota(sessions=200, calls_in_flight=None)


def test_a_call_is_counted_for_its_user_and_for_all_until_it_is_over() -> None:
    total = CallsInFlight()
    quotas = Quotas(Settings(user=UserQuota(calls_in_flight=1)), total)
    calls, others = quotas.calls_of(ANN, "light"), quotas.calls_of(ANN, "light")
    calls.check()
    calls.begin()
    assert total.count == 1
    with pytest.raises(GatewayError):
        others.check()  # another session of the same user
    quotas.calls_of(BOB, "light").check()
    calls.end()
    assert total.count == 0
    others.check()
    assert quotas.refusals == {"max_user_calls": 1}


def test_whoever_has_nothing_is_forgotten() -> None:
    quotas = Quotas()
    for user in range(1000):
        quotas.calls.take(Principal("bearer", "librechat", str(user)))
    for user in range(1000):
        quotas.calls.give_back(Principal("bearer", "librechat", str(user)))
    assert repr(quotas.calls) == "<Tally: 0 of 0 users of 0 keys>"


def test_all_who_are_anonymous_are_one_user() -> None:
    quotas = Quotas(Settings(user=UserQuota(sessions=1)))
    quotas.sessions.take(ANONYMOUS)
    assert reason(quotas.check_sessions, ANONYMOUS) is Reason.MAX_USER_SESSIONS


async def test_a_session_that_was_taken_up_counts_as_any_other_and_its_child_too() -> None:
    async with next_gateway() as here:
        take_up(here.sessions, [here.child().inherited(state("gw.a", STREAMABLE))], [])
        take_up(here.sessions, [here.child().inherited(state("gw.b", REST)) for _ in range(2)], [])
        quotas = here.sessions.quotas
        # Of two with one server in one set the later one goes on.
        assert (quotas.sessions.of_user(ALICE), quotas.children.of_key(ALICE)) == (2, 2)
        here.sessions.open(ALICE_ASKS, "light", Door.STREAMABLE)
        assert quotas.sessions.of_user(ALICE) == 3
        here.sessions.end_all(Reason.SHUTDOWN)
        assert (quotas.sessions.of_user(ALICE), quotas.children.of_key(ALICE)) == (0, 0)


async def test_a_child_that_could_not_be_had_is_not_counted() -> None:
    async with next_gateway() as here:
        session = here.sessions.open(ALICE_ASKS, "light", Door.STREAMABLE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.start)
            while not here.sessions.quotas.children.of_user(ALICE):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert here.sessions.quotas.children.of_user(ALICE) == 0


def test_a_subscription_counts_for_its_user_and_nobody_waits_for_its_end() -> None:
    total = CallsInFlight()
    calls = Quotas(Settings(user=UserQuota(calls_in_flight=1)), total).calls_of(ANN, "light")
    calls.begin(bounded=False)
    assert total.count == 0
    with pytest.raises(GatewayError):
        calls.check()
    calls.end(bounded=False)
    calls.check()


def test_a_server_has_no_more_calls_of_tools_in_flight_than_it_may_and_other_requests_do_not_count() -> None:
    quotas = Quotas()
    quotas.max_concurrency = {"light": 1}
    ann, bob, other = (quotas.calls_of(*each) for each in ((ANN, "light"), (BOB, "light"), (ANN, "other")))
    ann.begin()
    bob.check()
    ann.begin(of_tool=True)
    with pytest.raises(GatewayError) as caught:
        bob.check()
    assert (caught.value.reason, caught.value.about["limit"]) == (Reason.MAX_CONCURRENCY, 1)
    bob.check(of_tool=False)
    other.check()
    ann.end(of_tool=True)
    bob.check()
    quotas.max_concurrency = {}  # a reload
    for _ in range(3):
        bob.begin(of_tool=True)
        bob.check()
    assert quotas.refusals == {"max_concurrency": 1}
