"""How many spares a server is to have, and which is started next."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.spares import MOST, RECENTLY, Demand, Need, may_start, next_to_start, wanted

SMALL = st.integers(0, 6)
NEEDS = st.lists(
    st.builds(Need, st.sampled_from("abcdef"), SMALL, SMALL, st.integers(1, 100)), unique_by=lambda need: need.server
)


@given(NEEDS, st.integers(0, 500))
def test_nothing_is_started_that_is_not_wanted_or_for_which_there_is_no_room(needs: list[Need], budget: int) -> None:
    here = {need.server: need for need in needs}
    used = 0
    while (server := next_to_start(here.values(), used, budget)) is not None:
        need = here[server]
        assert need.have < need.wanted
        used += need.memory
        assert used <= budget
        here[server] = Need(server, need.wanted, need.have + 1, need.memory)
    for need in here.values():
        assert need.have >= need.wanted or used + need.memory > budget


def test_who_has_the_smallest_part_of_what_it_wants_comes_first() -> None:
    assert next_to_start([Need("half", 4, 2, 1), Need("none", 1, 0, 1), Need("all", 1, 1, 1)], 0, 9) == "none"
    assert next_to_start([Need("half", 4, 2, 1), Need("quarter", 4, 1, 1)], 0, 9) == "quarter"
    assert next_to_start([Need("large", 1, 0, 10), Need("small", 2, 1, 1)], 0, 9) == "small"


@given(st.integers(1, 64), st.integers(0, 64), st.integers(0, 64))
def test_spares_take_half_of_the_processors_at_most_and_none_that_a_session_starts_on(
    cores: int, cold: int, warming: int
) -> None:
    if may_start(cores, cold, warming):
        assert warming + 1 <= max(1, cores // 2)
        assert warming + 1 + cold <= cores
    if cold >= cores:
        assert not may_start(cores, cold, 0)


def test_with_nobody_there_one_may_start_at_a_time() -> None:
    assert [may_start(2, 0, warming) for warming in (0, 1)] == [True, False]
    assert [may_start(1, cold, 0) for cold in (0, 1)] == [True, False]
    assert [may_start(8, 0, warming) for warming in (3, 4)] == [True, False]


def test_a_number_is_what_is_wanted_whoever_comes() -> None:
    assert wanted(3, Demand(), 0.0) == 3
    assert wanted(0, Demand(), 0.0) == 0


def test_where_nobody_came_none_is_wanted_and_one_for_a_while_after_somebody_came() -> None:
    demand = Demand()
    assert wanted("auto", demand, 0.0) == 0
    demand.arrived(10.0)
    assert wanted("auto", demand, 60.0) == 1
    assert wanted("auto", demand, 10.0 + RECENTLY - 1) == 1
    assert wanted("auto", demand, 10.0 + RECENTLY) == 0


def test_the_more_come_and_the_longer_a_start_takes_the_more_are_wanted() -> None:
    quick, slow = Demand(), Demand()
    quick.started(0.1, 1)
    slow.started(1.0, 1)
    for arrival in range(100):
        for demand in (quick, slow):
            demand.arrived(arrival / 5)
    assert 4.0 < quick.rate(20.0) < 5.5
    assert 1 < wanted("auto", quick, 20.0) < wanted("auto", slow, 20.0) <= MOST
    assert wanted("auto", slow, 20.0) > wanted("auto", slow, 80.0) > wanted("auto", slow, 2000.0) == 1


@given(st.lists(st.floats(0, 100), max_size=200), st.floats(0, 1e4), st.floats(0, 30))
def test_auto_never_wants_more_than_there_may_be(arrivals: list[float], now: float, start: float) -> None:
    demand = Demand()
    demand.started(start, 1)
    for arrival in sorted(arrivals):
        demand.arrived(arrival)
    assert 0 <= wanted("auto", demand, now) <= MOST


def test_what_a_start_takes_is_learnt_and_memory_rather_too_high_than_too_low() -> None:
    demand = Demand()
    demand.started(2.0, 100)
    assert (demand.start, demand.memory) == (2.0, 100)
    demand.started(1.0, 50)
    assert 1.0 < demand.start < 2.0
    assert demand.memory == 70
    demand.started(1.0, 400)
    assert demand.memory == 400
