"""Sessions that are forked from a zygote: what each has for itself, and that none is less safe than one of its own."""

import ast
import json
import os
import pwd
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from loguru import logger

from common.config.model import Isolation, ServerSpec
from common.config.session_paths import mark
from common.prctl import prctl
from common.reasons import Reason
from supervisor import cgroups, seal
from supervisor.child import Child
from supervisor.children import Children, running_children
from supervisor.control import Announcer
from supervisor.fetches import Fetches
from supervisor.ground import Ground
from supervisor.linux import look
from supervisor.protocol import Exit
from supervisor.reaping import Reaping, find_programs
from supervisor.wrapper import Inside
from supervisor.zygote import blanks, importing, zygotes
from supervisor.zygote.blanks import Forked
from tests.support.ground import grounded
from tests.support.processes import PATIENCE, watching
from tests.support.specs import server_spec, supervisor_settings

pytestmark = pytest.mark.slow

PR_SET_CHILD_SUBREAPER = 36
SYSTEM_PYTHON = "/usr/bin/python3"
HEAVY = "import os, random, tempfile, threading, time\nPID = os.getpid()\nHOME = os.environ['HOME']\nPATHS = []\n"
SERVER = """
    'A server that evaluates what it is asked.'
    import atexit, ctypes, json, os, subprocess, sys
    import heavy
    def call(request):
        space = globals()
        if "\\n" in request:
            exec(request, space)
            return space.get("result")
        return eval(request, space)
    for line in sys.stdin:
        print(json.dumps(call(json.loads(line))), flush=True)
"""
LOOK_INTO = """
    try:
        open("/proc/{}/mem").close()
        result = "may"
    except PermissionError:
        result = "may not"
"""


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    """Orphans below the test become its children, as those below the supervisor do."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


@pytest.fixture(autouse=True)
def none_ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fork is made before a session asks for one, so that each test knows which it gets; unless it is about those."""

    async def none(*_: object) -> None: ...

    if "ahead" not in request.node.name:
        monkeypatch.setattr(zygotes.Zygotes, "_fork_ahead", none)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own it closes again whenever it starts anywhere."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def said() -> Iterator["Log"]:
    """What is logged meanwhile."""
    log = Log()
    handler = logger.add(log.take, level="DEBUG", format="{level} {message}")
    yield log
    logger.remove(handler)


class Log:
    """What was logged, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = anyio.Event()

    def take(self, line: str) -> None:
        self.lines.append(line.rstrip())
        self._news.set()
        self._news = anyio.Event()

    async def has(self, text: str, times: int = 1) -> str:
        """Wait until `times` lines hold `text`; the last of them."""
        with anyio.move_on_after(PATIENCE):
            while len(found := [line for line in self.lines if text in line]) < times:
                await self._news.wait()
            return found[times - 1]
        raise AssertionError(f"{text!r} was not said {times} times: {self.lines}")


@dataclass
class Session:
    """One that was opened, and its pipes."""

    children: Children
    child: Child
    stdin: int
    stdout: int

    @property
    def is_forked(self) -> bool:
        return isinstance(self.child.process, Forked)

    async def ask(self, request: str) -> Any:
        """What the server makes of an expression, or of a program that sets `result`."""
        os.write(self.stdin, json.dumps(dedent(request)).encode() + b"\n")
        return json.loads(await self.line())

    async def line(self) -> bytes:
        """What it writes next."""
        data = b""
        with anyio.fail_after(PATIENCE):
            while not data.endswith(b"\n"):
                await anyio.wait_readable(self.stdout)
                if not (portion := os.read(self.stdout, 65536)):
                    raise EOFError(data)
                data += portion
        return data

    async def end(self) -> Exit:
        """Hang up, and wait until nothing of it is left."""
        os.close(self.stdin)
        os.close(self.stdout)
        self.children.release(self.child.lease, Reason.CLIENT_CLOSED)
        with anyio.fail_after(PATIENCE):
            while self.children.find(self.child.lease) is not None:
                await self.children._buried.wait()
        assert self.child.exit is not None
        return self.child.exit


@dataclass
class Running:
    """Children of one server, whose zygote is what `said` has told."""

    children: Children
    said: Log

    async def open(self, name: str = "fs", user: str = "", **values: str) -> Session:
        return Session(self.children, *await self.children.open(name, "test", user, values))

    async def ahead(self) -> int:
        """The pid of the fork that waits for the next session, once there is one."""
        with anyio.fail_after(PATIENCE):
            while not (
                found := [kept.ahead for kept in self.children.zygotes._kept.values() if kept.ahead is not None]
            ):
                await anyio.lowlevel.checkpoint()
        return found[0]._process.pid

    @property
    def zygote(self) -> int:
        """The pid of the one zygote."""
        [kept] = self.children.zygotes._kept.values()
        return kept.zygote.process.pid


def server(directory: Path, heavy: str = "", *, python: str = sys.executable, **differences: Any) -> ServerSpec:
    """The one above, as a script in `directory`, whose import of `heavy` also does what that says."""
    (directory / "heavy.py").write_text(HEAVY + dedent(heavy))
    script = directory / "server"
    script.write_text(f"#!{python}\n{dedent(SERVER)}")
    script.chmod(0o755)
    return server_spec(command=str(script), zygote=True, **differences)


@asynccontextmanager
async def running(spec: ServerSpec, said: Log, ground: Ground | None = None) -> AsyncIterator[Running]:
    """Children of `spec`, whose zygote is being made."""
    settings = supervisor_settings(spec)
    async with grounded(settings) as (tagged, rooms):
        ground = tagged if ground is None else replace(ground, ledger=tagged.ledger)
        async with running_children(settings, Announcer(), ground, rooms) as children:
            children.zygotes.start(settings)
            yield Running(children, said)
        assert children.outlived == 0


@asynccontextmanager
async def ready(spec: ServerSpec, said: Log, ground: Ground | None = None) -> AsyncIterator[Running]:
    """The same, once the zygote is there."""
    async with running(spec, said, ground) as it:
        await said.has("is ready")
        yield it


async def serves_without_a_fork(it: Running) -> None:
    """A session is started as any other server's, and answers."""
    session = await it.open()
    assert not session.is_forked
    assert await session.ask("1") == 1
    await session.end()


# What a session is.


async def test_a_session_is_forked_and_is_the_supervisors_own_child_all_the_same(tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        session = await it.open()
        assert session.is_forked
        assert await session.ask("[os.getpid(), os.getppid(), heavy.PID]") == [
            session.child.pid,
            os.getpid(),
            it.zygote,
        ]
        seen = look(session.child.pid)
        assert seen is not None
        assert seen.pid == seen.pgid == seen.sid
        assert seen.tag == session.child.tree.tag
        assert await session.ask("sorted(os.listdir('/proc/self/fd'))") == ["0", "1", "2", "3"]  # 3 is the listing's
        assert await session.ask("[sys.argv, __name__, __file__]") == [
            [str(tmp_path / "server")],
            "__main__",
            str(tmp_path / "server"),
        ]
        assert await session.end() == Exit(code=0)


async def test_it_dies_with_the_supervisor(tmp_path: Path, said: Log) -> None:
    ask = """
        number = ctypes.c_int()
        ctypes.CDLL(None).prctl(2, ctypes.byref(number))
        result = number.value
    """
    async with ready(server(tmp_path), said) as it:
        session = await it.open()
        assert await session.ask(ask) == signal.SIGKILL
        await session.end()


async def test_each_has_its_own_directories_names_numbers_and_variables(tmp_path: Path, said: Log) -> None:
    spec = server(tmp_path, env={"HERE": mark("session.work")}, args=("one", mark("session.tmp")))
    asked = [
        "[heavy.random.random() for _ in range(3)]",
        "heavy.tempfile.mkdtemp()",
        "os.getcwd()",
        "os.environ['HOME']",
        "os.environ['HERE']",
        "sys.argv",
        "subprocess.check_output(['sh', '-c', 'echo $HOME'], text=True)",
    ]
    async with ready(spec, said) as it:
        sessions = [await it.open() for _ in range(2)]
        assert all(session.is_forked for session in sessions)
        answers = [[await session.ask(each) for each in asked] for session in sessions]
        for one, other in zip(*answers, strict=True):
            assert one != other
        for session, (_, made, cwd, home, here, argv, shell) in zip(sessions, answers, strict=True):
            room = session.child.room
            assert Path(made).parent == room.tmp
            assert (cwd, here, home, shell) == (str(room.work), str(room.work), str(room.home), f"{room.home}\n")
            assert argv[1:] == ["one", str(room.tmp)]
        for session in sessions:
            await session.end()


async def test_what_is_a_users_own_goes_past_the_zygote(tmp_path: Path, said: Log) -> None:
    own = {"TOKEN": mark("header:X-Token"), "FIXED": "fixed"}
    spec = server(tmp_path, env=own, allow_shared_uid=True)
    async with ready(spec, said) as it:
        session = await it.open(**{"header:X-Token": "hunter2"})
        assert session.is_forked
        assert await session.ask("os.environ['TOKEN']") == "hunter2"
        assert await session.ask("[os.environ['FIXED'], 'TOKEN' in open('/proc/self/environ').read()]") == [
            "fixed",
            False,
        ]
        limit = await session.ask("__import__('resource').getrlimit(__import__('resource').RLIMIT_CORE)[0]")
        assert limit in (0, 1)
        assert "hunter2" not in await session.ask(f"open('/proc/{it.zygote}/environ').read()")
        await session.end()


async def test_what_a_zygote_has_of_memory_is_told(tmp_path: Path, said: Log) -> None:
    async with running(server(tmp_path), said) as it:
        assert it.children.report(1).servers["fs"].zygote == 0
        await said.has("is ready")
        assert 1 << 20 < (it.children.report(2).servers["fs"].zygote or 0) < 1 << 30


async def test_the_zygotes_room_is_nobodys(tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        session = await it.open()
        room = Path(await session.ask("heavy.HOME")).parent
        assert room.stat().st_mode & 0o777 == 0
        assert room != session.child.room.path
        await session.end()
    assert not room.exists()


async def test_a_module_is_run_as_python_runs_it(tmp_path: Path, said: Log) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import os\nPID = os.getpid()\n")
    (package / "heavy.py").write_text(HEAVY)
    lines = dedent(SERVER).replace("import heavy", "from . import PID, heavy")
    (package / "__main__.py").write_text(lines)
    spec = server_spec(
        command=sys.executable, args=("-u", "-m", "package", "x"), path=str(tmp_path), zygote=True, env={"A": "B"}
    )
    async with ready(spec, said) as it:
        session = await it.open()
        assert session.is_forked
        assert await session.ask("[PID, heavy.PID]") == [it.zygote] * 2
        assert await session.ask("[sys.argv, __name__, __package__, sys.path[0]]") == [
            [str(package / "__main__.py"), "x"],
            "__main__",
            "package",
            str(tmp_path),
        ]
        await session.end()


@pytest.mark.parametrize(
    ("last", "exit_"),
    [
        ("sys.exit(3)", Exit(code=3)),
        ("sys.exit('why')", Exit(code=1)),
        ("raise RuntimeError('why')", Exit(code=1)),
        ("raise KeyboardInterrupt", Exit(signal=signal.SIGINT)),
        ("os.kill(os.getpid(), 9)", Exit(signal=signal.SIGKILL)),
    ],
)
async def test_how_it_ends_is_told_as_of_any_other(last: str, exit_: Exit, tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        session = await it.open()
        os.write(session.stdin, json.dumps(f"\n{last}").encode() + b"\n")
        with anyio.fail_after(PATIENCE):
            await session.child.wait_for_leader()
        assert await session.end() == exit_


async def test_at_its_end_threads_are_waited_for_and_exit_functions_run(tmp_path: Path, said: Log) -> None:
    ask = """
        atexit.register(print, "at exit", flush=True)
        def late():
            sys.stdin.read()
            heavy.time.sleep(0.01)
            print("in a thread")
        thread = heavy.threading.Thread(target=late)
        sys.stdin, rest = open(os.devnull), sys.stdin
        thread.start()
        sys.exit(0)
    """
    async with ready(server(tmp_path), said) as it:
        session = await it.open()
        os.write(session.stdin, json.dumps(dedent(ask)).encode() + b"\n")
        assert await session.line() in (b"in a thread\n", b"in a thread\nat exit\n")
        await session.end()


# One that was made ahead.


async def test_a_fork_that_was_made_ahead_is_the_next_session_and_another_is_made(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygotes, "AHEAD", 0.0)
    async with ready(server(tmp_path), said) as it:
        first = await it.ahead()
        session = await it.open()
        assert session.is_forked
        assert session.child.pid == first
        assert await session.ask("[os.getpid(), heavy.PID]") == [first, it.zygote]
        seen = look(first)
        assert seen is not None
        assert seen.tag == session.child.tree.tag
        second = await it.ahead()
        assert second != first
        other = await it.open()
        assert await other.ask("[os.getpid(), sys.argv]") == [second, [str(tmp_path / "server")]]
        for each in (session, other):
            assert await each.end() == Exit(code=0)


async def test_a_fork_ahead_that_was_killed_is_nobodys_session(tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        killed = await it.ahead()
        os.kill(killed, signal.SIGKILL)
        os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - and the reaper has not heard of it
        session = await it.open()
        assert session.is_forked
        assert await session.ask("os.getpid()") == session.child.pid != killed
        assert await session.end() == Exit(code=0)


async def test_a_fork_ahead_ends_with_its_zygote(tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "FIRST_REST", 0.0)
    async with ready(server(tmp_path), said) as it:
        with watching(await it.ahead()) as [waits]:
            os.kill(it.zygote, signal.SIGKILL)
            await waits.ended()
        await said.has("is ready", times=2)
        with watching(await it.ahead()) as [waits]:
            await it.children.zygotes.stop()
            await waits.ended()


# That nothing of it is left.


async def test_what_it_leaves_behind_bears_its_marks_and_ends_with_it(tmp_path: Path, said: Log) -> None:
    ask = "subprocess.Popen(['env', '-i', 'setsid', '--fork', 'sh', '-c', 'echo $$; exec sleep 1000'], stdout=1).wait()"
    async with ready(server(tmp_path), said) as it:
        session, other = await it.open(), await it.open()
        os.write(session.stdin, json.dumps(ask).encode() + b"\n")
        answers = [int(line) for line in (await session.line()).split()]
        while len(answers) < 2:
            answers += [int(line) for line in (await session.line()).split()]
        helper = max(answers)
        with watching(helper, other.child.pid) as [escaped, neighbour]:
            seen = look(escaped.pid)
            assert seen is not None
            assert seen.tag == session.child.tree.tag
            await session.end()
            await escaped.ended()
            assert await other.ask("1") == 1
            await other.end()
            await neighbour.ended()


async def test_sessions_outlive_their_zygote_and_the_next_one_starts_without_until_it_is_back(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(server(tmp_path), said) as it:
        before = it.zygote
        session = await it.open()
        monkeypatch.setattr(zygotes, "FIRST_REST", 0.0)
        with watching(before) as [zygote]:
            os.kill(before, signal.SIGKILL)
            await zygote.ended()
        cold = await it.open()
        assert not cold.is_forked
        assert await cold.ask("heavy.PID") == cold.child.pid
        await said.has("is ready", times=2)
        assert it.zygote != before
        again = await it.open()
        assert again.is_forked
        assert await session.ask("heavy.PID") == before
        for each in (session, cold, again):
            assert await each.end() == Exit(code=0)


async def test_a_zygote_that_hangs_costs_nobody_a_session(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blanks, "PATIENCE", 0.05)
    async with ready(server(tmp_path), said) as it:
        with watching(it.zygote) as [zygote]:
            os.kill(zygote.pid, signal.SIGSTOP)
            session = await it.open()
            assert not session.is_forked
            assert await session.ask("1") == 1
            await said.has("started without its zygote: no fork of it came within 0.05 s")
            await zygote.ended()
        await session.end()


async def test_an_import_that_hangs_is_waited_for_by_nobody(tmp_path: Path, said: Log) -> None:
    hang = "if os.environ.get('MCP_GATEWAY_TREE', '').split('.')[1][:4] == 'ffff': time.sleep(1000)"
    async with running(server(tmp_path, hang), said) as it:
        await serves_without_a_fork(it)


@pytest.mark.parametrize(
    ("heavy", "why"),
    [
        (
            "threading.Thread(target=time.sleep, args=[1000], daemon=True, name='busy').start()",
            "2 threads running (busy)",
        ),
        ("FILE = open('/dev/null')", "a descriptor open (/dev/null)"),
        ("import asyncio\nLOOP = asyncio.new_event_loop()", "a descriptor open ("),
        ("import subprocess\nCHILD = subprocess.Popen(['sleep', '1000'])", "a process running"),
        ("import mmap\nSHARED = mmap.mmap(-1, 4096)", "memory that its forks would share"),
        ("raise RuntimeError('not today')", "its import failed: RuntimeError: not today"),
        ("import sys\nsys.exit(2)", "its import failed: SystemExit: 2"),
    ],
)
async def test_an_import_that_leaves_what_cannot_be_forked_is_refused(
    heavy: str, why: str, tmp_path: Path, said: Log
) -> None:
    only_once = (
        f"if not os.path.exists(os.environ['MARK']):\n    open(os.environ['MARK'], 'w').close()\n    exec({heavy!r})"
    )
    async with running(server(tmp_path, only_once, env={"MARK": str(tmp_path / "mark")}), said) as it:
        told = await said.has("its sessions are started without a zygote")
        assert told.startswith("WARNING server fs: ")
        assert why in told
        await serves_without_a_fork(it)


async def test_an_import_that_takes_too_long_is_given_up(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "IMPORT_PATIENCE", 0.05)
    async with running(server(tmp_path, "time.sleep(1000)"), said) as it:
        assert "its import takes longer than 0.05 s" in await said.has("without a zygote")
        assert it.children.zygotes._by_pid == {}


async def test_no_secret_of_an_import_is_in_the_log(tmp_path: Path, said: Log) -> None:
    spec = server(tmp_path, "raise ValueError(f'no key:\\n{os.environ[\"KEY\"]}')", env={"KEY": "s3cret-of-the-server"})
    async with running(spec, said):
        told = await said.has("without a zygote")
    assert "ValueError: no key: " in told
    assert not any("s3cret-of-the-server" in line for line in said.lines)


async def test_one_that_is_killed_while_it_imports_is_made_anew(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygotes, "FIRST_REST", 0.0)
    once = """
        if not os.path.exists(os.environ["MARK"]):
            open(os.environ["MARK"], "w").close()
            os.kill(PID, 9)
    """
    async with ready(server(tmp_path, once, env={"MARK": str(tmp_path / "mark")}), said) as it:
        await said.has("its zygote has ended; it is made anew")
        session = await it.open()
        assert session.is_forked
        await session.end()


@pytest.mark.parametrize(
    "lie",
    [
        "os.setsid = lambda: None",
        "import ctypes\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)",
        "os.fork, fork = (lambda: fork() or os._exit(7)), os.fork",
        "import socket\nsocket.recv_fds = lambda *_: os._exit(7)",
        "import subprocess\nos.register_at_fork(after_in_child=lambda: subprocess.Popen(['sleep', '1000']))",
    ],
)
async def test_a_fork_that_is_not_what_it_should_be_becomes_nobody(lie: str, tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path, lie), said) as it:
        session = await it.open()
        assert not session.is_forked
        assert await session.ask("1") == 1
        await said.has("started without its zygote")
        await session.end()


async def test_a_fork_that_goes_before_it_is_dressed_costs_nobody_a_session(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = blanks.fork

    async def killed(*arguments: Any) -> blanks.Blank:
        blank = await fork(*arguments)
        with watching(blank._process.pid) as [process]:
            os.kill(process.pid, signal.SIGKILL)
            await process.ended()
        return blank

    monkeypatch.setattr(blanks, "fork", killed)
    async with ready(server(tmp_path), said) as it:
        await serves_without_a_fork(it)


async def test_a_fork_that_is_killed_between_its_tag_and_its_first_word_costs_nobody_a_session(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tag = seal.set_tag
    killed: list[int] = []

    def tag_and_kill(pid: int, tag: int) -> None:
        set_tag(pid, tag)
        if not killed:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            killed.append(pid)

    async with ready(server(tmp_path), said) as it:
        before = it.zygote
        monkeypatch.setattr("supervisor.zygote.blanks.set_tag", tag_and_kill)
        session = await it.open()
        assert not session.is_forked
        assert await session.ask("heavy.PID") == session.child.pid
        again = await it.open()
        assert await again.ask("heavy.PID") == before
        for each in (session, again):
            assert await each.end() == Exit(code=0)


@pytest.mark.parametrize("moment", ["before its tag", "after its tag", "once it was told"])
async def test_a_zygote_that_is_killed_while_its_fork_becomes_a_child_takes_no_session_along(
    moment: str, tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    become = blanks.Blank.become
    monkeypatch.setattr(zygotes, "FIRST_REST", 0.0)
    async with ready(server(tmp_path), said) as it:
        before = it.zygote

        def kill() -> None:
            os.kill(before, signal.SIGKILL)
            os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)

        def tag(pid: int, number: int) -> None:
            if moment == "before its tag":
                kill()
            seal.set_tag(pid, number)
            if moment == "after its tag":
                kill()

        def told(*arguments: Any) -> Forked:
            forked = become(*arguments)
            if moment == "once it was told":
                kill()
            return forked

        with monkeypatch.context() as patched:
            patched.setattr("supervisor.zygote.blanks.set_tag", tag)
            patched.setattr(blanks.Blank, "become", told)
            session = await it.open()
        assert session.is_forked
        await said.has("is ready", times=2)
        assert await session.ask("[heavy.PID, os.getpid()]") == [before, session.child.pid]
        assert await session.end() == Exit(code=0)


async def test_a_fork_that_comes_while_its_zygote_is_ended_becomes_nobody(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who ends a zygote kills what bore its tag a moment ago: it was a session that such a fork had become by then.
    fork = blanks.fork
    async with ready(server(tmp_path), said) as it:
        [kept] = it.children.zygotes._kept.values()

        async def fork_in_between(*arguments: Any) -> blanks.Blank:
            blank = await fork(*arguments)
            kept.over.set()
            return blank

        monkeypatch.setattr(blanks, "fork", fork_in_between)
        session = await it.open()
        assert not session.is_forked
        await said.has("started without its zygote: its zygote is being ended")
        assert await session.ask("heavy.PID") == session.child.pid
        await session.end()


async def test_a_fork_for_whom_there_is_no_room_ends_by_itself(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked: list[int] = []
    fork = blanks.fork

    async def watched(*arguments: Any) -> blanks.Blank:
        blank = await fork(*arguments)
        forked.append(os.pidfd_open(blank._process.pid))
        return blank

    monkeypatch.setattr(blanks, "fork", watched)
    spec = server(tmp_path, env={"TOKEN": mark("header:X-Token")}, allow_shared_uid=True)
    async with ready(spec, said) as it:
        with pytest.raises(Exception, match="did not come with the request"):
            await it.open()
        [pidfd] = forked
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(pidfd)
        os.close(pidfd)


async def test_a_program_that_was_replaced_on_disk_is_imported_anew(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygotes, "FIRST_REST", 0.0)
    async with ready(server(tmp_path), said) as it:
        server(tmp_path, "NEW = True")
        os.utime(tmp_path / "server", ns=(0, 0))
        cold = await it.open()
        assert not cold.is_forked
        await said.has("is ready", times=2)
        session = await it.open()
        assert session.is_forked
        assert await session.ask("heavy.NEW") is True
        for each in (cold, session):
            await each.end()


async def test_a_server_that_goes_out_of_the_configuration_takes_its_zygote_along(tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        with watching(it.zygote) as [zygote]:
            it.children.zygotes.start(supervisor_settings(server_spec("other")))
            await zygote.ended()


async def test_a_package_is_waited_for_and_what_was_fetched_is_imported(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = server(tmp_path)
    spec = fetched.model_copy(update={"command": "uvx", "args": ("package",)})
    arrived = anyio.Event()

    def resolve(_: Fetches, spec: ServerSpec) -> ServerSpec:
        return spec.model_copy(update={"command": fetched.command, "args": ("one",)})

    async def resolve_later(self: Fetches, spec: ServerSpec) -> ServerSpec:
        await arrived.wait()
        return resolve(self, spec)

    monkeypatch.setattr(Fetches, "resolve", resolve)
    monkeypatch.setattr(Fetches, "resolve_later", resolve_later)
    async with running(spec, said) as it:
        cold = await it.open()
        assert not cold.is_forked
        arrived.set()
        await said.has("is ready")
        session = await it.open()
        assert session.is_forked
        for each in (cold, session):
            assert await each.ask("sys.argv[1:]") == ["one"]
            await each.end()


async def test_a_package_that_was_fetched_again_has_a_zygote_of_its_new_place(
    tmp_path: Path, said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = server(tmp_path)
    places = [spec.command, str(tmp_path / "newer")]
    shutil.copy(*places)

    def resolve(_: Fetches, spec: ServerSpec) -> ServerSpec:
        return spec.model_copy(update={"command": places[0]})

    monkeypatch.setattr(Fetches, "resolve", resolve)
    async with ready(spec, said) as it:
        places.reverse()
        cold = await it.open()
        assert not cold.is_forked
        await said.has("is ready", times=2)
        session = await it.open()
        assert session.is_forked
        for each in (cold, session):
            assert await each.ask("sys.argv[0]") == str(tmp_path / "newer")
            await each.end()


async def test_a_fork_that_no_session_used_is_ended_even_where_it_would_not_leave(tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        [spec] = it.children._settings.servers.values()
        blank = await it.children.zygotes.fork(spec)
        assert blank is not None
        with watching(blank._process.pid) as [process]:
            os.kill(blank._process.pid, signal.SIGSTOP)
            blank.close()
            await process.ended()
        blank.close()


async def test_after_a_sweep_the_next_session_brings_it_back(tmp_path: Path, said: Log) -> None:
    async with ready(server(tmp_path), said) as it:
        with watching(it.zygote) as [zygote]:
            await it.children.sweep()
            await zygote.ended()
        assert it.children.outlived == 0
        cold = await it.open()
        assert not cold.is_forked
        await said.has("is ready", times=2)
        session = await it.open()
        assert session.is_forked
        for each in (cold, session):
            await each.end()


async def test_in_a_namespace_there_is_none(tmp_path: Path, said: Log) -> None:
    settings = supervisor_settings(server(tmp_path))
    async with grounded(settings) as (ground, _):
        namespaces = replace(ground, reaping=Reaping("namespace", find_programs(), Inside.NAMESPACE))
        async with running(server(tmp_path), said, namespaces):
            assert "a fork cannot enter a namespace" in await said.has("started without a zygote")


# Whose it is.


async def test_a_session_is_its_users_where_the_supervisor_may_mark_what_is_another_users(
    open_path: Path, said: Log
) -> None:
    nobody = pwd.getpwnam("nobody")
    spec = server(open_path, python=SYSTEM_PYTHON, isolation=Isolation(user="nobody"))
    async with running(spec, said) as it:
        told = await said.has("server fs: its ")
        session = await it.open()
        assert session.is_forked == ("is ready" in told)
        assert session.is_forked or "may not mark processes of another user; give it CAP_SYS_RESOURCE" in told
        assert await session.ask("[os.getresuid(), os.getresgid(), os.getgroups()]") == [
            [nobody.pw_uid] * 3,
            [nobody.pw_gid] * 3,
            [],
        ]
        assert await session.ask("'NoNewPrivs:\\t1' in open('/proc/self/status').read()") is True
        assert await session.ask("os.stat('/proc/self/mem').st_uid") == nobody.pw_uid
        await session.end()


async def test_not_even_its_own_user_looks_into_a_zygote(open_path: Path, said: Log) -> None:
    wait = f"""
        if "zygote" in open("/proc/self/cmdline").read():
            open({str(open_path / "pid")!r}, "w").write(str(PID))
            time.sleep(1000)
    """
    os.mkfifo(open_path / "pid")
    (open_path / "pid").chmod(0o666)
    told = os.open(open_path / "pid", os.O_RDWR | os.O_NONBLOCK)
    spec = server(open_path, wait, python=SYSTEM_PYTHON, isolation=Isolation(user="nobody"))
    async with running(spec, said) as it:
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(told)
        zygote = int(os.read(told, 100))
        session = await it.open()
        assert await session.ask(LOOK_INTO.format(session.child.pid)) == "may"
        assert await session.ask(LOOK_INTO.format(zygote)) == "may not"
        await session.end()
    os.close(told)


async def test_in_a_cgroup_a_session_is_in_its_own_leaf(tmp_path: Path, said: Log) -> None:
    number = random.randrange(1, 1 << 31)
    run = cgroups.prepare(cgroups.own_cgroup(), number)
    try:
        settings = supervisor_settings(server(tmp_path))
        async with grounded(settings) as (ground, _):
            with_leaves = replace(ground, reaping=Reaping("cgroup", find_programs(), run=run))
            async with ready(server(tmp_path), said, with_leaves) as it:
                session = await it.open()
                assert session.is_forked
                leaf = session.child.place.leaf
                assert leaf is not None
                assert await session.ask("subprocess.Popen(['sleep', '1000']).pid > 1") is True
                assert session.child.pid in leaf.pids()
                assert it.zygote not in leaf.pids()
                assert len(list(leaf.pids())) == 2
                await session.end()
                assert not leaf.path.exists()
    finally:
        run.everything().remove()


# The real one.


async def test_the_time_server_answers_from_a_fork(said: Log) -> None:
    spec = server_spec(command=str(Path(sys.executable).parent / "mcp-server-time"), zygote=True)
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    async with ready(spec, said) as it:
        session = await it.open()
        assert session.is_forked
        os.write(session.stdin, _message("initialize", hello, 1))
        assert b"serverInfo" in await session.line()
        os.write(session.stdin, _message("notifications/initialized") + _message("tools/list", None, 2))
        assert b"get_current_time" in await session.line()
        assert await session.end() == Exit(code=0)


def _message(method: str, params: object = None, number: int | None = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
    return json.dumps({key: value for key, value in message.items() if value is not None}).encode() + b"\n"


def test_the_template_runs_in_every_python_that_is_supported_by_anybody() -> None:
    ast.parse(Path(zygotes.__file__).with_name("template.py").read_text(), feature_version=(3, 9))


def test_the_template_knows_nothing_of_ours() -> None:
    known = _imported(Path(zygotes.__file__).with_name("template.py"))
    assert known - {"__future__"} <= sys.stdlib_module_names | {"importlib.machinery", "importlib.util"}


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    plain = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
