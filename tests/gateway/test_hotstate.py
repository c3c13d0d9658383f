"""Notes of what is under way: what one gateway writes, the next one reads, in memory that both map."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.hotstate import LONGEST_QUESTION, NOTED_QUESTIONS, NOTED_REQUESTS, SLOTS, HotState, NoNotes, UnderWay


@contextmanager
def notes() -> Iterator[HotState]:
    """Memory without a note."""
    state = HotState.create()
    try:
        yield state
    finally:
        state.close()


@contextmanager
def successor(state: HotState) -> Iterator[HotState]:
    """The next gateway's view of the same memory."""
    adopted = HotState.adopt(os.dup(state.fd))
    try:
        yield adopted
    finally:
        adopted.close()


def test_the_next_gateway_learns_what_was_under_way() -> None:
    with notes() as state:
        first, second = state.slot(1), state.slot(2)
        for call in (7, 5, 1 << 40):
            first.begin(call)
        first.finish(7)
        second.begin_line()
        with successor(state) as after:
            assert after.take_over(1) == UnderWay(half_written=False, calls=(5, 1 << 40))
            assert after.take_over(2) == UnderWay(half_written=True, calls=())
            assert after.take_over(3) == UnderWay()


def test_the_next_gateway_learns_which_questions_are_open() -> None:
    with notes() as state:
        longest = b'"%b"' % (b"x" * (LONGEST_QUESTION - 2))
        first, second = state.slot(1), state.slot(2)
        for question in (b"0", longest, b'"12345678"', b"1"):
            first.ask(question)
        first.settle(b"0")
        first.ask(b"1")
        second.ask(longest[:-1] + b'x"')
        second.settle(b"17")
        with successor(state) as after:
            assert set(after.take_over(1).questions) == {longest, b'"12345678"', b"1"}
            assert after.take_over(2).questions == ()


def test_a_question_for_which_there_is_no_place_goes_unnoted() -> None:
    with notes() as state:
        slot = state.slot(1)
        for question in range(NOTED_QUESTIONS + 2):
            slot.ask(b"%d" % question)
        slot.settle(b"%d" % NOTED_QUESTIONS)
        slot.settle(b"0")
        slot.ask(b"99")
        with successor(state) as after:
            assert set(after.take_over(1).questions) == {b"1", b"2", b"3", b"99"}


def test_a_line_that_came_to_its_end_needs_no_other() -> None:
    with notes() as state:
        slot = state.slot(1)
        slot.begin_line()
        slot.end_line()
        with successor(state) as after:
            assert not after.take_over(1).half_written


def test_what_was_taken_over_is_forgotten_and_noted_anew() -> None:
    with notes() as state:
        state.slot(1).begin(5)
        with successor(state) as after:
            after.take_over(1)
            assert after.take_over(1) == UnderWay()
            slot = after.slot(1)
            slot.begin(9)
            with successor(after) as third:
                assert third.take_over(1) == UnderWay(calls=(9,))


def test_a_lease_that_has_ended_leaves_no_note() -> None:
    with notes() as state:
        slot = state.slot(1)
        slot.begin(5)
        slot.close()
        assert repr(state) == f"<HotState: 0 of {SLOTS} slots>"
        with successor(state) as after:
            assert after.take_over(1) == UnderWay()


def test_leases_that_did_not_come_along_are_forgotten() -> None:
    with notes() as state:
        for lease in (1, 2, 3):
            state.slot(lease).begin(lease)
        with successor(state) as after:
            after.retain({2})
            assert [after.take_over(lease).calls for lease in (1, 2, 3)] == [(), (2,), ()]


def test_a_request_for_which_there_is_no_place_goes_unnoted() -> None:
    with notes() as state:
        slot = state.slot(1)
        for call in range(1, NOTED_REQUESTS + 3):
            slot.begin(call)
        slot.finish(NOTED_REQUESTS + 1)
        slot.finish(1)
        slot.begin(99)
        with successor(state) as after:
            assert after.take_over(1).calls == (*range(2, NOTED_REQUESTS + 1), 99)


def test_a_lease_for_which_there_is_no_slot_goes_unnoted() -> None:
    with notes() as state:
        slots = [state.slot(lease) for lease in range(1, SLOTS + 1)]
        over = state.slot(SLOTS + 1)
        assert isinstance(over, NoNotes)
        over.begin(1)
        over.ask(b"1")
        over.settle(b"1")
        over.begin_line()
        over.end_line()
        over.finish(1)
        over.close()
        slots[0].close()
        assert not isinstance(state.slot(SLOTS + 2), NoNotes)


def test_memory_of_another_layout_is_not_read() -> None:
    with notes() as state:
        state.words[0] += 1
        with pytest.raises(OSError, match="another layout"):
            HotState.adopt(os.dup(state.fd))


def test_memory_that_could_shrink_below_us_is_not_mapped() -> None:
    with notes() as state:
        size = os.fstat(state.fd).st_size
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    with pytest.raises(OSError, match="another size"):
        HotState.adopt(fd)
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    with pytest.raises(OSError, match="another size"):
        HotState.adopt(fd)


def test_where_the_old_notes_cannot_be_read_new_ones_are_begun() -> None:
    with notes() as state:
        state.slot(1).begin(5)
        for inherited in (None, os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)):
            begun = HotState.adopt_or_create(inherited)
            assert begun is not None
            assert begun.take_over(1) == UnderWay()
            begun.close()
        adopted = HotState.adopt_or_create(os.dup(state.fd))
        assert adopted is not None
        assert adopted.take_over(1) == UnderWay(calls=(5,))
        adopted.close()


def test_without_memory_there_are_no_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refused)
    assert HotState.adopt_or_create(None) is None


def test_memory_that_cannot_be_made_large_enough_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", refused)
    assert HotState.adopt_or_create(None) is None
