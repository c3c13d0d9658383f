"""What bubblewrap is told, and what a child inside really sees."""

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from common.config.model import Sandbox
from supervisor.reaping import find_programs
from supervisor.sandbox import options
from supervisor.wrapper import Inside, Wrapping, wrap
from tests.support.processes import PATIENCE

ROOM = Path("/rooms/1")


def binds(told: Sequence[str], kind: str) -> list[str]:
    """The places that are given as `kind`."""
    return [place for option, place in itertools.pairwise(told) if option == kind]


# What it is told.


def test_the_system_is_read_only_and_what_others_use_looks_empty() -> None:
    told = options(Sandbox(), None, [])
    assert binds(told, "--ro-bind") == ["/"]
    assert binds(told, "--bind") == []
    assert binds(told, "--tmpfs") == ["/tmp", "/run", "/var/tmp"]


def test_it_holds_no_capability_and_sees_no_other_process() -> None:
    told = options(Sandbox(), None, [])
    assert {"--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts"} <= set(told)
    assert binds(told, "--cap-drop") == ["ALL"]


def test_the_network_is_the_machines_and_its_resolver_is_there() -> None:
    told = options(Sandbox(), None, [])
    assert "--unshare-net" not in told
    assert "/run/systemd/resolve" in binds(told, "--ro-bind-try")


def test_without_network_there_is_none_and_no_resolver() -> None:
    told = options(Sandbox(network=False), None, [])
    assert "--unshare-net" in told
    assert binds(told, "--ro-bind-try") == []


def test_what_is_private_stays_so_though_what_is_above_it_may_be_written() -> None:
    sandbox = Sandbox(writable=("/srv", "/home/me/project"), hidden=("/home",))
    told = options(sandbox, ROOM, [Path("/srv/gateway"), Path("/rooms")])
    places = [place for option, place in itertools.pairwise(told) if option in ("--tmpfs", "--bind")]
    expected = ["/tmp", "/run", "/var/tmp", "/home", "/srv", "/home/me/project", "/srv/gateway", "/rooms", "/rooms/1"]
    assert places == expected


# What it sees.


def inside(script: str, sandbox: Sandbox, room: Path | None = None, private: Sequence[Path] = ()) -> list[str]:
    """The lines that a sandboxed shell's `script` says."""
    wrapping = Wrapping(inside=Inside.BUBBLEWRAP, sandbox=options(sandbox, room, private))
    command = wrap(["/bin/sh", "-c", script], wrapping, os.getpid(), find_programs())
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    assert result.returncode == 0, result
    return result.stdout.decode().splitlines()


def test_nothing_of_the_system_can_be_written() -> None:
    attempt = "for d in / /etc /usr /var /home; do touch $d/written 2>/dev/null && echo $d; done; :"
    assert inside(attempt, Sandbox()) == []
    assert not Path("/etc/written").exists()


def test_tmp_is_there_empty_and_private(tmp_path: Path) -> None:
    assert inside("ls -A /tmp; touch /tmp/mine && ls /tmp", Sandbox()) == ["mine"]
    assert not Path("/tmp/mine").exists()


def test_what_may_be_written_is_and_stays(tmp_path: Path) -> None:
    room, chosen = tmp_path / "room", tmp_path / "chosen"
    room.mkdir()
    chosen.mkdir()
    inside(f"touch {room}/a {chosen}/b", Sandbox(writable=(str(chosen),)), room)
    assert (room / "a").exists()
    assert (chosen / "b").exists()


def test_the_runtime_directory_and_the_rooms_of_others_are_invisible(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    for room in ("1", "2"):
        (runtime / room).mkdir(parents=True)
    (runtime / "7.ledger").touch()
    seen = inside(f"ls {runtime}", Sandbox(writable=(str(tmp_path),)), runtime / "1", [runtime])
    assert seen == ["1"]


def test_what_is_hidden_looks_empty() -> None:
    assert inside("ls -A /usr/share", Sandbox(hidden=("/usr/share",))) == []


def test_without_network_nobody_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
        connect = f'{sys.executable} -I -S -c "{code}"'
        room = [Path(sys.prefix)]
        reachable = Sandbox(writable=tuple(str(each) for each in room))
        assert inside(connect, reachable) == ["0"]
        assert inside(connect, reachable.model_copy(update={"network": False})) != ["0"]


def test_it_sees_only_its_own_processes_and_has_no_capability() -> None:
    assert inside("echo /proc/[0-9]*", Sandbox()) == ["/proc/1 /proc/2"]
    assert inside("grep -c 'CapEff:.*0000000000000000' /proc/self/status", Sandbox()) == ["1"]
