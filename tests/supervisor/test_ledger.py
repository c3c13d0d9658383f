"""What a run writes down of what it started, and what the next one makes of it."""

import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor import ledger
from supervisor.ledger import COMPACT_AFTER, DeadRun, Ledger, Run, dead_runs, left_of, this_boot
from supervisor.linux import Census, Process, look, take_census
from supervisor.tags import TOKEN, make_tag, token
from tests.support.processes import PATIENCE, descriptors_left

BOOT = "a-boot"
RUN = Run(7, BOOT)
OTHER = Run(8, BOOT)
NEVER_SET = -1


@contextmanager
def kept(directory: Path, run: Run = RUN) -> Iterator[Ledger]:
    """A ledger whose supervisor lives; it then dies without a word."""
    written = Ledger(directory, run)
    try:
        yield written
    finally:
        os.close(written._fd)


@contextmanager
def sleeping(count: int = 1) -> Iterator[list[int]]:
    """Processes."""
    started = [subprocess.Popen(["/bin/sleep", "1000"]) for _ in range(count)]
    try:
        yield [each.pid for each in started]
    finally:
        for each in started:
            each.kill()
            each.wait(PATIENCE)


def files(directory: Path) -> list[str]:
    """The names in it."""
    return sorted(path.name for path in directory.iterdir())


def start_of(pid: int) -> int:
    seen = look(pid)
    assert seen is not None
    return seen.start


# What is written, and read.


def test_a_run_that_started_nothing_is_known(tmp_path: Path) -> None:
    with kept(tmp_path, Run(7, BOOT, "/a/cgroup", "/the/rooms")):
        pass
    [dead] = dead_runs(tmp_path)
    assert dead == DeadRun(Run(7, BOOT, "/a/cgroup", "/the/rooms"), {}, tmp_path / "7.ledger")


def test_leaders_are_known_by_pid_and_start_until_their_trees_are_gone(tmp_path: Path) -> None:
    with sleeping(2) as (one, two):
        with kept(tmp_path) as written:
            written.born(1, one)
            written.born(2, two)
            written.gone(1)
        [dead] = dead_runs(tmp_path)
        assert dead.leaders == {two: start_of(two)}


def test_a_leader_that_had_gone_before_it_could_be_looked_at_names_nobody(tmp_path: Path) -> None:
    with kept(tmp_path) as written:
        written.born(1, 1 << 22)
    [dead] = dead_runs(tmp_path)
    assert dead.leaders == {1 << 22: 0}


def test_a_leader_is_written_down_though_there_is_no_descriptor_to_look_at_it(tmp_path: Path) -> None:
    """It ran on without anybody, and whoever had wanted it took the supervisor along."""
    with kept(tmp_path) as written, descriptors_left(0):
        written.born(1, os.getpid())
    [dead] = dead_runs(tmp_path)
    assert dead.leaders == {os.getpid(): 0}


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with kept(tmp_path):
        assert (tmp_path / "7.ledger").stat().st_mode & 0o777 == 0o600


def test_a_ledger_of_many_leases_stays_short(tmp_path: Path) -> None:
    with kept(tmp_path) as written:
        written.born(1, os.getpid())
        for lease in range(2, COMPACT_AFTER + 2):
            written.born(lease, os.getpid())
            written.gone(lease)
        assert (tmp_path / "7.ledger").read_bytes().count(b"\n") == 2
        assert list(dead_runs(tmp_path)) == []
        written.born(COMPACT_AFTER + 2, 1 << 22)
        written.gone(1)
    [dead] = dead_runs(tmp_path)
    assert dead.leaders == {1 << 22: 0}
    assert files(tmp_path) == ["7.ledger"]


def test_the_ledger_of_a_run_that_is_over_in_order_is_not_there(tmp_path: Path) -> None:
    Ledger(tmp_path, RUN).close()
    assert files(tmp_path) == []


def test_a_ledger_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "7.ledger").mkdir()
    with pytest.raises(OSError, match="directory"):
        Ledger(tmp_path, RUN)


@contextmanager
def no_room_on_disk() -> Iterator[None]:
    """Files may grow no further."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_is_no_reason_to_lose_a_child(tmp_path: Path) -> None:
    with kept(tmp_path) as written:
        with no_room_on_disk():
            for lease in range(COMPACT_AFTER):
                written.born(lease, 1)
                written.gone(lease)
            written.born(COMPACT_AFTER, 1)
        written.born(COMPACT_AFTER + 1, os.getpid())
    [dead] = dead_runs(tmp_path)
    assert dead.leaders == {os.getpid(): start_of(os.getpid())}


# Which runs are over.


def test_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    with kept(tmp_path):
        assert list(dead_runs(tmp_path)) == []


def test_several_runs_share_a_directory(tmp_path: Path) -> None:
    with kept(tmp_path):
        with kept(tmp_path, OTHER):
            pass
        assert [dead.run for dead in dead_runs(tmp_path)] == [OTHER]
    assert [dead.run for dead in dead_runs(tmp_path)] == [RUN, OTHER]


@pytest.mark.parametrize("text", ["", "\n", "nonsense\n1 2 3\n", '{"installation": "x"}\n', "\udcff\udcfe"])
def test_a_file_that_says_nothing_legible_is_removed(text: str, tmp_path: Path) -> None:
    (tmp_path / "7.ledger").write_text(text, errors="surrogateescape")
    assert list(dead_runs(tmp_path)) == []
    assert files(tmp_path) == []


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "7.new").touch()
    (tmp_path / "notes.txt").touch()
    assert list(dead_runs(tmp_path)) == []
    assert len(files(tmp_path)) == 2


def test_a_file_that_was_replaced_since_it_was_found_is_not_that_of_a_dead_run(tmp_path: Path) -> None:
    """To be written anew, a ledger gives its old file up, and so the lock on that."""
    with kept(tmp_path) as written:
        path = tmp_path / "7.ledger"
        with path.open("rb") as old:
            written._compact()
            assert ledger._read_unlocked(Path(f"/proc/self/fd/{old.fileno()}")) is None


def test_a_dead_run_can_be_forgotten_also_when_it_was_killed_while_writing_anew(tmp_path: Path) -> None:
    with kept(tmp_path):
        (tmp_path / "7.new").touch()
    [dead] = dead_runs(tmp_path)
    dead.forget()
    assert files(tmp_path) == []


def test_wherever_a_ledger_is_cut_it_names_nobody_elses_processes(tmp_path: Path) -> None:
    run = Run(random.SystemRandom().randrange(1, 1 << 31), BOOT)  # whose marks nobody on this machine bears
    with sleeping(3) as pids:
        with kept(tmp_path, run) as written:
            for lease, pid in enumerate(pids):
                written.born(lease, pid)
            written.gone(0)
        [path] = tmp_path.iterdir()
        whole = path.read_bytes()
        ours = {pid: start_of(pid) for pid in pids}
        for length in range(whole.index(b"\n"), len(whole) + 1):
            path.write_bytes(whole[:length])
            [dead] = dead_runs(tmp_path)
            for pid, start in dead.leaders.items():
                # A start that is cut is earlier than the real one: whoever had the pid then has gone since.
                assert start <= ours[pid]
            assert set(left_of(dead, take_census())) <= set(pids)


# What is left of a run.

DEAD = DeadRun(RUN, {}, Path("7.ledger"))


def process(pid: int, below: int = 1, *, tag: int = NEVER_SET, alive: bool = True, start: int = 1) -> Process:
    return Process(pid=pid, ppid=below, pgid=pid, sid=pid, start=start, alive=alive, tag=tag)


FAR = 1 << 22
"""Above every pid that there can be, so that no environment is read."""


def left(dead: DeadRun, *processes: Process) -> set[int]:
    return set(left_of(dead, Census((each.pid, each) for each in processes)))


def test_what_bears_the_tag_of_the_run_is_left_of_it() -> None:
    assert left(DEAD, process(FAR + 1, tag=make_tag(7, 1)), process(FAR + 2, tag=make_tag(8, 1))) == {FAR + 1}


@pytest.mark.parametrize("tag", [NEVER_SET, 0, 7, 12345])
def test_what_bears_no_tag_is_a_stranger(tag: int) -> None:
    assert left(DEAD, process(FAR + 1, tag=tag)) == set()


def test_a_leader_is_known_by_its_pid_and_its_start() -> None:
    dead = DeadRun(RUN, {FAR + 1: 500}, Path())
    assert left(dead, process(FAR + 1, start=500)) == {FAR + 1}
    assert left(dead, process(FAR + 1, start=501)) == set()


def test_an_orphan_is_left_though_its_parent_is_ours_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert left(DEAD, process(FAR + 1, 1, tag=make_tag(7, 1))) == {FAR + 1}


def test_what_is_below_what_is_left_is_left_too() -> None:
    seen = [process(FAR + 1, tag=make_tag(7, 1)), process(FAR + 2, FAR + 1), process(FAR + 3, FAR + 2)]
    assert left(DEAD, *seen) == {FAR + 1, FAR + 2, FAR + 3}


def test_the_dead_are_not_left_but_what_is_below_them_is() -> None:
    assert left(DEAD, process(FAR + 1, tag=make_tag(7, 1), alive=False), process(FAR + 2, FAR + 1)) == {FAR + 2}


def test_this_process_is_never_left_of_another_run() -> None:
    assert left(DEAD, process(os.getpid(), tag=make_tag(7, 1))) == set()


@pytest.mark.parametrize(("installation", "found"), [(7, True), (8, False), (0x77, False)])
def test_what_bears_only_the_token_is_left(installation: int, found: bool) -> None:
    environment = {TOKEN: token(make_tag(installation, 1))}
    with subprocess.Popen(["/bin/cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bearer:
        assert bearer.stdin is not None
        assert bearer.stdout is not None
        bearer.stdin.write(b"\n")
        bearer.stdin.flush()
        bearer.stdout.readline()  # it runs, so its environment is its own
        assert (bearer.pid in left_of(DEAD, take_census())) is found


def test_this_boot_has_an_id() -> None:
    assert this_boot() == this_boot()
    assert len(this_boot()) == 36


def test_a_lock_ends_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from supervisor.ledger import Ledger, Run; "
        f"Ledger(Path({str(tmp_path)!r}), Run(7, 'b')); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert list(dead_runs(tmp_path)) == []
        holder.kill()
        holder.wait(PATIENCE)
        assert [dead.run.installation for dead in dead_runs(tmp_path)] == [7]


def test_a_leader_that_cannot_be_looked_at_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(ledger, "look", fail)
    written = Ledger(tmp_path, RUN)
    written.born(1, os.getpid())
    written.gone(1)
    written.close()
