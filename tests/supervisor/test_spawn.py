"""The only fork: what a child is given, and that nothing is left where none could be started."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from common.config.model import ServerSpec
from common.reasons import Reason
from supervisor.environment import SpawnError, resolve_command
from supervisor.linux import look
from supervisor.rooms import Room
from supervisor.spawn import Spawned, run_helper, spawn
from supervisor.tags import TOKEN, make_tag, token
from supervisor.users import Identity
from supervisor.wrapper import Wrapping
from tests.support.processes import PATIENCE, descriptors_left, open_files, watching
from tests.support.specs import server_spec
from tests.support.wrappers import BOTH, WRAPPERS, programs_of

TAG = make_tag(7, 1)
OPEN_FILES = 512
SHELL = "/bin/sh"
wrapper = BOTH
"""The programs that children are wrapped in; each test has both ways."""


@pytest.fixture(autouse=True, params=WRAPPERS)
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "wrapper", programs_of(request.param))


ROOM = Room(Path("/"))
"""Nothing but a server's own `path` matters here; tests/supervisor/test_rooms.py has real ones."""


def spec(command: str, *args: str, path: Path | None = None, env: dict[str, str] | None = None) -> ServerSpec:
    """A server with this command."""
    return server_spec(command=command, args=args, path="/" if path is None else str(path), env=env or {})


def script(text: str, *, path: Path | None = None, env: dict[str, str] | None = None) -> ServerSpec:
    """A server that is a shell's script."""
    return spec(SHELL, "-c", text, path=path, env=env)


def program(path: Path, mode: int = 0o755) -> Path:
    """An executable file, or one that is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@contextmanager
def running(server: ServerSpec, tag: int = TAG, open_files: int = OPEN_FILES) -> Iterator[Spawned]:
    """A child; on leaving it is killed and reaped, and its pipes are closed."""
    child = spawn(server, tag, Wrapping(soft_open_files=open_files), wrapper, ROOM)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.wait(PATIENCE)
        for fd in (child.stdin, child.stdout, child.stderr):
            os.close(fd)


async def all_of(fd: int) -> str:
    """What comes out of a pipe, to its end."""
    data = b""
    with anyio.fail_after(PATIENCE):
        while True:
            await anyio.wait_readable(fd)
            portion = os.read(fd, 65536)
            if not portion:
                return data.decode()
            data += portion


async def said_by(server: ServerSpec, tag: int = TAG, open_files: int = OPEN_FILES) -> list[str]:
    """The lines that a child of `server` writes until it ends."""
    with running(server, tag, open_files) as child:
        return (await all_of(child.stdout)).splitlines()


# Which file a command is.


def test_a_command_is_looked_for_on_the_path_in_order(tmp_path: Path) -> None:
    first, second = program(tmp_path / "a" / "tool"), program(tmp_path / "b" / "tool")
    path = f"{tmp_path / 'a'}:{tmp_path / 'b'}"
    assert resolve_command(spec("tool"), path) == str(first)
    first.unlink()
    assert resolve_command(spec("tool"), path) == str(second)


def test_a_file_that_may_not_be_executed_is_passed_over_on_the_path(tmp_path: Path) -> None:
    program(tmp_path / "a" / "tool", mode=0o644)
    found = program(tmp_path / "b" / "tool")
    assert resolve_command(spec("tool"), f"{tmp_path / 'a'}:{tmp_path / 'b'}") == str(found)


def test_a_command_that_is_not_on_the_path_may_stand_beside_the_gateways_own(tmp_path: Path) -> None:
    own = Path(sys.executable)
    assert resolve_command(spec(own.name), str(tmp_path)) == str(own)


def test_the_path_comes_before_the_gateways_own(tmp_path: Path) -> None:
    other = program(tmp_path / Path(sys.executable).name)
    assert resolve_command(spec(other.name), str(tmp_path)) == str(other)


def test_a_command_with_a_slash_is_relative_to_the_servers_path(tmp_path: Path) -> None:
    tool = program(tmp_path / "bin" / "tool")
    assert resolve_command(spec("bin/tool", path=tmp_path), "/nowhere") == str(tool)
    assert resolve_command(spec("./bin/tool", path=tmp_path), "/nowhere") == str(tool)


def test_an_absolute_command_is_itself(tmp_path: Path) -> None:
    tool = program(tmp_path / "tool")
    assert resolve_command(spec(str(tool), path=Path("/")), "/nowhere") == str(tool)


def test_a_command_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = program(tmp_path / "bin" / "tool")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_command(spec("~/bin/tool"), "/nowhere") == str(tool)


@pytest.mark.parametrize("command", ["no-such-tool", "./no-such-tool", "/no/such/tool", "~nobody-of-that-name/tool"])
def test_a_command_that_is_nowhere_is_refused(command: str, tmp_path: Path) -> None:
    with pytest.raises(SpawnError) as caught:
        resolve_command(spec(command, path=tmp_path), str(tmp_path))
    assert caught.value.reason is Reason.COMMAND_NOT_FOUND
    assert caught.value.message == "the command of server 'fs' was not found"
    assert command in caught.value.detail


@pytest.mark.parametrize("mode", [0o644, None])
def test_a_command_that_is_there_but_no_program_is_refused_as_such(mode: int | None, tmp_path: Path) -> None:
    if mode is None:
        (tmp_path / "tool").mkdir()
    else:
        program(tmp_path / "tool", mode)
    with pytest.raises(SpawnError) as caught:
        resolve_command(spec("./tool", path=tmp_path), "")
    assert caught.value.reason is Reason.COMMAND_NOT_FOUND
    assert caught.value.message == "the command of server 'fs' cannot be executed"


# What a child inherits of the environment.


async def test_a_real_child_sees_no_secret_of_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_GATEWAY_TOKEN", "hunter2")
    lines = await said_by(spec(shutil.which("env") or "env", env={"OWN": "yes"}))
    assert "OWN=yes" in lines
    assert not [line for line in lines if "hunter2" in line]


async def test_a_servers_own_path_is_where_its_command_is_looked_for(tmp_path: Path) -> None:
    tool = program(tmp_path / "tool")
    tool.write_text("#!/bin/sh\necho found\n")
    assert await said_by(spec("tool", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})) == ["found"]


# What a child is.


async def test_a_child_reads_and_writes_the_pipes_that_its_owner_holds() -> None:
    with running(script('read line; echo "out $line"; echo "err $line" >&2')) as child:
        os.write(child.stdin, b"hello\n")
        assert await all_of(child.stdout) == "out hello\n"
        assert await all_of(child.stderr) == "err hello\n"


async def test_a_child_that_reads_to_the_end_ends_when_its_stdin_is_closed() -> None:
    with running(script("cat; echo bye")) as child:
        os.dup2(child.stderr, child.stdin)  # closes it, and leaves a number for the owner to close
        assert await all_of(child.stdout) == "bye\n"


async def test_a_shim_that_is_being_installed_anew_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wrapper, "shim", "/nowhere/mcp-shim")
    assert await said_by(script("echo here")) == ["here"]


def test_the_owners_ends_are_close_on_exec() -> None:
    with running(script("cat")) as child:
        assert not any(os.get_inheritable(fd) for fd in (child.stdin, child.stdout, child.stderr))


async def test_a_child_has_its_three_descriptors_and_no_other() -> None:
    with many_files_open(10, inheritable=True), running(script("exec cat")) as child:
        os.write(child.stdin, b"hello\n")
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(child.stdout)
        assert sorted(os.listdir(f"/proc/{child.process.pid}/fd")) == ["0", "1", "2"]  # noqa: PTH208


async def test_the_pid_that_was_spawned_is_the_commands_own() -> None:
    with running(script("echo $$")) as child:
        assert await all_of(child.stdout) == f"{child.process.pid}\n"


async def test_arguments_arrive_as_they_are() -> None:
    args = ["", "a b", "$HOME", "*", "'\"", "--", "-c", "é", "line\nbreak"]
    show = 'for each; do printf "%s\\0" "$each"; done'
    with running(spec(SHELL, "-c", show, "sh", *args)) as child:
        assert (await all_of(child.stdout)).split("\0") == [*args, ""]


def test_a_child_leads_a_session_and_a_group_of_its_own_and_bears_its_tag() -> None:
    with running(script("cat")) as child:
        seen = look(child.process.pid)
        assert seen is not None
        assert seen.ppid == os.getpid()
        assert seen.pid == seen.pgid == seen.sid == child.process.pid
        assert seen.tag == TAG


async def test_a_childs_own_children_inherit_its_tag_whatever_they_do() -> None:
    with running(script("setsid env -i sleep 100 & echo $!; wait")) as child, anyio.fail_after(PATIENCE):
        await anyio.wait_readable(child.stdout)
        helper = int(os.read(child.stdout, 100))
        seen = look(helper)
        assert seen is not None
        assert seen.tag == TAG
        os.kill(helper, 9)


async def test_a_child_starts_in_its_servers_path(tmp_path: Path) -> None:
    assert await said_by(script("pwd", path=tmp_path)) == [str(tmp_path)]


async def test_a_child_may_open_as_many_files_as_it_is_given() -> None:
    assert await said_by(script("ulimit -n")) == [str(OPEN_FILES)]


async def test_a_child_may_have_fewer_files_open_than_the_supervisor_has() -> None:
    with many_files_open(200):
        assert await said_by(script("ulimit -n"), open_files=64) == ["64"]


def test_the_limits_of_the_supervisor_are_its_own_again_after_a_spawn() -> None:
    before = limits()
    with running(script("cat"), tag=make_tag(7, 2), open_files=100):
        assert limits() == before


async def test_a_child_does_not_outlive_the_process_that_spawned_it() -> None:
    with a_spawner() as spawner:
        assert spawner.stdout is not None
        with watching(int(spawner.stdout.readline())) as [child]:
            spawner.kill()
            await child.ended()


@contextmanager
def a_spawner() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that spawns a child, and says its pid."""
    with_shim = "shim" in wrapper
    command = [sys.executable, "-c", f"from {__name__} import spawn_for_a_test; spawn_for_a_test({with_shim})"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def spawn_for_a_test(with_shim: bool) -> None:
    """Spawn a child that nothing but a signal ends, name it, and wait."""
    wrapper = programs_of("shim" if with_shim else "shells")
    child = spawn(script("exec sleep 100"), TAG, Wrapping(soft_open_files=OPEN_FILES), wrapper, ROOM)
    print(child.process.pid, flush=True)
    sys.stdin.read()


async def test_a_command_that_is_no_program_after_all_ends_by_itself(tmp_path: Path) -> None:
    tool = program(tmp_path / "tool")
    tool.write_text("#!/no/such/interpreter\n")
    with running(spec(str(tool))) as child:
        await all_of(child.stdout)
        assert child.process.wait(PATIENCE) != 0


# Where none can be started.


def limits() -> list[tuple[int, int]]:
    """The limits of this process that a spawn touches."""
    return [resource.getrlimit(limit) for limit in (resource.RLIMIT_RTTIME, resource.RLIMIT_NOFILE)]


@contextmanager
def many_files_open(count: int, *, inheritable: bool = False) -> Iterator[None]:
    """Hold `count` descriptors."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    for fd in held:
        os.set_inheritable(fd, inheritable)
    try:
        yield
    finally:
        for fd in held:
            os.close(fd)


def refused(server: ServerSpec, open_files_of_child: int = OPEN_FILES) -> SpawnError:
    """The error of a spawn that must leave nothing behind."""
    before = limits(), open_files(os.getpid())
    with pytest.raises(SpawnError) as caught:
        spawn(server, TAG, Wrapping(soft_open_files=open_files_of_child), wrapper, ROOM)
    assert (limits(), open_files(os.getpid())) == before
    return caught.value


def test_without_its_command_nothing_is_started() -> None:
    assert refused(spec("no-such-tool")).reason is Reason.COMMAND_NOT_FOUND


@pytest.mark.parametrize("name", ["missing", "file"])
def test_without_its_working_directory_nothing_is_started(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused(spec(SHELL, path=tmp_path / name))
    assert error.reason is Reason.PATH_NOT_FOUND
    assert error.message == "the working directory of server 'fs' does not exist"
    assert str(tmp_path) in error.detail


def test_what_the_kernel_refuses_leaves_nothing_behind() -> None:
    error = refused(spec(SHELL, "-c", "true", "x" * 10_000_000))
    assert error.reason is Reason.SPAWN_FAILED
    assert error.message == "server 'fs' could not be started"
    assert str(errno.E2BIG) in error.detail


@pytest.mark.parametrize("left", range(6))
def test_without_descriptors_to_spare_nothing_is_left_behind(left: int) -> None:
    before = limits(), open_files(os.getpid())
    with descriptors_left(left), pytest.raises(SpawnError) as caught:
        spawn(script("cat"), TAG, Wrapping(soft_open_files=OPEN_FILES), wrapper, ROOM)
    assert (limits(), open_files(os.getpid())) == before
    assert caught.value.reason is Reason.SPAWN_FAILED
    assert str(errno.EMFILE) in caught.value.detail


@pytest.mark.parametrize(
    "server",
    [
        spec(SHELL, "-c", "nul\0byte"),
        spec(SHELL, "-c", "lone \ud800 surrogate"),
        spec(SHELL, env={"NAME": "nul\0byte"}),
        spec(SHELL, env={"A=B": "x"}),
        spec(SHELL, path=Path("nul\0byte")),
    ],
    ids=["argument", "surrogate", "value", "name", "path"],
)
def test_what_no_process_can_be_given_leaves_nothing_behind(server: ServerSpec) -> None:
    assert refused(server).reason in {Reason.SPAWN_FAILED, Reason.PATH_NOT_FOUND}


@pytest.mark.parametrize("server", [spec("no-such-tool"), spec(SHELL, path=Path("/no/such/path"))])
def test_what_a_caller_is_told_names_neither_the_command_nor_a_path(server: ServerSpec) -> None:
    error = refused(server)
    assert "no-such" not in error.message
    assert "/no/such" not in error.message
    assert str(error) == error.detail


NOBODY = Identity(65534, 65534)


def test_a_childs_pipes_are_its_users() -> None:
    wrapping = Wrapping(uid=NOBODY.uid, gid=NOBODY.gid)
    child = spawn(script("read -r line"), TAG, wrapping, wrapper, Room(Path("/"), NOBODY))
    fds = (child.stdin, child.stdout, child.stderr)
    assert {(os.fstat(fd).st_uid, os.fstat(fd).st_gid) for fd in fds} == {(NOBODY.uid, NOBODY.gid)}
    for fd in fds:
        os.close(fd)
    assert child.process.wait(PATIENCE) == 1  # the end of its input


def test_a_helper_bears_its_tag_and_makes_what_others_may_read(tmp_path: Path) -> None:
    script = f"echo ${TOKEN}; umask; ulimit -S -R; cat"
    with (tmp_path / "out").open("w+") as out:
        environment = {"PATH": os.environ["PATH"]}
        output = (out.fileno(), out.fileno())
        helper = run_helper(["bash", "-c", script], environment, TAG, tmp_path, output, wrapper)
        assert helper.wait(PATIENCE) == 0
        assert (tmp_path / "out").read_text().split() == [token(TAG), "0022", str(TAG)]


def test_a_child_must_not_be_started_on_a_thread_that_may_end() -> None:
    errors: list[Exception] = []

    def try_it() -> None:
        try:
            spawn(script("cat"), TAG, Wrapping(soft_open_files=OPEN_FILES), wrapper, ROOM)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(PATIENCE)
    assert len(errors) == 1
