"""The only fork.

A child is started through a few small programs (see supervisor.wrapper), which ask the kernel to kill it when the
supervisor dies, give it its user and its limits, and replace themselves by the command.

The parent-death signal belongs to the *thread* that spawned, so `spawn` must be called on the main thread. The tag that
the child inherits is set on this process for the microsecond of the spawn: setting it afterwards would be a race. The
limits are set by a shell, for this process may have more files open than a child may.
"""

import os
import resource
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.config.model import ServerSpec
from common.descriptors import close_all
from common.reasons import Reason
from supervisor.cgroups import Leaf
from supervisor.environment import SpawnError, child_environment, for_session, resolve_command
from supervisor.rooms import Room
from supervisor.seal import set_tag
from supervisor.tags import TOKEN, token
from supervisor.users import Identity
from supervisor.wrapper import Wrapping, without_shim, wrap
from supervisor.zygote.blanks import Blank, Forked, Given
from supervisor.zygote.programs import NoProgram, Program, understand

_NO_CORE: Final = 1
"""Bytes."""

_ZYGOTE: Final = "import os; exec(os.read(0, 1 << 17))"
"""What a zygote's Python runs: what it is sent. See supervisor.zygote.template."""


@dataclass(frozen=True)
class Born:
    """A child that runs. Whoever gets this owns the three descriptors, which are close-on-exec."""

    process: "subprocess.Popen[bytes] | Forked"
    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True)
class Spawned(Born):
    """One that this process has started itself."""

    process: "subprocess.Popen[bytes]"


def spawn(spec: ServerSpec, tag: int, wrapping: Wrapping, programs: Mapping[str, str], room: Room) -> Spawned:
    """Start a child of `spec` in `room`, as the leader of a session and a process group of its own.

    `tag` marks its tree (see supervisor.tree); `wrapping` is what to put around its command, with `programs`. Raises
    SpawnError, and then nothing runs and no descriptor is left open.
    """
    _check_thread()
    ready = _ready(spec, room, tag)
    pipes: list[int] = []
    try:
        pipes = _pipes(room)
        argv = _wrapped([ready.command, *ready.spec.args], wrapping, programs)
        process = _start(ready.spec, argv, ready.environment, pipes, tag)
    except (OSError, ValueError) as error:  # a ValueError for what the kernel could never take: a NUL, a surrogate
        close_all(pipes)
        raise _failed(spec, error) from error
    child_in, stdin, stdout, child_out, stderr, child_err = pipes
    close_all([child_in, child_out, child_err])
    return Spawned(process, stdin, stdout, stderr)


def dress(spec: ServerSpec, tag: int, leaf: Leaf | None, blank: Blank, room: Room) -> Born:
    """Have `blank`, which a zygote has forked, be a child of `spec` in `room`, in the cgroup of `leaf`.

    Raises SpawnError where no child of `spec` could be started, and OSError, ValueError or NoProgram where this one
    cannot be it; then it ends by itself, and no descriptor is left open.
    """
    ready = _ready(spec, room, tag)
    assert ready.spec.path is not None
    environment, core = ready.environment, _NO_CORE if spec.private else None
    program = understand(ready.command, ready.spec.args, ready.spec.path, environment["PATH"])
    if program.command != blank.program.command:  # what is each user's own may lead to another one
        raise NoProgram("this session's program is another than the zygote's")
    pipes = _pipes(room)
    child_in, stdin, stdout, child_out, stderr, child_err = pipes
    try:
        given = Given(environment, program.arguments, ready.spec.path, leaf, tag, core)
        forked = blank.become(given, (child_in, child_out, child_err))
    except (OSError, ValueError):
        close_all([stdin, stdout, stderr])
        raise
    finally:
        close_all([child_in, child_out, child_err])
    return Born(forked, stdin, stdout, stderr)


@dataclass(frozen=True)
class Zygote:
    """One that was started. Whoever gets this owns both descriptors, which are close-on-exec."""

    process: "subprocess.Popen[bytes]"
    program: Program
    control: socket.socket
    """Where it listens."""
    stderr: int


def spawn_zygote(spec: ServerSpec, tag: int, wrapping: Wrapping, programs: Mapping[str, str], room: Room) -> Zygote:
    """Start the Python of `spec`, in `room`, to read what it is to do from `control`.

    Raises SpawnError, NoProgram, OSError or ValueError, and then nothing runs and no descriptor is left open.
    """
    _check_thread()
    ready = _ready(spec, room, tag)
    assert ready.spec.path is not None
    program = understand(ready.command, ready.spec.args, ready.spec.path, ready.environment["PATH"])
    argv = [*program.interpreter, "-c", _ZYGOTE, "zygote", program.name]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr = child_err = -1
    try:
        os.set_blocking(ours.fileno(), False)
        stderr, child_err = os.pipe2(os.O_CLOEXEC)
        _give([child_err], room.identity)
        with _inherited_tag(tag):
            process = subprocess.Popen(
                _wrapped(argv, wrapping, programs),
                stdin=theirs.fileno(),
                stdout=child_err,
                stderr=child_err,
                cwd=ready.spec.path,
                env=ready.environment,
                start_new_session=True,
            )
    except (OSError, ValueError):
        ours.close()
        close_all([fd for fd in (stderr,) if fd >= 0])
        raise
    finally:
        theirs.close()
        close_all([fd for fd in (child_err,) if fd >= 0])
    return Zygote(process, program, ours, stderr)


@dataclass(frozen=True)
class _Ready:
    """A server's spec as a session has it, and what its child is given."""

    spec: ServerSpec
    environment: dict[str, str]
    command: str


def _check_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn() must run on the main thread: a child would be killed when the thread ends")


def _ready(spec: ServerSpec, room: Room, tag: int) -> _Ready:
    """Raises SpawnError where there is no such command, or no such directory."""
    here = for_session(spec, room)
    environment = child_environment(here, os.environ, room, {TOKEN: token(tag)})
    command = resolve_command(here if spec.path else spec, environment["PATH"])
    if spec.path is not None and not _is_directory(here.path):
        raise SpawnError(
            Reason.PATH_NOT_FOUND,
            f"the working directory of server '{spec.name}' does not exist",
            f"path '{here.path}' is not a directory",
        )
    return _Ready(here, environment, command)


def _wrapped(command: list[str], wrapping: Wrapping, programs: Mapping[str, str]) -> list[str]:
    """`command` with what is around it: shells, where the shim has gone since we looked, for it is installed anew."""
    if "shim" in programs and not os.access(programs["shim"], os.X_OK):
        programs = without_shim(programs)
    return wrap(command, wrapping, os.getpid(), programs)


def _pipes(room: Room) -> list[int]:
    """Both ends of three pipes, for a child that lives in `room`. Raises OSError, and then none is open."""
    pipes: list[int] = []
    try:
        for _ in range(3):
            pipes.extend(os.pipe2(os.O_CLOEXEC))
        _give(pipes, room.identity)
    except OSError:
        close_all(pipes)
        raise
    return pipes


def _failed(spec: ServerSpec, error: Exception) -> SpawnError:
    return SpawnError(Reason.SPAWN_FAILED, f"server '{spec.name}' could not be started", str(error))


def run_helper(
    argv: list[str],
    environment: Mapping[str, str],
    tag: int,
    directory: Path,
    output: tuple[int, int],
    programs: Mapping[str, str],
) -> "subprocess.Popen[bytes]":
    """Start a program of the supervisor's own in `directory`, that prints to the descriptors of `output`.

    It leads a session and a process group of its own, and dies with the supervisor. What it makes others may read.
    Raises OSError; whoever calls this learns of its end from the reaper, and never waits.
    """
    with _inherited_tag(tag):
        return subprocess.Popen(
            _wrapped(argv, Wrapping(), programs),
            stdin=subprocess.DEVNULL,
            stdout=output[0],
            stderr=output[1],
            cwd=directory,
            env={**environment, TOKEN: token(tag)},
            start_new_session=True,
            umask=0o022,
        )


def _start(
    spec: ServerSpec, argv: list[str], environment: dict[str, str], pipes: list[int], tag: int
) -> "subprocess.Popen[bytes]":
    child_in, _, _, child_out, _, child_err = pipes
    with _inherited_tag(tag), _no_core() if spec.private else nullcontext():
        process = subprocess.Popen(  # Popen with vfork: 0.1 ms, and constant; asyncio's own way costs 0.7
            argv,
            stdin=child_in,
            stdout=child_out,
            stderr=child_err,
            cwd=spec.path,
            env=environment,
            start_new_session=True,
        )
    process.args = spec.name  # all that its repr needs: the command line is long, and may hold a user's own values
    return process


def _give(pipes: list[int], identity: Identity | None) -> None:
    """Make the pipes the child's, so that it may open /dev/stdout, as scripts do."""
    if identity is not None:
        for fd in pipes:
            os.fchown(fd, identity.uid, identity.gid)


@contextmanager
def _inherited_tag(tag: int) -> Iterator[None]:
    """Have this process's own soft RLIMIT_RTTIME be `tag`, for a moment."""
    old = resource.getrlimit(resource.RLIMIT_RTTIME)[0]
    set_tag(os.getpid(), tag)
    try:
        yield
    finally:
        set_tag(os.getpid(), old)


@contextmanager
def _no_core() -> Iterator[None]:
    """Have what is started now leave no core, in which a user's own values would be.

    A limit of one byte also keeps the kernel from handing a core to a program, which a limit of none does not: core(5).
    """
    old = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if old[1] == 0 else _NO_CORE, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, old)


def _is_directory(path: str | None) -> bool:
    try:
        return path is not None and stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - one call, one errno
    except (OSError, ValueError):
        return False
