"""The socket that systemd hands over."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.activation import inherited_listener, uid_of

TAKE = """
import os, sys
from supervisor.activation import ActivationError, inherited_listener
if "foreign" not in sys.argv:
    os.environ["LISTEN_PID"] = str(os.getpid())
try:
    listener = inherited_listener()
except ActivationError as error:
    print(error)
else:
    print(listener and (listener.getsockname(), listener.get_inheritable()))
print([name for name in os.environ if name.startswith("LISTEN_")])
"""

HAND_OVER = """
import os, socket, sys
kind, path, take, *arguments = sys.argv[1:]
if kind in ("listening", "many"):
    given = socket.socket(socket.AF_UNIX); given.bind(path); given.listen()
elif kind == "deaf":
    given = socket.socket(socket.AF_UNIX)
elif kind == "tcp":
    given = socket.create_server(("127.0.0.1", 0))
else:
    given = open(os.devnull)
fd = os.dup(given.fileno()) if given.fileno() == 3 else given.fileno()
os.dup2(fd, 3, inheritable=True)
os.environ |= {"LISTEN_FDS": "2" if kind == "many" else "1", "LISTEN_FDNAMES": "x", "LISTEN_PID": "1"}
os.execv(sys.executable, [sys.executable, "-c", take, *arguments])
"""


def handed_over(kind: str, path: Path, *arguments: str) -> list[str]:
    """What a program says that was handed this."""
    command = [sys.executable, "-c", HAND_OVER, kind, str(path), TAKE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_it_is_taken_and_children_learn_nothing_of_it(tmp_path: Path) -> None:
    assert handed_over("listening", tmp_path / "s") == [f"('{tmp_path / 's'}', False)", "[]"]


def test_what_is_meant_for_another_process_is_left_alone(tmp_path: Path) -> None:
    assert handed_over("listening", tmp_path / "s", "foreign") == ["None", "[]"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("many", "expected one socket from the service manager, and got 2"),
        ("deaf", "expected a Unix stream socket that listens (ListenStream=) from the service manager"),
        ("tcp", "expected a Unix stream socket that listens (ListenStream=) from the service manager"),
        ("file", "what the service manager handed over is no socket: Socket operation on non-socket"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, kind: str, said: str) -> None:
    assert handed_over(kind, tmp_path / "s") == [said, "[]"]


def test_without_one_there_is_none() -> None:
    assert inherited_listener({}) is None


def test_a_user_is_a_name_or_a_number() -> None:
    assert uid_of("12") == 12
    assert uid_of(pwd.getpwuid(os.geteuid()).pw_name) == os.geteuid()
    with pytest.raises(ValueError, match="there is no user 'nobody-of-that-name'"):
        uid_of("nobody-of-that-name")
