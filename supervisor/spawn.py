"""The only fork.

A child is started through two small programs that are on every Debian machine: `setpriv` asks the kernel to kill it
when the supervisor dies (PR_SET_PDEATHSIG), and `sh` then checks that the supervisor had not died just before that.
Both replace themselves by the command, so the child's pid is the one that was spawned.

The parent-death signal belongs to the *thread* that spawned, so `spawn` must be called on the main thread. The tag that
the child inherits is set on this process for the microsecond of the spawn: setting it afterwards would be a race. The
limit of open files is set by the shell, for this process may have more files open than a child may.
"""

import os
import resource
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from common.config.model import ServerSpec
from common.reasons import Reason
from supervisor.environment import SpawnError, child_environment, for_session, resolve_command
from supervisor.rooms import Room
from supervisor.users import Identity

_STILL_THE_PARENT = '[ "$PPID" = "$0" ] || exit 124; ulimit -S -n "$1"; shift; exec "$@"'


@dataclass(frozen=True)
class Spawned:
    """A child that runs. Whoever gets this owns the three descriptors, which are close-on-exec."""

    process: "subprocess.Popen[bytes]"
    stdin: int
    stdout: int
    stderr: int


def spawn(
    spec: ServerSpec, tag: int, open_files: int, room: Room, variables: Mapping[str, str] | None = None
) -> Spawned:
    """Start a child of `spec` in `room`, as the leader of a session and a process group of its own.

    `tag` marks its tree (see supervisor.tree); `open_files` is its soft RLIMIT_NOFILE; `variables` are set whatever
    its server's own say. Raises SpawnError, and then nothing runs and no descriptor is left open.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn() must run on the main thread: a child would be killed when the thread ends")
    here = for_session(spec, room)
    environment = child_environment(here, os.environ, room, variables)
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
        _give(pipes, room.identity)
        process = _start(here, [command, *here.args], environment, pipes, tag, open_files, room.identity)
    except (OSError, ValueError) as error:  # a ValueError for what the kernel could never take: a NUL, a surrogate
        _close(pipes)
        raise SpawnError(Reason.SPAWN_FAILED, f"server '{spec.name}' could not be started", str(error)) from error
    child_in, stdin, stdout, child_out, stderr, child_err = pipes
    _close([child_in, child_out, child_err])
    return Spawned(process, stdin, stdout, stderr)


def _start(
    spec: ServerSpec,
    argv: list[str],
    environment: dict[str, str],
    pipes: list[int],
    tag: int,
    open_files: int,
    identity: Identity | None,
) -> "subprocess.Popen[bytes]":
    child_in, _, _, child_out, _, child_err = pipes
    with _inherited_tag(tag):
        return subprocess.Popen(  # Popen with vfork: 0.1 ms, and constant; asyncio's own way costs 0.7
            [*_wrapper(identity), str(open_files), *argv],
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


def _wrapper(identity: Identity | None) -> list[str]:
    checked = ["/bin/sh", "-c", _STILL_THE_PARENT, str(os.getpid())]
    setpriv = shutil.which("setpriv", path="/usr/local/bin:/usr/bin:/bin")
    if identity is None:
        return [setpriv, "--pdeathsig", "KILL", "--", *checked] if setpriv else checked
    if setpriv is None:
        raise OSError("setpriv, of Debian's package util-linux, was not found; only it can change the user")
    # In one call: a change of user after the parent-death signal was asked for would take it back.
    user = ["--reuid", str(identity.uid), "--regid", str(identity.gid), "--clear-groups"]
    return [setpriv, *user, "--pdeathsig", "KILL", "--no-new-privs", "--", *checked]


@contextmanager
def _inherited_tag(tag: int) -> Iterator[None]:
    """Have this process's own soft RLIMIT_RTTIME be `tag`, for a moment."""
    old = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (tag, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, old)


def _is_directory(path: str | None) -> bool:
    try:
        return path is not None and stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - one call, one errno
    except (OSError, ValueError):
        return False


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
