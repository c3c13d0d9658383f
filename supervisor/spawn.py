"""The only fork.

A child is started through a few small programs (see supervisor.wrapper), which ask the kernel to kill it when the
supervisor dies, give it its user and its limits, and replace themselves by the command.

The parent-death signal belongs to the *thread* that spawned, so `spawn` must be called on the main thread. The tag that
the child inherits is set on this process for the microsecond of the spawn: setting it afterwards would be a race. The
limits are set by a shell, for this process may have more files open than a child may.
"""

import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.config.model import ServerSpec
from common.reasons import Reason
from supervisor.tags import TOKEN, token
from supervisor.wrapper import Wrapping, wrap

INHERITED_VARIABLES: Final = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""What a child gets of the supervisor's environment, with LC_*; the rest may hold the gateway's secrets."""


class SpawnError(Exception):
    """The child could not be started. `message` may be shown to a caller; `detail` is for the log alone."""

    def __init__(self, reason: Reason, message: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.reason = reason
        self.message = message
        self.detail = detail


@dataclass(frozen=True)
class Spawned:
    """A child that runs. Whoever gets this owns the three descriptors, which are close-on-exec."""

    process: "subprocess.Popen[bytes]"
    stdin: int
    stdout: int
    stderr: int


def child_environment(spec: ServerSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child of `spec`: the short allow-list of `environ`, then the server's own `env`."""
    inherited = {k: v for k, v in environ.items() if k in INHERITED_VARIABLES or k.startswith("LC_")}
    return {"PATH": os.defpath, **inherited, **spec.env}


def resolve_command(spec: ServerSpec, path: str) -> str:
    """The file that `command` names, looked for on `path` as a shell would, then beside the gateway's own programs.

    Raises SpawnError where there is none.
    """
    command = spec.command
    if os.sep in command:
        here = Path(spec.path or ".") / os.path.expanduser(command)  # noqa: PTH111 - an unknown user is no error
        found = shutil.which(here.absolute())
        if found is None and here.exists():
            raise SpawnError(
                Reason.COMMAND_NOT_FOUND,
                f"the command of server '{spec.name}' cannot be executed",
                f"'{command}' is there, but it is no file that may be executed",
            )
    else:
        found = shutil.which(command, path=path) or shutil.which(command, path=str(Path(sys.executable).parent))
    if found is None:
        raise SpawnError(
            Reason.COMMAND_NOT_FOUND,
            f"the command of server '{spec.name}' was not found",
            f"command '{command}' not found on PATH={path}",
        )
    return str(Path(found).absolute())  # before the working directory becomes the child's


def spawn(spec: ServerSpec, tag: int, wrapping: Wrapping, programs: Mapping[str, str]) -> Spawned:
    """Start a child of `spec` as the leader of a session and a process group of its own.

    `tag` marks its tree (see supervisor.tree); `wrapping` is what to put around its command, with `programs`. Raises
    SpawnError, and then nothing runs and no descriptor is left open.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn() must run on the main thread: a child would be killed when the thread ends")
    environment = child_environment(spec, os.environ) | {TOKEN: token(tag)}
    command = resolve_command(spec, environment["PATH"])
    if spec.path is not None and not _is_directory(spec.path):
        raise SpawnError(
            Reason.PATH_NOT_FOUND,
            f"the working directory of server '{spec.name}' does not exist",
            f"path '{spec.path}' is not a directory",
        )
    pipes: list[int] = []
    try:
        for _ in range(3):
            pipes.extend(os.pipe2(os.O_CLOEXEC))
        argv = wrap([command, *spec.args], wrapping, os.getpid(), programs)
        process = _start(spec, argv, environment, pipes, tag)
    except (OSError, ValueError) as error:  # a ValueError for what the kernel could never take: a NUL, a surrogate
        _close(pipes)
        raise SpawnError(Reason.SPAWN_FAILED, f"server '{spec.name}' could not be started", str(error)) from error
    child_in, stdin, stdout, child_out, stderr, child_err = pipes
    _close([child_in, child_out, child_err])
    return Spawned(process, stdin, stdout, stderr)


def _start(
    spec: ServerSpec, argv: list[str], environment: dict[str, str], pipes: list[int], tag: int
) -> "subprocess.Popen[bytes]":
    child_in, _, _, child_out, _, child_err = pipes
    with _inherited_tag(tag):
        return subprocess.Popen(  # Popen with vfork: 0.1 ms, and constant; asyncio's own way costs 0.7
            argv,
            stdin=child_in,
            stdout=child_out,
            stderr=child_err,
            cwd=spec.path,
            env=environment,
            start_new_session=True,
        )


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


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - one call, one errno
    except (OSError, ValueError):
        return False


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
