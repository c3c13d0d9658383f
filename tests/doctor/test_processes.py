"""A process is known by what it reads; and only the very one that was seen is ever killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doctor.processes import (
    Counts,
    Known,
    counts,
    describe,
    is_alive,
    kill,
    left_of,
    one_tree,
    servers_among,
    took,
)
from supervisor.linux import look

A, B, C = Known(1, 1), Known(2, 1), Known(3, 1)


def known(pid: int) -> Known:
    process = look(pid)
    assert process is not None
    return Known(pid, process.start)


@contextmanager
def reader() -> Iterator["subprocess.Popen[str]"]:
    """A process that says how many characters each line has that it reads."""
    script = "import sys\nfor line in sys.stdin: print(len(line), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            tell(process, 1)
            yield process
        finally:
            process.kill()


def tell(process: "subprocess.Popen[str]", size: int) -> None:
    """Have it read a line of so many characters."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("x" * (size - 1) + "\n")
    process.stdin.flush()
    assert int(process.stdout.readline()) == size


def test_who_reads_a_message_is_found_among_all_processes() -> None:
    with reader() as one, reader() as other:
        for process, bystander in ((one, other), (other, one)):
            before = counts()
            tell(process, 40_000)
            found = took(before, counts(), 40_000)
            assert known(process.pid) in found
            assert known(bystander.pid) not in found


def test_who_read_less_or_much_more_is_not_who_read_it() -> None:
    before, after = Counts({A: 5, B: 0}, 0), Counts({A: 1004, B: 1_000_000, C: 1000}, 0)
    assert took(before, after, 1000) == {C}
    assert took(before, after, 999) == {A, C}


def test_what_a_supervisor_has_marked_is_a_child_and_else_who_does_not_listen() -> None:
    assert servers_among({A, B}, frozenset({B}), set()) == {B}
    assert servers_among({A, B}, frozenset({C}), {1}) == {B}
    assert servers_among({A}, frozenset(), {1}) == set()


def test_processes_of_two_trees_are_not_one() -> None:
    with reader() as one, reader() as other:
        assert one_tree({known(one.pid)}) == known(one.pid)
        assert one_tree({known(one.pid), known(other.pid)}) is None
        assert one_tree({Known(one.pid, 0)}) is None


def test_a_child_is_described_without_its_values() -> None:
    with reader() as process:
        child = describe(known(process.pid))
        assert child is not None
        assert child.environment["PATH"] == os.environ["PATH"]
        assert child.environment["PATH"] not in repr(child)
        assert (child.cwd, child.uid) == (str(Path.cwd()), os.getuid())
        assert left_of(child) == {known(process.pid)}
        assert describe(Known(process.pid, 0)) is None
        process.kill()
        process.wait()
        assert left_of(child) == set()
        assert describe(child.reader) is None


def test_a_helper_is_a_member_of_its_childs_tree() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        helper = known(int(shell.stdout.readline()))
        child = describe(known(shell.pid))
        assert child is not None
        assert child.members == {known(shell.pid), helper}
        shell.kill()
        shell.wait()
        assert left_of(child) == {helper}
        assert kill(helper)


def test_another_process_with_the_same_pid_is_never_killed() -> None:
    with reader() as process:
        assert not kill(Known(process.pid, 1))
        assert is_alive(known(process.pid))
        assert kill(known(process.pid))
        process.wait()
        assert not kill(Known(process.pid, 1))


@pytest.mark.parametrize("pid", [1 << 22])
def test_a_process_that_is_not_there_is_not_alive(pid: int) -> None:
    assert not is_alive(Known(pid, 1))
