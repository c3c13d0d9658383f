"""What the kernel says of processes is read as it is meant."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Process, alive, descriptors, kill, memory, processor_seconds, tree

PYTHON = str(Path(sys.executable).resolve())

# A bridge, which starts a helper, which starts a server; each says that it is there.
BRIDGE = """
import subprocess, sys
server = [sys.executable, "-I", "-c", "import sys; print(flush=True); sys.stdin.read()", "the-mark"]
pipe = subprocess.PIPE
with subprocess.Popen(["/bin/sh", "-c", '"$@"; exit $?', "sh", *server], stdin=pipe, stdout=pipe) as helper:
    helper.stdout.readline()
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def bridge() -> Iterator[int]:
    """The pid of a bridge that runs."""
    command = [sys.executable, "-c", BRIDGE, "the-mark"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            assert process.stdin is not None
            process.stdin.close()


def test_what_executes_the_servers_program_with_its_arguments_is_a_server_and_all_else_is_the_bridge() -> None:
    with bridge() as pid:
        found = tree(pid, PYTHON, ["the-mark"])
        assert len(found.own) == 2
        assert len(found.children) == 1
        assert pid in {each.pid for each in found.own}
        assert found.everybody == found.own | found.children
    assert alive(found.everybody) == frozenset()


def test_the_time_of_a_processor_is_that_of_all_threads_and_of_nobody_else() -> None:
    me = Process(os.getpid(), 0)
    before, spent = processor_seconds([me]), time.process_time()
    sum(range(1_000_000))
    used, really = processor_seconds([me]) - before, time.process_time() - spent
    assert used > 0
    assert abs(used - really) < 0.5 * really + 0.01
    assert processor_seconds([]) == 0


def test_memory_and_descriptors_are_added_up() -> None:
    me = Process(os.getpid(), 0)
    once, twice = memory([me]), memory([me, me])
    assert 0 < once.uss <= once.pss
    assert twice.pss > 1.5 * once.pss
    few = descriptors([me])
    with Path("/dev/null").open():
        assert descriptors([me]) == few + 1


def test_a_later_process_with_the_same_number_is_another() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        [found] = tree(process.pid, "", []).own
        kill([Process(found.pid, found.started + 1)])
        assert alive([found, Process(found.pid, found.started + 1)]) == {found}
        kill([found])
        assert process.wait() == -9
