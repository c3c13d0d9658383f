"""The path of the control socket: what may be there, and what is not touched."""

import socket
from pathlib import Path

import pytest

from supervisor.listening import SocketError, listen


def test_what_is_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    path = tmp_path / "run" / "control.sock"
    path.write_text("precious")
    with pytest.raises(SocketError, match="is in the way: it is no socket"):
        listen(path)
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_bound_is_named(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match="cannot be bound: AF_UNIX path too long"):
        listen(tmp_path / "run" / ("x" * 108))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """It was an error of our own, with all the calls that led to it."""
    (tmp_path / "file").touch()
    with pytest.raises(SocketError, match="/file/run cannot be made: Not a directory"):
        listen(tmp_path / "file" / "run" / "control.sock")


def test_a_socket_that_cannot_be_asked_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    path = tmp_path / "run" / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(SocketError, match="is in the way: "):
            listen(path)


def test_a_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    with pytest.raises(SocketError, match="is open to others; expected a directory of your own with mode 0700"):
        listen(tmp_path / "run" / "control.sock")


def test_a_socket_that_a_dead_supervisor_left_is_replaced_and_one_that_answers_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    listen(path).close()
    with listen(path):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(SocketError, match="another supervisor already answers at "):
            listen(path)
