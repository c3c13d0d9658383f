"""Every cell of the table of a child's life, written out: those that exist, and those that must not."""

from itertools import product

import pytest

from supervisor.lifecycle import TABLE, Effect, Event, ImpossibleEvent, State, advance

RUNNING, STOPPING, TERMINATING, KILLING, GONE = State
END, ABANDONED, OVER_LIMIT, LEADER_EXITED, TREE_EMPTY, GRACE_OVER = Event

EXPECTED: dict[tuple[State, Event], tuple[State, tuple[Effect, ...]]] = {
    (RUNNING, END): (STOPPING, (Effect.ANNOUNCE_ENDING, Effect.START_ENDING)),
    (RUNNING, ABANDONED): (STOPPING, (Effect.HASTEN, Effect.ANNOUNCE_ENDING, Effect.START_ENDING)),
    (RUNNING, OVER_LIMIT): (KILLING, (Effect.ANNOUNCE_ENDING, Effect.START_ENDING)),
    (RUNNING, LEADER_EXITED): (TERMINATING, (Effect.ANNOUNCE_ENDING, Effect.START_ENDING)),
    (STOPPING, END): (STOPPING, ()),
    (STOPPING, ABANDONED): (STOPPING, (Effect.HASTEN, Effect.RESTART_STEP)),
    (STOPPING, OVER_LIMIT): (KILLING, (Effect.RESTART_STEP,)),
    (STOPPING, LEADER_EXITED): (TERMINATING, (Effect.RESTART_STEP,)),
    (STOPPING, GRACE_OVER): (TERMINATING, (Effect.RESTART_STEP,)),
    (TERMINATING, END): (TERMINATING, ()),
    (TERMINATING, ABANDONED): (TERMINATING, (Effect.HASTEN, Effect.RESTART_STEP)),
    (TERMINATING, OVER_LIMIT): (KILLING, (Effect.RESTART_STEP,)),
    (TERMINATING, LEADER_EXITED): (TERMINATING, ()),
    (TERMINATING, TREE_EMPTY): (GONE, (Effect.ANNOUNCE_GONE,)),
    (TERMINATING, GRACE_OVER): (KILLING, (Effect.RESTART_STEP,)),
    (KILLING, END): (KILLING, ()),
    (KILLING, ABANDONED): (KILLING, ()),
    (KILLING, OVER_LIMIT): (KILLING, ()),
    (KILLING, LEADER_EXITED): (KILLING, ()),
    (KILLING, TREE_EMPTY): (GONE, (Effect.ANNOUNCE_GONE,)),
    (KILLING, GRACE_OVER): (KILLING, (Effect.COUNT_OUTLIVED, Effect.RESTART_STEP)),
    (GONE, END): (GONE, ()),
    (GONE, ABANDONED): (GONE, ()),
    (GONE, OVER_LIMIT): (GONE, ()),
}

IMPOSSIBLE = [
    # A tree is only looked at, and a step only bounded, once the child is being ended.
    (RUNNING, TREE_EMPTY),
    (RUNNING, GRACE_OVER),
    (STOPPING, TREE_EMPTY),
    # A tree that was found empty has no leader that could exit, and nothing that waits.
    (GONE, LEADER_EXITED),
    (GONE, TREE_EMPTY),
    (GONE, GRACE_OVER),
]


def name(value: object) -> str:
    return value.name if isinstance(value, State | Event) else ""


@pytest.mark.parametrize(("state", "event"), EXPECTED, ids=name)
def test_an_event_leads_to_its_state_and_its_effects(state: State, event: Event) -> None:
    assert advance(state, event) == EXPECTED[state, event]


@pytest.mark.parametrize(("state", "event"), IMPOSSIBLE, ids=name)
def test_an_event_that_a_state_cannot_have_is_our_own_fault(state: State, event: Event) -> None:
    with pytest.raises(ImpossibleEvent, match=f"{event.name} while {state.name}"):
        advance(state, event)


def test_no_cell_is_left_out_here() -> None:
    assert {*EXPECTED, *IMPOSSIBLE} == set(product(State, Event))
    assert not EXPECTED.keys() & set(IMPOSSIBLE)
    assert EXPECTED.keys() == TABLE.keys()


# What the table as a whole promises.


@pytest.mark.parametrize("state", State, ids=name)
def test_whoever_wants_the_end_may_say_so_in_every_state(state: State) -> None:
    for event in (END, ABANDONED):
        advance(state, event)


def test_a_child_only_moves_towards_its_end() -> None:
    order = list(State)
    assert all(order.index(after) >= order.index(state) for (state, _), (after, _) in TABLE.items())


def test_a_tree_is_gone_only_where_it_was_found_empty() -> None:
    ways = {(state, event) for (state, event), (after, _) in TABLE.items() if after is GONE and state is not GONE}
    assert {event for _, event in ways} == {TREE_EMPTY}


def test_the_ending_is_begun_and_announced_on_leaving_running_and_never_again() -> None:
    for (state, _), (_, effects) in TABLE.items():
        assert (Effect.START_ENDING in effects) == (state is RUNNING)
        assert (Effect.ANNOUNCE_ENDING in effects) == (state is RUNNING)


def test_the_end_is_announced_once_on_entering_gone() -> None:
    for (state, _), (after, effects) in TABLE.items():
        assert (Effect.ANNOUNCE_GONE in effects) == (after is GONE and state is not GONE)


def test_a_step_that_is_waited_for_is_left_whenever_the_state_changes_to_another_step() -> None:
    steps = {STOPPING, TERMINATING, KILLING}
    for (state, _), (after, effects) in TABLE.items():
        if {state, after} <= steps and state is not after:
            assert Effect.RESTART_STEP in effects


@pytest.mark.parametrize(
    "events",
    [
        [END, LEADER_EXITED, TREE_EMPTY],
        [LEADER_EXITED, TREE_EMPTY],
        [END, GRACE_OVER, LEADER_EXITED, TREE_EMPTY],
        [END, GRACE_OVER, GRACE_OVER, LEADER_EXITED, TREE_EMPTY],
        [END, GRACE_OVER, GRACE_OVER, GRACE_OVER, GRACE_OVER, LEADER_EXITED, TREE_EMPTY],
        [END, ABANDONED, LEADER_EXITED, TREE_EMPTY],
        [ABANDONED, GRACE_OVER, GRACE_OVER, LEADER_EXITED, TREE_EMPTY, END],
    ],
)
def test_lives_that_end(events: list[Event]) -> None:
    state = RUNNING
    for event in events:
        state, _ = advance(state, event)
    assert state is GONE
