"""What is put around a command: the whole line, and what really comes of it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from common.config.model import Sandbox
from supervisor import sandbox
from supervisor.wrapper import LEADER_LIVES, MOVE_IN, STILL_THE_PARENT, Inside, Wrapping, wrap
from tests.support.parents import NOBODY, Parent, parent_of
from tests.support.processes import PATIENCE, watching
from tests.support.wrappers import SHELLS, either_way

PROGRAMS = {"sh": "/SH", "setpriv": "/SETPRIV", "unshare": "/UNSHARE", "bwrap": "/BWRAP"}
PARENT = 42
COMMAND = ["/server", "--option"]
OOM = "echo 500 2>/dev/null > /proc/self/oom_score_adj; "
REMEMBER = "exec 9< /proc/self/stat; "
BECOME = 'exec "$@"'
INIT = LEADER_LIVES + OOM + '"$@"; exit $?'
SANDBOX = ("--ro-bind", "/", "/")

NAMESPACES = [Inside.NAMESPACE, Inside.USER_NAMESPACE, Inside.BUBBLEWRAP]
OPEN_ROOM = ["--die-with-parent", "--unshare-pid", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]


def line(wrapping: Wrapping, programs: Mapping[str, str] = PROGRAMS) -> list[str]:
    """The command line that `wrapping` makes."""
    return wrap(COMMAND, wrapping, PARENT, programs)


# The line.

DIES = ["/SETPRIV", "--pdeathsig", "KILL"]
NO_NEW_PRIVS = [*DIES, "--no-new-privs", "--"]
AS_NOBODY = [*DIES, "--reuid", "7", "--regid", "8", "--clear-groups", "--inh-caps", "-all", "--no-new-privs", "--"]
CHECK = ["/SH", "-c", STILL_THE_PARENT + OOM + BECOME, "42"]
LEAD = ["/SH", "-c", STILL_THE_PARENT + REMEMBER + BECOME, "42"]
FOLLOW = ["/SH", "-c", INIT, "sh"]
UNSHARE = ["--pid", "--fork", "--kill-child", "--mount-proc", "--"]
BWRAP = ["/BWRAP", *SANDBOX, "--as-pid-1", "--"]


@pytest.mark.parametrize(
    ("inside", "uid", "expected"),
    [
        (Inside.NOTHING, None, [*NO_NEW_PRIVS, *CHECK]),
        (Inside.NOTHING, 7, [*AS_NOBODY, *CHECK]),
        (Inside.NAMESPACE, None, [*DIES, "--", *LEAD, "/UNSHARE", *UNSHARE, *NO_NEW_PRIVS, *FOLLOW]),
        (Inside.NAMESPACE, 7, [*DIES, "--", *LEAD, "/UNSHARE", *UNSHARE, *AS_NOBODY, *FOLLOW]),
        (
            Inside.USER_NAMESPACE,
            None,
            [*NO_NEW_PRIVS, *LEAD, "/UNSHARE", "--user", "--map-current-user", *UNSHARE, *NO_NEW_PRIVS, *FOLLOW],
        ),
        (
            Inside.USER_NAMESPACE,
            7,
            [*AS_NOBODY, *LEAD, "/UNSHARE", "--user", "--map-current-user", *UNSHARE, *NO_NEW_PRIVS, *FOLLOW],
        ),
        (Inside.BUBBLEWRAP, None, [*NO_NEW_PRIVS, *LEAD, *BWRAP, *NO_NEW_PRIVS, *FOLLOW]),
        (Inside.BUBBLEWRAP, 7, [*AS_NOBODY, *LEAD, *BWRAP, *NO_NEW_PRIVS, *FOLLOW]),
    ],
)
@pytest.mark.parametrize("cgroup", [None, "/leaf/cgroup.procs"])
def test_the_line(inside: Inside, uid: int | None, cgroup: str | None, expected: list[str]) -> None:
    wrapping = Wrapping(cgroup=cgroup, uid=uid, gid=None if uid is None else 8, inside=inside, sandbox=SANDBOX)
    moved = ["/SH", "-c", MOVE_IN, cgroup] if cgroup is not None else []
    assert line(wrapping) == [*moved, *expected, *COMMAND]


def test_a_group_may_be_taken_without_a_user() -> None:
    assert line(Wrapping(gid=8))[:6] == [*DIES, "--regid", "8", "--no-new-privs"]


def test_new_privileges_may_be_allowed() -> None:
    assert line(Wrapping(no_new_privs=False))[:4] == [*DIES, "--"]
    assert "--no-new-privs" not in line(Wrapping(no_new_privs=False, inside=Inside.NAMESPACE))


def test_without_setpriv_a_child_is_still_limited_and_its_parent_checked() -> None:
    assert line(Wrapping(), {"sh": "/SH"}) == [*CHECK, *COMMAND]


@pytest.mark.parametrize(
    ("wrapping", "script"),
    [
        (Wrapping(open_files=64), "ulimit -n 64; "),
        (Wrapping(soft_open_files=64), "ulimit -S -n 64; "),
        (Wrapping(open_files=64, soft_open_files=1024), "ulimit -n 64; "),
        (Wrapping(file_size=1024), "ulimit -f 2; "),
        (Wrapping(file_size=1025), "ulimit -f 3; "),
        (Wrapping(open_files=64, file_size=1024), "ulimit -n 64; ulimit -f 2; "),
    ],
)
def test_limits_are_set_last(wrapping: Wrapping, script: str) -> None:
    assert STILL_THE_PARENT + OOM + script + BECOME in line(wrapping)


@pytest.mark.parametrize("inside", Inside)
def test_whoever_runs_in_a_namespace_has_an_init(inside: Inside) -> None:
    assert Wrapping(inside=inside).has_init is (inside is not Inside.NOTHING)


WITH_SHIM = {**PROGRAMS, "shim": "/SHIM"}


@pytest.mark.parametrize(
    ("wrapping", "expected"),
    [
        (Wrapping(), ["--no-new-privs"]),
        (Wrapping(no_new_privs=False, soft_open_files=9), ["--soft-open-files", "9"]),
        (
            Wrapping("/leaf/cgroup.procs", 7, 8, open_files=64, file_size=1025, inside=Inside.NAMESPACE),
            "--cgroup /leaf/cgroup.procs --uid 7 --gid 8 --open-files 64 --file-size 1025 --no-new-privs "
            "--pid-namespace".split(),
        ),
        (Wrapping(inside=Inside.USER_NAMESPACE), ["--no-new-privs", "--user-namespace"]),
        (Wrapping(uid=0, gid=0), ["--uid", "0", "--gid", "0", "--no-new-privs"]),
    ],
)
def test_a_shim_is_told_all_at_once(wrapping: Wrapping, expected: list[str]) -> None:
    assert line(wrapping, WITH_SHIM) == ["/SHIM", "1", "--parent", "42", *expected, "--", *COMMAND]


def test_a_sandbox_and_a_command_that_is_to_be_looked_for_are_the_shells() -> None:
    sandboxed = Wrapping(inside=Inside.BUBBLEWRAP, sandbox=SANDBOX)
    assert line(sandboxed, WITH_SHIM) == line(sandboxed)
    assert wrap(["server"], Wrapping(), PARENT, WITH_SHIM) == wrap(["server"], Wrapping(), PARENT, PROGRAMS)


# What comes of it.


Programs = Mapping[str, str]


def options(inside: Inside) -> Sequence[str]:
    """Of bubblewrap."""
    return sandbox.options(Sandbox(), None, []) if inside is Inside.BUBBLEWRAP else ()


def said(script: str, wrapping: Wrapping, programs: Programs) -> list[str]:
    """The lines that a wrapped shell's `script` says."""
    command = wrap(["/bin/sh", "-c", script], wrapping, os.getpid(), programs)
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    assert result.returncode == 0, result
    return result.stdout.decode().splitlines()


@contextmanager
def wrapped_by_another(script: str, wrapping: Wrapping, user: int | None, programs: Programs) -> Iterator[Parent]:
    """A wrapped shell that runs `script`, and the parent that started it."""
    with parent_of(lambda pid: wrap(["/bin/sh", "-c", script], wrapping, pid, programs), user) as parent:
        yield parent


EVERY_WAY = [
    (Inside.NOTHING, None, None),
    (Inside.NOTHING, NOBODY, None),
    (Inside.NOTHING, None, NOBODY),
    (Inside.NAMESPACE, None, None),
    (Inside.NAMESPACE, NOBODY, None),
    (Inside.USER_NAMESPACE, None, None),
    (Inside.USER_NAMESPACE, NOBODY, None),
    (Inside.USER_NAMESPACE, None, NOBODY),
    (Inside.BUBBLEWRAP, None, None),
    (Inside.BUBBLEWRAP, NOBODY, None),
    (Inside.BUBBLEWRAP, None, NOBODY),
]
"""What to run in, as whom, and as whom the supervisor runs."""

every_way = pytest.mark.parametrize(("inside", "uid", "user"), EVERY_WAY)


def started(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def wrapping_for(inside: Inside, uid: int | None) -> Wrapping:
    return Wrapping(inside=inside, uid=uid, gid=uid, sandbox=options(inside), open_files=64, file_size=4096)


@every_way
@either_way
def test_a_child_is_what_it_was_to_be(inside: Inside, uid: int | None, user: int | None, programs: Programs) -> None:
    script = (
        "id -u; ulimit -n; ulimit -f; cat /proc/self/oom_score_adj; "
        "while read -r name value; do case $name in NoNewPrivs:|CapEff:) echo $value;; esac; done < /proc/self/status; "
        "echo /proc/[0-9]*; cd /proc/self/fd; echo *"
    )
    with wrapped_by_another(script, wrapping_for(inside, uid), user, programs) as parent:
        assert int(parent.line()) == (uid or user or 0)
        assert [parent.line(), parent.line()] == ["64", "8"]
        assert parent.line() == "500"
        capabilities, no_new_privs = parent.line(), parent.line()
        assert no_new_privs == "1"
        if uid is not None or inside is Inside.BUBBLEWRAP:
            assert int(capabilities, 16) == 0
        seen = parent.line().split()
        assert (seen == ["/proc/1", "/proc/2"]) == (inside is not Inside.NOTHING)
        assert set(parent.line().split()) <= {"0", "1", "2", "3", "10"}  # with what echo has open itself


@every_way
@either_way
async def test_a_childs_end_is_that_of_its_parent(
    inside: Inside, uid: int | None, user: int | None, programs: Programs
) -> None:
    with wrapped_by_another(
        "trap '' TERM HUP; echo up; sleep 1000; :", wrapping_for(inside, uid), user, programs
    ) as parent:
        assert parent.line() == "up"
        with watching(parent.child) as [leader]:
            parent.kill()
            await leader.ended()


@pytest.mark.parametrize(("inside", "uid", "user"), [way for way in EVERY_WAY if way[0] in NAMESPACES])
@pytest.mark.parametrize("victim", ["parent", "leader"])
@either_way
async def test_all_that_is_in_a_namespace_ends_with_the_parent_or_the_leader(
    inside: Inside, uid: int | None, user: int | None, victim: str, programs: Programs
) -> None:
    script = "trap '' TERM HUP; setsid sleep 1000 & sleep 1000 & echo up; wait"
    with wrapped_by_another(script, wrapping_for(inside, uid), user, programs) as parent:
        assert parent.line() == "up"
        below = [each.pid for each in psutil.Process(parent.child).children(recursive=True)]
        assert len(below) == 4  # the init, the command, its helpers
        with watching(parent.child, *below) as everything:
            if victim == "parent":
                parent.kill()
            else:
                os.kill(parent.child, signal.SIGKILL)
            for each in everything:
                await each.ended()


@pytest.mark.parametrize("inside", NAMESPACES)
async def test_an_init_whose_leader_was_killed_too_early_to_notice_ends_all_the_same(
    inside: Inside, tmp_path: Path
) -> None:
    """unshare and bwrap ask for the leader's death late: one in twenty children, and more than half, outlived it."""
    here, go, ran = tmp_path / "here", tmp_path / "go", tmp_path / "ran"
    os.mkfifo(here)
    os.mkfifo(go)
    programs = SHELLS
    gate = tmp_path / "setpriv"
    waits = f'echo > {here}; read -r _ < {go}; exec {programs["setpriv"]} "$@"'
    gate.write_text(
        f'#!/bin/sh\n[ $$ = 1 ] || exec {programs["setpriv"]} "$@"\n'
        f"exec {programs['setpriv']} --pdeathsig clear sh -c '{waits}' sh \"$@\"\n"
    )
    gate.chmod(0o755)
    wrapping = Wrapping(inside=inside, sandbox=OPEN_ROOM if inside is Inside.BUBBLEWRAP else ())
    command = wrap(["/bin/touch", str(ran)], wrapping, os.getpid(), programs | {"setpriv": str(gate)})
    leader = started(command)
    assert here.read_text() == "\n"
    [init] = [each.pid for each in psutil.Process(leader.pid).children()]
    with watching(init) as [watched]:
        leader.kill()
        leader.wait(PATIENCE)
        go.write_text("\n")
        await watched.ended()
    assert not ran.exists()


@pytest.mark.parametrize("inside", Inside)
@either_way
def test_an_exit_status_comes_through(inside: Inside, programs: Programs) -> None:
    command = wrap(["/bin/sh", "-c", "exit 7"], wrapping_for(inside, None), os.getpid(), programs)
    assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 7


@pytest.mark.parametrize("inside", Inside)
@either_way
def test_a_file_that_grows_too_large_ends_the_child(inside: Inside, tmp_path: Path, programs: Programs) -> None:
    wrapping = Wrapping(
        inside=inside, file_size=4096, sandbox=[*options(inside), "--bind", str(tmp_path), str(tmp_path)]
    )
    grow = f"exec head -c 100000 /dev/zero > {tmp_path}/file"
    command = wrap(["/bin/sh", "-c", grow], wrapping, os.getpid(), programs)
    status = subprocess.run(command, timeout=PATIENCE, check=False, stderr=subprocess.DEVNULL).returncode
    assert status == (-signal.SIGXFSZ if inside is Inside.NOTHING else 128 + signal.SIGXFSZ)
    assert (tmp_path / "file").stat().st_size == 4096


@either_way
def test_a_child_may_be_let_gain_privileges(programs: Programs) -> None:
    assert said("grep -c '^NoNewPrivs:.*0' /proc/self/status", Wrapping(no_new_privs=False), programs) == ["1"]


@either_way
def test_a_child_whose_parent_has_gone_is_not_started(tmp_path: Path, programs: Programs) -> None:
    command = wrap(["/bin/touch", str(tmp_path / "ran")], Wrapping(), os.getpid() + 1, programs)
    assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 124
    assert not (tmp_path / "ran").exists()


@either_way
def test_a_child_that_cannot_join_its_cgroup_is_not_started(tmp_path: Path, programs: Programs) -> None:
    wrapping = Wrapping(cgroup=str(tmp_path / "no" / "cgroup.procs"))
    command = wrap(["/bin/touch", str(tmp_path / "ran")], wrapping, os.getpid(), programs)
    result = subprocess.run(command, timeout=PATIENCE, check=False, stderr=subprocess.DEVNULL)
    assert result.returncode != 0
    assert not (tmp_path / "ran").exists()


@either_way
def test_a_child_joins_its_cgroup_before_anything_else(tmp_path: Path, programs: Programs) -> None:
    (tmp_path / "procs").touch()
    assert said("cat " + str(tmp_path / "procs"), Wrapping(cgroup=str(tmp_path / "procs")), programs) == ["0"]


def test_without_setpriv_nobody_is_started_as_the_user_that_nobody_could_become() -> None:
    programs = {"sh": "/bin/sh", "bwrap": "/usr/bin/bwrap"}
    for inside in (Inside.NOTHING, Inside.BUBBLEWRAP):
        with pytest.raises(OSError, match="setpriv"):
            wrap(["true"], Wrapping(uid=1234, inside=inside), 1, programs)
        assert wrap(["true"], Wrapping(inside=inside), 1, programs)
