"""What must not go wrong at the worst moment, with the shim and, where they can be held there, with the shells.

That nothing is left is seen on a pipe that everything inherits: it ends when all who have it have ended.
"""

import ctypes
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from supervisor import reaping
from supervisor.wrapper import Inside, Wrapping, wrap
from tests.support.gateway import ROOT
from tests.support.parents import NOBODY, parent_of
from tests.support.processes import PATIENCE
from tests.support.wrappers import BOTH, HAS_COMPILER, HAS_SHIM, either_way

NAMESPACES = [Inside.NAMESPACE, Inside.USER_NAMESPACE]
WITHOUT_BUBBLEWRAP = [Inside.NOTHING, *NAMESPACES]
ENDLESS = ["/bin/sleep", "1000"]
MISSING = 127
NOT_EXECUTABLE = 126

with_shim = pytest.mark.parametrize("programs", [BOTH] if HAS_SHIM else [], ids=["shim"] if HAS_SHIM else [])
Programs = Mapping[str, str]


def test_it_is_built_where_there_is_a_compiler() -> None:
    assert reaping.SHIM.exists() or not HAS_COMPILER


@contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    """Its two ends; closed on leaving."""
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb"), os.fdopen(writes, "wb"):
        yield reads, writes


def all_of(reads: int) -> bytes:
    """What comes out of a pipe until nobody has its other end any more."""
    said = b""
    while True:
        ready, _, _ = select.select([reads], [], [], PATIENCE)
        assert ready, f"somebody lives, and has said {said!r}"
        if not (portion := os.read(reads, 4096)):
            return said
        said += portion


@contextmanager
def saying(command: list[str]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A process, and what it and all below it say, to the end of all of them."""
    reads, writes = os.pipe()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=writes, stderr=writes, start_new_session=True)
    os.close(writes)
    try:
        yield process, reads
    finally:
        process.kill()
        process.wait(PATIENCE)
        assert process.stdin is not None
        process.stdin.close()
        os.close(reads)


# The deaths of those above.


@pytest.mark.slow
@pytest.mark.parametrize("inside", NAMESPACES)
@either_way
def test_a_leader_that_is_killed_at_any_moment_leaves_nothing(inside: Inside, programs: Programs) -> None:
    chance = random.Random(7)
    command = wrap(ENDLESS, Wrapping(inside=inside, uid=NOBODY, gid=NOBODY), os.getpid(), programs)
    for _ in range(150):
        with saying(command) as (leader, says):
            select.select([says], [], [], chance.uniform(0, 0.004))
            leader.kill()
            assert all_of(says) == b""


@pytest.mark.parametrize("inside", WITHOUT_BUBBLEWRAP)
@either_way
def test_a_supervisor_that_dies_before_the_first_step_starts_nothing(
    inside: Inside, programs: Programs, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with a_pipe() as (waits, goes):

        def held(parent: int) -> list[str]:
            command = wrap(["/usr/bin/touch", str(ran)], Wrapping(inside=inside), parent, programs)
            return [
                "/bin/sh",
                "-c",
                f'echo here; read -r _ < /proc/{os.getppid()}/fd/{waits}; exec "$@"',
                "sh",
                *command,
            ]

        with parent_of(held) as parent:
            assert parent.line() == "here"
            parent.kill()
            os.write(goes, b"\n")
            assert all_of(parent.says) == b""
    assert not ran.exists()


PTRACE_CONT, PTRACE_DETACH, PTRACE_SEIZE = 7, 17, 0x4206
PTRACE_O_TRACEFORK = 1 << 1
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, data: int = 0) -> None:
    """ptrace(2)."""
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def init_that_has_done_nothing_yet(leader: "subprocess.Popen[bytes]") -> int:
    """The pid of the init of `leader`, a shell that reads a line before it becomes one. The init is stopped."""
    ptrace(PTRACE_SEIZE, leader.pid, PTRACE_O_TRACEFORK)
    assert leader.stdin is not None
    leader.stdin.write(b"\n")
    leader.stdin.flush()
    while True:
        pid, status = os.waitpid(-1, WALL)
        assert os.WIFSTOPPED(status)
        if pid != leader.pid:
            return pid
        ptrace(PTRACE_CONT, leader.pid, 0 if status >> 16 else os.WSTOPSIG(status))


@pytest.mark.parametrize("inside", NAMESPACES)
@with_shim
def test_an_init_whose_leader_was_killed_before_its_first_step_ends(
    inside: Inside, programs: Programs, tmp_path: Path
) -> None:
    command = wrap(["/usr/bin/touch", str(tmp_path / "ran")], Wrapping(inside=inside), os.getpid(), programs)
    with saying(["/bin/sh", "-c", 'read -r _; exec "$@"', "sh", *command]) as (leader, says):
        init = init_that_has_done_nothing_yet(leader)
        leader.kill()
        leader.wait(PATIENCE)
        ptrace(PTRACE_DETACH, init)
        assert all_of(says) == b""
    assert not (tmp_path / "ran").exists()


# From inside.


@pytest.mark.parametrize("inside", NAMESPACES)
@pytest.mark.parametrize("uid", [None, NOBODY])
@either_way
def test_an_init_cannot_be_ended_from_inside(inside: Inside, uid: int | None, programs: Programs) -> None:
    names = ["KILL", "STOP", "TERM", "HUP", "SEGV", "USR1"]
    if "shim" in programs:
        names += ["INT", "QUIT", "CHLD", "RTMIN"]  # the first of which a shell that is an init leaves at
    attacks = "; ".join(f"kill -{name} 1" for name in names)
    script = f"{attacks}; echo alive; exit 7"
    command = wrap(["/bin/sh", "-c", script], Wrapping(inside=inside, uid=uid, gid=uid), os.getpid(), programs)
    with saying(command) as (leader, says):
        assert all_of(says) == b"alive\n"
        assert leader.wait(PATIENCE) == 7


@pytest.mark.parametrize("inside", NAMESPACES)
@with_shim
def test_what_a_command_sends_to_its_group_does_not_end_those_who_wait_for_it(
    inside: Inside, programs: Programs
) -> None:
    script = "trap '' TERM HUP USR1; kill -TERM 0; kill -HUP 0; kill -USR1 0; echo alive; exit 7"
    command = wrap(["/bin/sh", "-c", script], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (leader, says):
        assert all_of(says) == b"alive\n"
        assert leader.wait(PATIENCE) == 7


@pytest.mark.parametrize("inside", NAMESPACES)
@either_way
def test_an_init_reaps_orphans_and_takes_all_with_it_when_the_command_ends(inside: Inside, programs: Programs) -> None:
    script = (
        "(sleep 0 & exec sleep 0) & wait; (setsid sleep 1000 &); "
        'while grep -qs "^State:.Z" /proc/[0-9]*/status; do :; done; echo reaped; kill -SEGV $$'
    )
    command = wrap(["/bin/sh", "-c", script], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (leader, says):
        assert b"reaped" in all_of(says)
        assert leader.wait(PATIENCE) == 128 + signal.SIGSEGV


@pytest.mark.parametrize("inside", NAMESPACES)
@with_shim
def test_a_leader_whose_init_is_killed_from_outside_ends_alike(inside: Inside, programs: Programs) -> None:
    command = wrap(["/bin/sh", "-c", "echo up; sleep 1000"], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (leader, says):
        assert os.read(says, 3) == b"up\n"
        [init] = Path(f"/proc/{leader.pid}/task/{leader.pid}/children").read_text().split()
        os.kill(int(init), signal.SIGTERM)  # which is nothing to it
        os.kill(int(init), signal.SIGKILL)
        all_of(says)
        assert leader.wait(PATIENCE) == -signal.SIGKILL


@pytest.mark.parametrize("inside", WITHOUT_BUBBLEWRAP)
@either_way
def test_nothing_but_three_descriptors_reaches_a_command(inside: Inside, programs: Programs) -> None:
    command = wrap(["/bin/ls", "/proc/self/fd"], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (_, says):
        assert all_of(says).split() == [b"0", b"1", b"2", b"3"]  # with what ls has open itself


@with_shim
def test_a_user_of_ones_own_cannot_look_into_the_init(programs: Programs) -> None:
    wrapping = Wrapping(inside=Inside.NAMESPACE, uid=NOBODY, gid=NOBODY)
    command = wrap(["/bin/cat", "/proc/1/environ"], wrapping, os.getpid(), programs)
    with saying(command) as (leader, says):
        assert b"Permission denied" in all_of(says)
        assert leader.wait(PATIENCE) == 1


@with_shim
def test_a_command_in_a_user_namespace_cannot_change_its_init(programs: Programs) -> None:
    # It has the init's user, so nothing else stands between them; it could have the init outlive the supervisor.
    wrapping = Wrapping(inside=Inside.USER_NAMESPACE, uid=NOBODY, gid=NOBODY)
    script = "cat /proc/1/environ; : >> /proc/1/mem"
    command = wrap(["/bin/sh", "-c", script], wrapping, os.getpid(), programs)
    with saying(command) as (leader, says):
        assert all_of(says).count(b"Permission denied") == 2
        assert leader.wait(PATIENCE) == 2


@pytest.mark.parametrize("inside", NAMESPACES)
@pytest.mark.parametrize("uid", [None, NOBODY])
@with_shim
def test_an_init_has_no_more_rights_than_its_command(inside: Inside, uid: int | None, programs: Programs) -> None:
    of_interest = "^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs):"
    script = f"for pid in 1 self; do grep -E '{of_interest}' /proc/$pid/status; done"
    command = wrap(["/bin/sh", "-c", script], Wrapping(inside=inside, uid=uid, gid=uid), os.getpid(), programs)
    with saying(command) as (_, says):
        lines = all_of(says).splitlines()
    assert len(lines) == 16
    assert lines[:8] == lines[8:]


PAGES: Final = 6
"""The program's own, and those with its arguments and its environment."""


@pytest.mark.parametrize("inside", NAMESPACES)
@with_shim
def test_those_who_wait_for_a_command_have_a_few_pages_of_memory_each(inside: Inside, programs: Programs) -> None:
    command = wrap(["/bin/sh", "-c", "echo up; exec sleep 1000"], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (leader, says):
        assert os.read(says, 3) == b"up\n"
        [init] = Path(f"/proc/{leader.pid}/task/{leader.pid}/children").read_text().split()
        for pid in (leader.pid, init):
            private = re.findall(
                r"^Private_\w+: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
            )
            assert sum(map(int, private)) * 1024 <= PAGES * resource.getpagesize()


# What cannot be.


@pytest.mark.parametrize("inside", WITHOUT_BUBBLEWRAP)
@pytest.mark.parametrize(
    ("kind", "status"), [("missing", MISSING), ("plain", NOT_EXECUTABLE), ("directory", NOT_EXECUTABLE)]
)
@either_way
def test_a_command_that_cannot_be_executed_is_told(
    inside: Inside, kind: str, status: int, programs: Programs, tmp_path: Path
) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "directory").mkdir()
    command = wrap([str(tmp_path / kind)], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (leader, says):
        said = all_of(says).decode().lower()
        assert leader.wait(PATIENCE) == status
    assert f"{tmp_path}/{kind}: " in said
    assert ("not found" if status == MISSING else "permission denied") in said


@pytest.mark.parametrize("inside", WITHOUT_BUBBLEWRAP)
@either_way
def test_a_script_that_names_no_interpreter_is_a_shells(inside: Inside, programs: Programs, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1" "$#"\n')
    script.chmod(0o755)
    command = wrap([str(script), "a b", "c"], Wrapping(inside=inside), os.getpid(), programs)
    with saying(command) as (_, says):
        assert all_of(says) == b"a b 2\n"


@pytest.mark.parametrize("inside", WITHOUT_BUBBLEWRAP)
@pytest.mark.parametrize("path", ["no/cgroup.procs", "."])
@either_way
def test_who_cannot_move_into_the_cgroup_starts_nothing_and_says_so(
    inside: Inside, path: str, programs: Programs, tmp_path: Path
) -> None:
    wrapping = Wrapping(inside=inside, cgroup=str(tmp_path / path))
    with saying(wrap(["/bin/echo", "ran"], wrapping, os.getpid(), programs)) as (leader, says):
        said = all_of(says).decode()
        assert leader.wait(PATIENCE) == 125
    assert str(tmp_path) in said
    assert "ran" not in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "it is of another version"),
        (["2", "--parent", "{}", "--", "/bin/echo"], "it is of another version"),
        (["1"], "a parent and a command are needed"),
        (["1", "--", "/bin/echo"], "a parent and a command are needed"),
        (["1", "--parent", "{}"], "a parent and a command are needed"),
        (["1", "--parent", "{}", "--"], "a parent and a command are needed"),
        (["1", "--parent"], "a value is missing after --parent"),
        (["1", "--parent", "{}", "--uid"], "a value is missing after --uid"),
        (["1", "--parent", "{}", "--uid", ""], "a number is missing"),
        (["1", "--parent", "{}", "--uid", "-1"], "not such a number: -1"),
        (["1", "--parent", "{}", "--uid", "4294967295"], "not such a number: 4294967295"),
        (["1", "--parent", "{}", "--gid", "7x"], "not such a number: 7x"),
        (["1", "--parent", "{}", "--file-size", "9223372036854775808"], "not such a number: 9223372036854775808"),
        (["1", "--parent", "{}", "--user", "7", "--", "/bin/echo"], "no such option: --user"),
        (["1", "--parent", "{}", "--open-files", "9", "--soft-open-files"], "a value is missing"),
        (["1", "--parent", "{}", "--soft-open-files", "9223372036854775807", "--", "/bin/echo"], "cannot set a limit"),
    ],
)
@with_shim
def test_what_it_does_not_understand_it_does_not_do(arguments: list[str], told: str, programs: Programs) -> None:
    words = [each.format(os.getpid()) for each in arguments]
    result = subprocess.run([programs["shim"], *words], capture_output=True, timeout=PATIENCE, check=False)
    assert (result.returncode, result.stdout) == (125, b"")
    assert result.stderr.decode().startswith(f"mcp-shim: {told}")


# How it is built.


def build(directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What `setup.py` says when it builds it into `directory`."""
    command = [sys.executable, "setup.py", "build_shim", f"--build-lib={directory}"]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@with_shim
def test_what_is_installed_is_what_its_source_says(programs: Programs, tmp_path: Path) -> None:
    result = build(tmp_path)
    assert result.returncode == 0, result
    assert (tmp_path / "supervisor" / "mcp-shim").read_bytes() == Path(programs["shim"]).read_bytes()


@with_shim
def test_a_compiler_has_nothing_to_warn_of(programs: Programs, tmp_path: Path) -> None:
    result = build(tmp_path, CC="cc -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror")
    assert (tmp_path / "supervisor" / "mcp-shim").exists(), result.stderr


@pytest.mark.parametrize("compiler", ["/no/such/compiler", shutil.which("false") or "false"])
def test_without_a_compiler_there_is_a_warning_and_no_file(compiler: str, tmp_path: Path) -> None:
    result = build(tmp_path, CC=compiler)
    assert result.returncode == 0
    assert "mcp-shim is not built, and shells will do what it does" in result.stderr
    assert list((tmp_path / "supervisor").iterdir()) == []


# Where it was not built.


def broken(directory: Path, script: str) -> Callable[[], dict[str, str]]:
    """Programs with a shim that is this script."""
    shim = directory / "shim"
    shim.write_text(f"#!/bin/sh\n{script}\n")
    shim.chmod(0o755)
    return lambda: BOTH | {"shim": str(shim)}


@pytest.mark.parametrize("script", ["exit 0", "exit 125", "kill -SEGV $$"])
def test_one_that_does_not_run_here_is_not_used(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "find_programs", broken(tmp_path, script))
    chosen = reaping.choose("auto", 7)
    assert chosen.mode == "namespace"
    assert "shim" not in chosen.programs
    with pytest.raises(reaping.ReapingError, match=r"^wrapper: shim: .*mcp-shim was not built"):
        reaping.choose("auto", 7, "shim")


def test_one_that_may_make_no_namespaces_is_not_used_where_unshare_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'case "$*" in *-namespace*) exit 125;; esac; exit 7'
    monkeypatch.setattr(reaping, "find_programs", broken(tmp_path, script))
    assert "shim" not in reaping.choose("namespace", 7).programs
    assert "shim" in reaping.choose("tagged", 7).programs
    with pytest.raises(reaping.ReapingError, match=r"^reaping: namespace: "):
        reaping.choose("namespace", 7, "shim")


def test_shells_may_be_asked_for_and_what_they_cost_is_told() -> None:
    chosen = reaping.choose("namespace", 7, "shells")
    assert "shim" not in chosen.programs
    assert chosen.started_by.startswith("shells, which cost 6 ms of a processor and 215 KiB of memory a session more")
    assert reaping.choose("tagged", 7, "shells").started_by.startswith("shells, which cost 2 ms of a processor a")


def test_the_shim_may_be_asked_for() -> None:
    if HAS_SHIM:
        assert reaping.choose("tagged", 7, "shim").started_by == "the shim"
    else:
        with pytest.raises(reaping.ReapingError):
            reaping.choose("tagged", 7, "shim")
