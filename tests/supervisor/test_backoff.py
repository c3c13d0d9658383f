"""Which servers keep dying, and when they may be tried again."""

import pytest

from common.reasons import Reason
from supervisor.backoff import LONGEST_START, PROBE_PATIENCE, SETTLED, Failures, Verdict, judge

GOOD, NOTHING, BAD, BAD_FOR_ONE = Verdict.GOOD, Verdict.NOTHING, Verdict.BAD, Verdict.BAD_FOR_ONE


@pytest.mark.parametrize(
    ("reason", "lived", "lived_ready", "verdict"),
    [
        (Reason.CHILD_EXITED, 0.1, None, BAD),
        (Reason.CHILD_CLOSED_STDOUT, 0.1, None, BAD),
        (Reason.CHILD_EXITED, 29.0, None, BAD),
        (Reason.MEMORY_MAX, 3.0, None, BAD),
        (Reason.START_TIMEOUT, 24.0, None, BAD),
        (Reason.START_FAILED, 1.0, None, BAD_FOR_ONE),
        (Reason.CLIENT_GONE, 1.0, None, NOTHING),
        (Reason.SHUTDOWN, 1.0, None, NOTHING),
        (Reason.CHILD_EXITED, 5.0, 4.0, BAD_FOR_ONE),
        (Reason.CHILD_EXITED, 12.0, 4.0, NOTHING),
        (Reason.CHILD_EXITED, 30.0, 29.0, GOOD),
        (Reason.MEMORY_MAX, 5.0, 4.0, GOOD),
        (Reason.CLIENT_CLOSED, 1.0, 0.5, GOOD),
        (Reason.IDLE_TIMEOUT, 1800.0, 1799.0, GOOD),
        (Reason.CLIENT_CLOSED, 60.0, None, GOOD),
        (Reason.CHILD_EXITED, 60.0, None, NOTHING),
    ],
)
def test_what_an_end_says_of_the_server(
    reason: Reason, lived: float, lived_ready: float | None, verdict: Verdict
) -> None:
    assert judge(reason, named=True, lived=lived, lived_ready=lived_ready) is verdict


def test_where_no_user_is_known_a_refused_handshake_is_the_servers_own_fault() -> None:
    assert judge(Reason.START_FAILED, named=False, lived=1, lived_ready=None) is BAD


def fail(failures: Failures, *times: float, verdict: Verdict = BAD, user: str = "") -> None:
    """At each of `times` a child of `fs` is spawned, and dies."""
    for time in times:
        failures.ended("fs", int(time * 10), verdict, started=time, now=time, why="child_exited", user=user)


def test_a_server_that_never_failed_may_be_tried() -> None:
    failures = Failures()
    failures.ready("fs", 1, 0, 1)
    failures.ended("fs", 1, GOOD, started=0, now=2, why="client_closed")
    assert failures.attempt("fs", 2, 3) is None
    assert failures.failing("fs", 3) == ""


def test_the_first_retry_is_immediate() -> None:
    failures = Failures()
    fail(failures, 0)
    assert failures.attempt("fs", 1, 0) is None
    assert failures.attempt("fs", 2, 0) is None


def test_from_the_second_failure_on_the_rests_double_up_to_a_minute() -> None:
    failures = Failures()
    now = 0.0
    fail(failures, now)
    rests = []
    for _ in range(9):
        fail(failures, now)
        rest = failures.rest("fs", now)
        assert rest is not None
        assert rest.message == "server 'fs' keeps failing and is given a rest; try again later"
        rests.append(rest.retry_after)
        assert failures.rest("fs", now + rest.retry_after - 0.01) is not None
        now += rest.retry_after
        assert failures.rest("fs", now) is None
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_other_servers_do_not_notice() -> None:
    failures = Failures()
    fail(failures, 0, 0, 0, 0, 0)
    assert failures.attempt("git", 1, 0) is None
    assert failures.failing("git", 0) == ""


def test_after_five_failures_it_is_failing_and_why_is_known() -> None:
    failures = Failures()
    fail(failures, 0, 0, 0, 0)
    assert failures.failing("fs", 0) == ""
    fail(failures, 0)
    assert failures.failing("fs", 0) == "5 failures in a row, the last: child_exited"


def test_when_the_rest_is_over_one_is_let_through_at_a_time() -> None:
    failures = Failures()
    fail(failures, 0, 0)
    assert failures.attempt("fs", 100, 1) is None
    rest = failures.attempt("fs", 101, 1)
    assert rest is not None
    assert rest.retry_after == PROBE_PATIENCE
    failures.ended("fs", 100, NOTHING, started=1, now=2, why="client_gone")
    assert failures.attempt("fs", 102, 2) is None


def test_a_try_that_comes_to_nothing_does_not_keep_the_others_waiting_for_ever() -> None:
    failures = Failures()
    fail(failures, 0, 0)
    assert failures.attempt("fs", 100, 1) is None
    assert failures.attempt("fs", 101, LONGEST_START) is not None
    assert failures.attempt("fs", 101, LONGEST_START + 1) is None
    failures.ended("fs", 100, NOTHING, started=1, now=40, why="client_gone")
    assert failures.attempt("fs", 102, 40) is not None


def test_a_child_that_is_ready_lets_the_next_one_through() -> None:
    failures = Failures()
    fail(failures, 0, 0)
    assert failures.attempt("fs", 100, 1) is None
    failures.ready("fs", 100, 1, 2)
    assert failures.attempt("fs", 101, 2) is None


def test_one_success_clears_all() -> None:
    failures = Failures()
    fail(failures, 0, 0, 0, 0, 0)
    failures.ended("fs", 100, GOOD, started=9, now=10, why="client_closed")
    assert failures.failing("fs", 10) == ""
    fail(failures, 11)
    assert failures.attempt("fs", 101, 11) is None


def test_a_child_that_lives_on_is_a_success_without_ending() -> None:
    failures = Failures()
    fail(failures, 0, 0, 0, 0, 0)
    failures.ready("fs", 100, 9, 10)
    assert failures.failing("fs", 10 + SETTLED - 0.1) != ""
    assert failures.failing("fs", 10 + SETTLED) == ""
    assert failures.rest("fs", 10 + SETTLED) is None


def test_a_ready_child_that_died_in_time_does_not_count_as_one_that_lives_on() -> None:
    failures = Failures()
    fail(failures, 0, 0, 0, 0, 0)
    failures.ready("fs", 100, 9, 10)
    failures.ended("fs", 100, BAD_FOR_ONE, started=9, now=11, why="child_exited")
    assert failures.failing("fs", 100) == "6 failures in a row, the last: child_exited"


def test_who_was_there_before_the_trouble_began_does_not_say_that_it_is_over() -> None:
    failures = Failures()
    fail(failures, 100, 100, 100, 100, 100)
    failures.ready("fs", 1, 50, 101)
    failures.ended("fs", 1, GOOD, started=50, now=102, why="client_closed")
    assert failures.failing("fs", 200) != ""


def test_what_was_spawned_together_and_dies_of_the_same_is_one_round() -> None:
    failures = Failures()
    for ticket in range(12):
        failures.ended("fs", ticket, BAD, started=0.0, now=1 + ticket / 100, why="child_exited")
    assert failures.attempt("fs", 50, 2) is None
    assert failures.attempt("fs", 51, 2) is not None
    failures.ended("fs", 50, BAD, started=2, now=3, why="child_exited")
    rest = failures.rest("fs", 3)
    assert rest is not None
    assert rest.retry_after == 1


def test_one_user_alone_cannot_mark_a_server_by_ending_ones_own_children() -> None:
    failures = Failures()
    fail(failures, *range(20), verdict=BAD_FOR_ONE, user="eve")
    assert failures.attempt("fs", 1, 20) is None
    fail(failures, *range(20), verdict=BAD_FOR_ONE)
    assert failures.failing("fs", 20) == ""


def test_five_users_whose_children_die_early_can() -> None:
    failures = Failures()
    for user in "abcde":
        fail(failures, 0, verdict=BAD_FOR_ONE, user=user)
    assert failures.failing("fs", 0) == "5 failures in a row, the last: child_exited"


def test_what_says_nothing_changes_nothing() -> None:
    failures = Failures()
    fail(failures, 0, verdict=NOTHING)
    fail(failures, 0, 0)
    fail(failures, 0, verdict=NOTHING)
    assert failures.rest("fs", 0.5) is not None


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("reason", [Reason.CHILD_EXITED, Reason.START_TIMEOUT, Reason.START_FAILED, Reason.MEMORY_MAX])
def test_who_was_started_with_something_of_a_users_own_fails_for_that_user_alone(
    reason: Reason, *, named: bool
) -> None:
    assert judge(reason, named=named, lived=1, lived_ready=None, personal=True) is Verdict.BAD_FOR_ONE
    assert judge(Reason.IDLE_TIMEOUT, named=named, lived=99, lived_ready=98, personal=True) is Verdict.GOOD
