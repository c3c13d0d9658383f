"""The only fork.

A child is started through a few small programs (see supervisor.wrapper), which ask the kernel to kill it when the
supervisor dies, give it its user and its limits, and replace themselves by the command.

The parent-death signal belongs to the *thread* that spawned, so `spawn` must be called on the main thread. The tag that
the child inherits is set on this process for the microsecond of the spawn: setting it afterwards would be a race. The
limits are set by a shell, for this process may have more files open than a child may.
"""

import os
import resource
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
from supervisor.environment import SpawnError, child_environment, for_session, resolve_command
from supervisor.rooms import Room
from supervisor.tags import TOKEN, token
from supervisor.users import Identity
from supervisor.wrapper import Wrapping, wrap

_NO_CORE: Final = 1
"""Bytes."""


@dataclass(frozen=True)
class Spawned:
    """A child that runs. Whoever gets this owns the three descriptors, which are close-on-exec."""

    process: "subprocess.Popen[bytes]"
    stdin: int
    stdout: int
    stderr: int


def spawn(spec: ServerSpec, tag: int, wrapping: Wrapping, programs: Mapping[str, str], room: Room) -> Spawned:
    """Start a child of `spec` in `room`, as the leader of a session and a process group of its own.


    `tag` marks its tree (see supervisor.tree); `wrapping` is what to put around its command, with `programs`. Raises
    SpawnError, and then nothing runs and no descriptor is left open.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn() must run on the main thread: a child would be killed when the thread ends")
    here = for_session(spec, room)
    environment = child_environment(here, os.environ, room, {TOKEN: token(tag)})
    command = resolve_command(here if spec.path else spec, environment["PATH"])
    if spec.path is not None and not _is_directory(here.path):
        raise SpawnError(
            Reason.PATH_NOT_FOUND,
            f"the working directory of server '{spec.name}' does not exist",
            f"path '{here.path}' is not a directory",
        )
    pipes: list[int] = []
    try:
        for _ in range(3):
            pipes.extend(os.pipe2(os.O_CLOEXEC))
        argv = wrap([command, *here.args], wrapping, os.getpid(), programs)
        _give(pipes, room.identity)
        process = _start(here, argv, environment, pipes, tag)
    except (OSError, ValueError) as error:  # a ValueError for what the kernel could never take: a NUL, a surrogate
        close_all(pipes)
        raise SpawnError(Reason.SPAWN_FAILED, f"server '{spec.name}' could not be started", str(error)) from error
    child_in, stdin, stdout, child_out, stderr, child_err = pipes
    close_all([child_in, child_out, child_err])
    return Spawned(process, stdin, stdout, stderr)


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
            wrap(argv, Wrapping(), os.getpid(), programs),
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
        return subprocess.Popen(  # Popen with vfork: 0.1 ms, and constant; asyncio's own way costs 0.7
            argv,
            stdin=child_in,
            stdout=child_out,
            stderr=child_err,
            cwd=spec.path,
            env=environment,
            start_new_session=True,
        )


def _give(pipes: list[int], identity: Identity | None) -> None:
    """Make the pipes the child's, so that it may open /dev/stdout, as scripts do."""
    if identity is not None:
        for fd in pipes:
            os.fchown(fd, identity.uid, identity.gid)


@contextmanager
def _inherited_tag(tag: int) -> Iterator[None]:
    """Have this process's own soft RLIMIT_RTTIME be `tag`, for a moment."""
    # By our own number, which the seal lets through.
    old = resource.prlimit(os.getpid(), resource.RLIMIT_RTTIME)
    resource.prlimit(os.getpid(), resource.RLIMIT_RTTIME, (tag, old[1]))
    try:
        yield
    finally:
        resource.prlimit(os.getpid(), resource.RLIMIT_RTTIME, old)


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
