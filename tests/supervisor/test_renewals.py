"""What is said of leases, interval by interval."""

from supervisor.protocol import Hold, Renew, Unhold
from supervisor.renewals import Renewals


def said(renewals: Renewals) -> list[Hold | Unhold | Renew]:
    """What is due, and then another interval begins."""
    return list(renewals.due())


def test_nothing_is_to_be_said_of_leases_that_nobody_uses() -> None:
    assert not Renewals()


def test_what_was_used_is_said_once() -> None:
    renewals = Renewals()
    renewals.use(1)
    assert renewals
    assert 1 in renewals
    assert said(renewals) == [Renew((1,))]
    assert not renewals
    assert 1 not in renewals


def test_a_call_within_an_interval_is_a_use_and_no_hold() -> None:
    renewals = Renewals()
    renewals.hold(1)
    renewals.unhold(1)
    assert said(renewals) == [Renew((1,))]
    assert not renewals


def test_what_is_held_for_a_whole_interval_is_named_once_more_and_then_no_more() -> None:
    renewals = Renewals()
    renewals.hold(1)
    assert said(renewals) == [Renew((1,))]
    assert said(renewals) == [Hold((1,)), Renew(())]
    assert [said(renewals) for _ in range(3)] == [[Renew(())]] * 3
    assert renewals
    assert 1 in renewals


def test_what_is_held_no_more_is_named_when_that_ends() -> None:
    renewals = Renewals()
    renewals.hold(1)
    for _ in range(3):
        said(renewals)
    renewals.unhold(1)
    assert renewals
    assert said(renewals) == [Unhold((1,)), Renew((1,))]
    assert not renewals


def test_what_is_held_again_within_the_interval_was_held_all_the_time() -> None:
    renewals = Renewals()
    renewals.hold(1)
    for _ in range(3):
        said(renewals)
    renewals.unhold(1)
    renewals.hold(1)
    assert said(renewals) == [Renew((1,))]
    renewals.unhold(1)
    assert said(renewals) == [Unhold((1,)), Renew((1,))]


def test_one_call_after_another_is_not_held_for_an_interval() -> None:
    renewals = Renewals()
    renewals.hold(1)
    assert said(renewals) == [Renew((1,))]
    renewals.unhold(1)
    renewals.hold(1)
    assert said(renewals) == [Renew((1,))]
    assert said(renewals) == [Hold((1,)), Renew(())]


def test_what_came_to_be_held_in_between_says_nothing_of_the_others() -> None:
    renewals = Renewals()
    renewals.hold(1)
    said(renewals)
    said(renewals)
    renewals.hold(2)
    assert said(renewals) == [Renew((2,))]
    assert said(renewals) == [Hold((2,)), Renew(())]


def test_a_lease_that_is_gone_is_not_spoken_of() -> None:
    renewals = Renewals()
    renewals.hold(1)
    said(renewals)
    renewals.forget(1)
    assert not renewals
    renewals.hold(2)
    for _ in range(3):
        said(renewals)
    renewals.unhold(2)
    renewals.forget(2)
    assert not renewals
    assert 2 not in renewals
