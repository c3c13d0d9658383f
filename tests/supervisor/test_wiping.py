"""Wiping and measuring what somebody hostile has made."""

import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from supervisor import wiping
from supervisor.wiping import measure, seal, wipe

MANY = 100_000
DEEP = 3_000
ENOUGH = 1 << 40


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A directory to be wiped, beside one that is not."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    directory = tmp_path / "room"
    directory.mkdir()
    return directory


def closed_directories(room: Path) -> None:
    """Directories of mode 000, one within the other."""
    (room / "a" / "b").mkdir(parents=True)
    (room / "a" / "b" / "file").touch()
    (room / "a" / "b").chmod(0)
    (room / "a").chmod(0)
    room.chmod(0)


def links_out_of_the_room(room: Path) -> None:
    """Symbolic links to files and directories elsewhere, and to themselves, and a hard link."""
    outside = room.parent / "outside"
    (room / "directory").symlink_to(outside)
    (room / "file").symlink_to(outside / "precious")
    (room / "loop").symlink_to(room / "loop")
    (room / "up").symlink_to("..")
    (room / "hard").hardlink_to(outside / "precious")


def special_files(room: Path) -> None:
    """What blocks whoever opens it."""
    os.mkfifo(room / "fifo", 0)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(room / "socket"))


def strange_names(room: Path) -> None:
    """Names that are no text, look like options, or are as long as can be."""
    for name in (b"\xff\xfe", b"-rf", b"\n", b" ", b"x" * 255, b"..."):
        Path(os.fsdecode(os.path.join(os.fsencode(room), name))).mkdir()  # noqa: PTH118 - bytes


def a_great_depth(room: Path) -> None:
    """Deeper than any path can say, with files on the way."""
    inside = os.open(room, os.O_PATH)
    for level in range(DEEP):
        os.mkdir("d" * 100, 0o700, dir_fd=inside)
        below = os.open("d" * 100, os.O_PATH, dir_fd=inside)
        os.close(inside)
        inside = below
        if level % 100 == 0:
            os.symlink("/", "root", dir_fd=inside)
    os.close(inside)


def unchangeable_files(room: Path) -> None:
    """Files and directories with the flags that not even root may change, where the file system has them."""
    (room / "within").mkdir()
    (room / "within" / "file").touch()
    # Where the file system has no such flags, they are two plain files.
    for path, flag in ((room / "within" / "file", 0x10), (room / "within", 0x20)):
        fd = os.open(path, os.O_RDONLY)
        with suppress(OSError):
            fcntl.ioctl(fd, 0x40086602, struct.pack("i", flag))
        os.close(fd)


def sealed_directory(room: Path) -> None:
    """One that was taken from its child."""
    os.chown(room, 600_000, 600_000)
    (room / "file").touch()
    seal(room)
    assert room.stat().st_uid == os.geteuid()


@pytest.mark.parametrize(
    "fill",
    [
        closed_directories,
        links_out_of_the_room,
        special_files,
        strange_names,
        a_great_depth,
        unchangeable_files,
        sealed_directory,
    ],
)
def test_whatever_a_child_leaves_is_wiped_and_nothing_else(room: Path, fill: Callable[[Path], None]) -> None:
    fill(room)
    wipe(room)
    assert not room.exists()
    assert [each.name for each in room.parent.iterdir()] == ["outside"]
    assert (room.parent / "outside" / "precious").read_text() == "kept"


def test_what_an_unprivileged_supervisor_is_left_with_is_wiped_too(room: Path) -> None:
    (room / "a" / "b").mkdir(parents=True)
    (room / "a" / "b" / "file").touch()
    for path in (room.parent, room, room / "a", room / "a" / "b", room / "a" / "b" / "file"):
        os.chown(path, 65534, 65534)
    pid = os.fork()  # what was imported may be closed to a user who is not root
    if pid == 0:
        try:
            _measure_and_wipe_as_nobody(room.parent)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not room.exists()


def _measure_and_wipe_as_nobody(directory: Path) -> None:
    os.chdir(directory)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    closed_directories_below = ("room/a/b", "room/a", "room")
    for each in closed_directories_below:
        Path(each).chmod(0)
    assert measure(Path("room"), ENOUGH) >= 3 * 4096
    for each in closed_directories_below:
        Path(each).chmod(0)
    wipe(Path("room"))


@pytest.mark.slow
def test_a_hundred_thousand_files_are_wiped(room: Path) -> None:
    for number in range(MANY):
        os.close(os.open(room / str(number), os.O_CREAT | os.O_WRONLY))
    assert measure(room, ENOUGH) >= MANY * 4096
    wipe(room)
    assert not room.exists()


def test_what_is_not_there_is_wiped_already(tmp_path: Path) -> None:
    wipe(tmp_path / "nothing")


def test_a_link_in_the_place_of_a_room_is_not_followed(room: Path) -> None:
    room.rmdir()
    room.symlink_to(room.parent / "outside")
    with pytest.raises(NotADirectoryError):
        wipe(room)
    assert (room.parent / "outside" / "precious").exists()


# Measuring.


def test_each_entry_takes_a_block_at_least(room: Path) -> None:
    (room / "empty").touch()
    (room / "link").symlink_to("/")
    (room / "directory").mkdir()
    assert measure(room, ENOUGH) == 3 * 4096


def test_what_is_allocated_counts_and_not_what_is_only_claimed(room: Path) -> None:
    (room / "real").write_bytes(b"x" * 1_000_000)
    os.truncate(_touched(room / "sparse"), 1 << 40)
    assert 1_000_000 <= measure(room, ENOUGH) < 2_000_000


def test_a_file_with_two_names_counts_once(room: Path) -> None:
    (room / "one").write_bytes(b"x" * 1_000_000)
    (room / "two").hardlink_to(room / "one")
    assert measure(room, ENOUGH) < 2_000_000


def test_what_a_link_points_to_does_not_count(room: Path) -> None:
    (room.parent / "outside" / "big").write_bytes(b"x" * 1_000_000)
    (room / "link").symlink_to(room.parent / "outside")
    assert measure(room, ENOUGH) == 4096


def test_what_is_hidden_in_a_closed_directory_counts(room: Path) -> None:
    (room / "hidden").mkdir()
    (room / "hidden" / "big").write_bytes(b"x" * 1_000_000)
    (room / "hidden").chmod(0)
    assert measure(room, ENOUGH) >= 1_000_000


def test_it_stops_once_it_is_enough(room: Path) -> None:
    for number in range(100):
        (room / str(number)).touch()
    assert measure(room, 10 * 4096) == 11 * 4096


def test_what_is_nested_too_deeply_to_be_measured_is_too_much(room: Path) -> None:
    a_great_depth(room)
    assert measure(room, ENOUGH) > ENOUGH
    wipe(room)


def test_a_room_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert measure(tmp_path / "nothing", ENOUGH) == 0


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("mode", [0o777, 0o007, 0])
def test_what_a_child_opened_to_everybody_is_closed_to_everybody(room: Path, mode: int) -> None:
    os.chown(room, 600_000, 600_000)
    room.chmod(mode)
    seal(room)
    status = room.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o700)


def test_more_entries_than_are_looked_at_in_one_go(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiping, "_AT_ONCE", 7)
    for number in range(50):
        (room / str(number) / "within").mkdir(parents=True)
    top = os.open(room, os.O_RDONLY)
    assert len(wiping._names(top)) == 7
    os.close(top)
    wipe(room)
    assert not room.exists()
