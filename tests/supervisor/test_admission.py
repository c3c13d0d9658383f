"""Who may have one more child, who waits for it, and who is next."""

from copy import deepcopy

import pytest

from common.config.model import ServerSpec
from common.reasons import Reason
from supervisor.admission import RETRY_AFTER, Admission, Refusal, Standing, Taken, admit
from supervisor.queueing import Request
from tests.support.specs import server_spec, supervisor_settings


def spec(name: str, max_sessions: int | None = None, max_user_sessions: int | None = None) -> ServerSpec:
    """A server that differs from others in its caps alone."""
    return server_spec(name, max_sessions=max_sessions, max_user_sessions=max_user_sessions)


SERVERS = (spec("free"), spec("tight", 2), spec("shy", None, 1))
SETTINGS = supervisor_settings(*SERVERS, max_sessions=5, max_user_sessions=3, queue_max=4)


def taken(*requests: Request) -> Taken:
    """The places of `requests`."""
    count = Taken()
    for request in requests:
        count.add(request, 1)
    return count


def full(message: str) -> Refusal:
    """A refusal for all alike."""
    return Refusal(Reason.MAX_SESSIONS, message, RETRY_AFTER)


def enough(message: str) -> Refusal:
    """A refusal for one user."""
    return Refusal(Reason.MAX_USER_SESSIONS, message, RETRY_AFTER)


FREE, TIGHT, SHY = Request("free"), Request("tight"), Request("shy")
ALL_TAKEN = full("the gateway has all the 5 sessions that it may have")


@pytest.mark.parametrize(
    ("request_", "places"),
    [
        (FREE, []),
        (FREE, [FREE] * 4),
        (FREE, [FREE, FREE, TIGHT, TIGHT]),
        (TIGHT, [TIGHT, FREE, FREE, FREE]),
        (SHY, [SHY] * 4),
        (Request("free", "ann"), [Request("free", "bob")] * 3),
        (Request("free", "ann"), [Request("free", "ann"), Request("shy", "ann")]),
        (Request("shy", "ann"), [Request("free", "ann"), Request("shy", "bob")]),
    ],
)
def test_a_child_is_admitted_below_every_cap(request_: Request, places: list[Request]) -> None:
    assert admit(SETTINGS, request_, taken(*places)) is None


@pytest.mark.parametrize(
    ("request_", "places", "refusal"),
    [
        (FREE, [FREE] * 5, ALL_TAKEN),
        (TIGHT, [FREE] * 5, ALL_TAKEN),
        (FREE, [TIGHT, TIGHT, FREE, FREE, FREE], ALL_TAKEN),
        (TIGHT, [TIGHT, TIGHT], full("server 'tight' has all the 2 sessions that it may have")),
        (
            Request("free", "ann"),
            [Request("free", "ann"), Request("free", "ann"), Request("tight", "ann")],
            enough("the user has all the 3 sessions that one may have"),
        ),
        (
            Request("shy", "ann"),
            [Request("shy", "ann")],
            enough("the user has all the 1 sessions of 'shy' that one may have"),
        ),
        (Request("other"), [], Refusal(Reason.SERVER_NOT_FOUND, "there is no server 'other'")),
    ],
)
def test_a_child_is_refused_at_any_cap(request_: Request, places: list[Request], refusal: Refusal) -> None:
    assert admit(SETTINGS, request_, taken(*places)) == refusal


def test_what_was_counted_and_left_is_forgotten() -> None:
    count = taken(Request("free", "ann"), Request("free", "ann"))
    count.add(Request("free", "ann"), -1)
    count.add(Request("free", "ann"), -1)
    assert count == Taken()


def crowd(*requests: Request, **keys: object) -> Admission:
    """All that ask, with tickets 0, 1, 2 …"""
    admission = Admission(SETTINGS.model_copy(update=keys))
    for ticket, request in enumerate(requests):
        assert not isinstance(admission.ask(ticket, request), Refusal)
    return admission


def order(admission: Admission, leaving: int) -> list[int]:
    """Who comes next, each time that the one before leaves; `leaving` is the first to."""
    served = []
    nxt = [leaving]
    while nxt:
        nxt = admission.leave(nxt[0])
        served += nxt
    return served


def by(user: str, server: str = "free") -> Request:
    """A request of `user`'s."""
    return Request(server, user, f"session of {user}")


def test_at_the_cap_a_request_waits_and_gets_the_next_place() -> None:
    admission = crowd(FREE, max_sessions=1)
    assert admission.ask(1, FREE) is Standing.WAITS
    assert not admission.holds(1)
    assert admission.leave(0) == [1]
    assert admission.holds(1)
    assert admission.leave(0) == []


def test_users_take_turns_and_each_ones_own_requests_keep_their_order() -> None:
    waiting = [by("ann"), by("ann"), by("ann"), by("bob"), by("cyd")]
    admission = crowd(FREE, *waiting, max_sessions=1, queue_max=9)
    assert order(admission, 0) == [1, 4, 5, 2, 3]


def test_without_users_each_session_has_a_turn_of_its_own() -> None:
    waiting = [Request("free", "", "a"), Request("free", "", "a"), Request("free", "", "b")]
    admission = crowd(FREE, *waiting, max_sessions=1)
    assert order(admission, 0) == [1, 3, 2]


def test_a_user_may_not_be_mistaken_for_a_session_of_that_name() -> None:
    assert Request("free", "ann", "x").queue != Request("free", "", "ann").queue


def test_a_full_server_holds_nobody_else_up() -> None:
    admission = crowd(TIGHT, TIGHT, TIGHT, FREE)
    assert admission.holds(3)
    assert not admission.holds(2)


def test_in_the_queue_who_has_no_room_is_passed_over_and_keeps_its_turn() -> None:
    admission = crowd(TIGHT, TIGHT, FREE, by("ann", "tight"), by("ann"), by("bob"), max_sessions=3)
    assert admission.leave(2) == [4]
    assert admission.leave(4) == [5]
    assert admission.leave(0) == [3]


def test_a_user_who_has_enough_holds_nobody_else_up() -> None:
    admission = crowd(by("ann"), by("ann"), by("ann"), by("ann"), by("bob"))
    assert [admission.holds(ticket) for ticket in range(5)] == [True, True, True, False, True]
    assert admission.leave(4) == []
    assert admission.leave(1) == [3]


def test_the_queue_is_bounded() -> None:
    admission = crowd(FREE, *[FREE] * 4, max_sessions=1)
    assert admission.ask(9, FREE) == full("the gateway has all the 1 sessions that it may have")
    assert len(admission.queue) == 4
    assert admission.queue.waiting() == {"free": 4}


def test_nobody_fills_the_queue_for_everybody_else() -> None:
    admission = crowd(by("bob"), *[by("ann")] * 4, max_sessions=1)
    assert admission.ask(9, by("ann")) == full("the gateway has all the 1 sessions that it may have")
    assert [admission.ask(ticket, by("cyd")) for ticket in (10, 11)] == [Standing.WAITS] * 2
    assert admission.displaced() == [4, 3]
    assert admission.displaced() == []
    assert admission.ask(12, by("cyd")) == full("the gateway has all the 1 sessions that it may have")
    assert order(admission, 0) == [1, 10, 2, 11]


def test_who_gave_way_and_has_room_before_it_is_told_takes_it() -> None:
    admission = crowd(by("bob"), by("ann"), by("ann"), max_sessions=1, queue_max=2)
    assert admission.ask(9, by("cyd")) is Standing.WAITS
    assert admission.displaced() == [2]
    assert order(admission, 0) == [1, 9]
    assert admission.give_up(2, by("ann")) is None
    assert admission.holds(2)


def test_a_queue_of_none_refuses_at_once() -> None:
    admission = crowd(TIGHT, TIGHT, queue_max=0)
    assert admission.ask(9, TIGHT) == full("server 'tight' has all the 2 sessions that it may have")


def test_who_asks_for_what_is_not_there_does_not_wait() -> None:
    assert Admission(SETTINGS).ask(1, Request("other")) == Refusal(
        Reason.SERVER_NOT_FOUND, "there is no server 'other'"
    )


def test_who_withdraws_takes_no_place() -> None:
    admission = crowd(FREE, by("ann"), by("ann"), by("bob"), max_sessions=1)
    assert admission.leave(1) == []
    assert order(admission, 0) == [2, 3]


def test_who_gives_up_is_told_what_was_in_the_way_to_the_end() -> None:
    admission = crowd(TIGHT, TIGHT, TIGHT)
    assert admission.give_up(2, TIGHT) == full("server 'tight' has all the 2 sessions that it may have")
    assert len(admission.queue) == 0
    assert admission.leave(0) == []


def test_more_room_is_given_to_those_who_wait() -> None:
    admission = crowd(FREE, FREE, FREE, FREE, max_sessions=1)
    admission.settings = SETTINGS.model_copy(update={"max_sessions": 3})
    assert admission.move_on() == [1, 2]


NOBODYS = Request("free", gives_way=True)


def test_what_is_nobodys_never_waits_and_is_in_the_way_of_whoever_does() -> None:
    admission = crowd(NOBODYS, FREE, max_sessions=1)
    assert admission.in_the_way(FREE) == [0]
    assert admission.ask(9, NOBODYS) == full("the gateway has all the 1 sessions that it may have")
    assert len(admission.queue) == 1
    assert admission.leave(0) == [1]


def test_what_is_nobodys_gives_way_only_where_that_is_of_use() -> None:
    admission = crowd(NOBODYS, TIGHT, TIGHT)
    assert admission.in_the_way(TIGHT) == []
    assert admission.in_the_way(Request("free", "ann")) == [0]
    assert admission.taken.total == 3


def test_who_has_to_wait_for_what_is_nobodys_alone_may_however_full_the_queue_is() -> None:
    admission = crowd(NOBODYS, max_sessions=1, queue_max=0)
    assert admission.ask(1, FREE) is Standing.WAITS
    assert admission.ask(2, FREE) == full("the gateway has all the 1 sessions that it may have")
    assert admission.leave(0) == [1]


SPARE = Request("free", "", "spare", gives_way=True, is_spare=True)


def test_no_more_gives_way_than_must_and_what_nobody_uses_goes_first() -> None:
    admission = crowd(SPARE, NOBODYS, SPARE, max_sessions=3)
    assert admission.call_away(FREE) == [2]
    assert admission.call_away(FREE) == [0]  # the one that was named makes room for somebody else
    assert admission.call_away(FREE) == [1]
    assert admission.call_away(FREE) == []
    assert admission.taken.total == 3


def test_only_what_is_in_the_way_is_called_away() -> None:
    elsewhere = Request("tight", "", "spare", gives_way=True, is_spare=True)
    admission = crowd(SPARE, elsewhere, TIGHT)
    assert admission.call_away(TIGHT) == [1]
    assert admission.call_away(TIGHT) == []


def test_a_spare_becomes_its_askers_and_counts_as_theirs_from_then_on() -> None:
    admission = crowd(SPARE)
    ann = Request("free", "ann", "gw.1")
    assert admission.hand_over(0, ann)
    assert admission.taken.by_user == {"ann": 1}
    assert (admission.taken.total, admission.call_away(FREE)) == (1, [])
    admission.leave(0)
    assert admission.taken == Taken()


def test_who_may_have_no_more_is_handed_none_and_nothing_has_changed() -> None:
    ann = Request("free", "ann", "gw.1")
    admission = crowd(SPARE, ann, ann, ann)
    before = deepcopy(admission.taken)
    assert not admission.hand_over(0, ann)
    assert admission.taken == before
    assert admission.hand_over(0, ann, instead_of=1)
    assert (admission.taken.total, admission.taken.by_user["ann"]) == (3, 3)
    assert not admission.holds(1)


def test_spares_leave_the_last_places_to_who_comes() -> None:
    assert crowd(FREE, max_sessions=3).has_room_to_spare()
    assert not crowd(FREE, FREE, max_sessions=3).has_room_to_spare()
    assert crowd(*[FREE] * 17, max_sessions=20).has_room_to_spare()
    assert not crowd(*[FREE] * 18, max_sessions=20).has_room_to_spare()
    waiting = crowd(TIGHT, TIGHT, TIGHT, max_sessions=9)
    assert (len(waiting.queue), waiting.has_room_to_spare()) == (1, False)
