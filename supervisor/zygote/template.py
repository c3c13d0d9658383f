"""The program of a zygote. It runs inside the server's own Python, 3.9 or later, and imports nothing of ours.

It is sent as text over the control socket, its stdin, so the server's user need not be able to read our files. Then
comes what to import. What it answers is one message of JSON: `{"ready": true}`, or `{"refused": "why"}`. After that each
message brings one socket, for a fork that is to speak over it; the end of the control socket is the end of the zygote.

A fork is made twice, so that its parent is the supervisor, which adopts it. It dies with the supervisor
(PR_SET_PDEATHSIG), says a byte on its socket, and waits until it is told whom it is to be: four descriptors, its stdin,
stdout and stderr, and a memory file with its environment, its arguments and its directory.

While it is a zygote or waits, nobody of the same user may trace it (PR_SET_DUMPABLE): who could change the template would
change every later session.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import types
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
LONGEST = 1 << 16
"""Bytes of a message."""

LAZY = {
    "anyio": ("anyio._backends._asyncio",),
    "asyncio": ("asyncio.runners",),
    "mcp": ("argparse", "rich.logging", "rich.console", "rich._fileno"),
}
"""What is imported only when such modules are used, which every server does; none of it starts anything."""

libc = ctypes.CDLL(None, use_errno=True)


def main(control: socket.socket) -> None:
    """Import, say how it went, and fork until the control socket ends. Never returns."""
    job: dict[str, Any] = json.loads(control.recv(LONGEST))
    set_dumpable(0)
    take_away_stdin()
    try:
        code = prepare(job)
        gc.collect()
        refused = unclean(control)
    except BaseException as error:  # noqa: BLE001 - it is the server's code, which may say SystemExit
        refused = f"its import failed: {type(error).__name__}: {error}"
    if refused:
        control.send(json.dumps({"refused": refused[:1000]}).encode())
        os._exit(1)
    gc.freeze()  # or the first collection in each fork would write to all that they share
    control.send(b'{"ready": true}')
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            os._exit(0)
        if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
            os.write(2, b"a thread has been started since the import: not forked\n")
            os._exit(1)
        first = os.fork()
        if first == 0:
            second_fork(job, code, fds[0])
        os.close(fds[0])
        os.waitpid(first, 0)


def set_dumpable(value: int) -> None:
    """Whether processes of the same user may look into this one: PR_SET_DUMPABLE, prctl(2)."""
    libc.prctl(PR_SET_DUMPABLE, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


def take_away_stdin() -> None:
    """Have an empty pipe instead of the control socket as stdin: like a session's it cannot be sought in."""
    read, write = os.pipe()
    os.dup2(read, 0)
    os.close(read)
    os.close(write)


# What is imported before the fork.


def prepare(job: dict[str, Any]) -> types.CodeType | None:
    """Import what the program begins with; its code, where it is a script."""
    if sys.path[:1] == [""]:  # Python's own, for `-c`; what it puts there for a program is another directory
        here = job["name"] if job["kind"] == "script" else "."
        sys.path[0] = os.path.dirname(os.path.realpath(here)) if here != "." else os.path.realpath(here)  # noqa: PTH120
    sys.argv = [job["name"]]
    if job["kind"] == "script":
        with open(job["name"], "rb") as file:  # noqa: PTH123
            source = file.read()
        import_first(ast.parse(source, job["name"]), "")
        code = compile(source, job["name"], "exec", dont_inherit=True)
    else:
        code = None
        spec = importlib.util.find_spec(job["name"])
        if spec is not None and spec.submodule_search_locations is not None:
            importlib.import_module(job["name"])
            spec = importlib.util.find_spec(job["name"] + ".__main__")
        loader: Any = spec.loader if spec is not None else None
        if spec is None or spec.origin is None or not hasattr(loader, "get_source"):
            raise ImportError("no module named " + job["name"] + " that Python could run")
        import_first(ast.parse(loader.get_source(spec.name)), spec.parent or "")
    for module, more in LAZY.items():
        for each in more if module in sys.modules else ():
            with contextlib.suppress(ImportError):
                importlib.import_module(each)
    return code


def import_first(tree: ast.Module, package: str) -> None:
    """Import what the program imports before it does anything else: what follows may depend on what it has done."""
    body = tree.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]  # its docstring
    for node in body:
        if isinstance(node, ast.Import):
            for each in node.names:
                importlib.import_module(each.name)
        elif isinstance(node, ast.ImportFrom):
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            module = importlib.import_module(name)
            for each in node.names:
                if each.name != "*" and not hasattr(module, each.name):
                    importlib.import_module(name + "." + each.name)
        else:
            return


# Whether it may be forked.


def unclean(control: socket.socket) -> str:
    """Why what was imported is not to be forked; empty where all is well."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads > 1:
        names = ", ".join(each.name for each in threading.enumerate() if each is not threading.main_thread())
        return f"its import leaves {threads} threads running ({names or 'none of Python'})"
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in (0, 1, 2, control.fileno()):
            try:
                return f"its import leaves a descriptor open ({os.readlink('/proc/self/fd/' + name)})"  # noqa: PTH115
            except FileNotFoundError:  # the one of the listing
                continue
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        pass
    else:
        return "its import leaves a process running"
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        for line in maps:
            access, where = line.split(None, 5)[1], line.rstrip().split(None, 5)[5:]
            if "w" in access and access.endswith("s"):
                return f"its import leaves memory that its forks would share ({' '.join(where) or 'without a name'})"
    return ""


# What a fork does.


def second_fork(job: dict[str, Any], code: types.CodeType | None, fd: int) -> NoReturn:
    """In the first fork: make the second, and leave it to the supervisor."""
    try:
        middle = os.getpid()
        if os.fork() == 0:
            become_session(job, code, socket.socket(fileno=fd), middle)
    except BaseException:  # noqa: BLE001 - none of this is to come back to the zygote's own loop
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def become_session(job: dict[str, Any], code: types.CodeType | None, connection: socket.socket, middle: int) -> None:
    """Wait for the supervisor's word, and be the session. Never returns."""
    os.setsid()
    wait_for_end_of(middle)
    libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3)
    if os.getppid() != job["parent"]:
        os._exit(1)
    connection.send(b"!")
    data, fds, _, _ = socket.recv_fds(connection, 1, 4)
    if not data:
        os._exit(0)
    given = json.loads(os.pread(fds[3], os.fstat(fds[3]).st_size, 0))
    for number in range(3):
        os.dup2(fds[number], number)
    os.closerange(3, max(int(name) for name in os.listdir("/proc/self/fd")) + 1)  # noqa: PTH208
    connection.detach()
    set_dumpable(1)
    end(run(job, code, given))


def wait_for_end_of(middle: int) -> None:
    """Return once `middle` has ended. By then this process has another parent: the kernel tells of an end last."""
    try:
        pidfd = os.pidfd_open(middle) if os.getppid() == middle else -1
    except ProcessLookupError:
        return
    if pidfd >= 0:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll()
        os.close(pidfd)


def run(job: dict[str, Any], code: types.CodeType | None, given: dict[str, Any]) -> int:
    """Run the program as Python would; its exit status."""
    try:
        take_on(job, given)
        name = "__main__"
        module = sys.modules[name] = types.ModuleType(name)
        if code is None:
            import runpy

            runpy._run_module_as_main(job["name"])  # type: ignore[attr-defined]  # as `python -m` does
        else:
            loader = importlib.machinery.SourceFileLoader(name, job["name"])
            module.__dict__.update(__file__=job["name"], __builtins__=__builtins__, __loader__=loader, __cached__=None)
            exec(code, module.__dict__)  # noqa: S102 - the server's own program
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            return exit_.code or 0
        print(exit_.code, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - as Python does it
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def take_on(job: dict[str, Any], given: dict[str, Any]) -> None:
    """Be whom the session's process is to be, as far as Python has kept what the zygote was."""
    os.environ.clear()
    os.environ.update(given["environment"])
    time.tzset()
    os.chdir(given["directory"])
    if job["kind"] == "module" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = given["directory"]
    sys.argv = [job["name"], *given["arguments"]]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = [*job["command"], *given["arguments"]]
    # `random` itself, OpenSSL and tempfile's names take care of a fork by themselves.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "multiprocessing.process" in sys.modules:
        sys.modules["multiprocessing.process"].current_process().authkey = os.urandom(32)
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]  # it may have been looked for in the zygote


def end(status: int) -> NoReturn:
    """Leave as Python does, but without taking all apart that is shared with others."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads that are no daemons
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException:  # noqa: BLE001 - an exit function's; or a pipe that nobody reads any more
        status = status or 120  # as Python does
    os._exit(status & 0xFF)


main(socket.socket(fileno=os.dup(0)))
