"""What of a child's stderr is kept out of the log, and what goes to a file of the session's own."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.bucket import Bucket
from common.redact import REDACTED, Redactor
from supervisor.stderr import FILES_KEPT, LOGGED_AT_ONCE, StderrFile, StderrTail, open_file
from tests.supervisor.test_stderr import logging_to


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def listening(clock: Clock, *, file: StderrFile | None = None, **environment: str) -> Iterator[tuple[StderrTail, int]]:
    """A tail of a child with `environment`, and the child's end of its pipe."""
    ours, childs = os.pipe()
    tail = StderrTail(ours, "fs pid 7", Redactor(environment), clock)
    tail.file = file
    try:
        yield tail, childs
    finally:
        tail.close()
        os.close(childs)


def test_a_bucket_lets_its_size_pass_at_once_and_then_its_rate() -> None:
    bucket = Bucket(2, 0.5, now=100)
    assert [bucket.take(100) for _ in range(3)] == [True, True, False]
    assert [bucket.take(now) for now in (101, 102, 103, 104)] == [False, True, False, True]
    assert [bucket.take(1000) for _ in range(3)] == [True, True, False]


async def test_a_flood_is_kept_out_of_the_log_and_counted_but_read() -> None:
    logged: list[str] = []
    clock = Clock()
    with listening(clock) as (tail, childs), logging_to(logged.append):
        os.write(childs, b"x\n" * 1000)
        tail._read()
        assert (len(logged), tail.dropped, tail.bytes) == (LOGGED_AT_ONCE, 1000 - LOGGED_AT_ONCE, 2000)
        clock.now = 1
        os.write(childs, b"calm\n")
        tail._read()
        assert logged[LOGGED_AT_ONCE:] == [
            "fs pid 7 stderr: 800 lines came too fast and are not in this log",
            "fs pid 7 stderr: calm",
        ]
        assert tail.tail(2) == ["x", "calm"]


async def test_what_a_last_flood_dropped_is_told_at_the_end() -> None:
    logged: list[str] = []
    with listening(Clock()) as (tail, childs), logging_to(logged.append):
        os.write(childs, b"x\n" * 300)
        tail.close()
        assert logged[-1] == "fs pid 7 stderr: 100 lines came too fast and are not in this log"
        tail.close()
        assert len(logged) == 201


async def test_no_secret_reaches_the_log_or_the_tail() -> None:
    logged: list[str] = []
    with listening(Clock(), GITHUB_TOKEN="hunter22") as (tail, childs), logging_to(logged.append):
        os.write(childs, b"with hunter22\n-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----\nand hunt")
        os.write(childs, b"er22")
        tail.close()
        assert tail.tail(9) == [f"with {REDACTED}", REDACTED, f"and {REDACTED}"]
        assert [line.removeprefix("fs pid 7 stderr: ") for line in logged] == [f"with {REDACTED}", *[REDACTED] * 3]


async def test_a_secret_that_the_end_of_a_long_line_cuts_in_two_is_not_shown() -> None:
    with listening(Clock(), GITHUB_TOKEN="hunter22") as (tail, childs):
        os.write(childs, b"x" * 1993 + b"hunter22 and more\n")
        tail.close()
        assert tail.tail(1) == ["x" * 1993 + REDACTED]


async def test_a_key_that_began_before_the_last_lines_is_one() -> None:
    with listening(Clock()) as (tail, childs):
        os.write(childs, b"one\n-----BEGIN PRIVATE KEY-----\nMIIEow\nMIIEow\n-----END PRIVATE KEY-----\ntwo\n")
        tail.close()
        assert tail.tail(3) == ["[redacted]", "two"]
        assert tail.tail(1) == ["two"]


async def test_a_key_that_never_ends_hides_the_log_for_a_while_only() -> None:
    logged: list[str] = []
    clock = Clock()
    with listening(clock) as (tail, childs), logging_to(logged.append):
        os.write(childs, b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEow\n" * 199)
        tail._read()
        clock.now = 10
        os.write(childs, b"in the clear\n")
        tail._read()
        assert logged[-1] == "fs pid 7 stderr: in the clear"
        assert {line.removeprefix("fs pid 7 stderr: ") for line in logged[:-1]} == {REDACTED}


async def test_all_of_it_goes_to_the_sessions_file_without_secrets(tmp_path: Path) -> None:
    file = open_file(tmp_path / "stderr", "fs-1")
    with listening(Clock(), file=file, A_KEY="hunter22") as (tail, childs):
        os.write(childs, b"x\n" * 300 + b"hunter22\nhalf")
        tail.close()
    path = tmp_path / "stderr" / "fs-1.log"
    assert path.read_text() == "x\n" * 300 + f"{REDACTED}\nhalf\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_has_grown_large_is_put_aside_once(tmp_path: Path) -> None:
    file = StderrFile(tmp_path / "fs.log", size=10)
    for word in ("first", "second", "third", "fourth"):
        file.write([word])
    file.close()
    file.close()
    file.write(["too late"])
    assert (tmp_path / "fs.log").read_text() == "fourth\n"
    assert (tmp_path / "fs.log.1").read_text() == "third\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_takes_no_more_is_given_up_and_said(tmp_path: Path) -> None:
    logged: list[str] = []
    directory = tmp_path / "gone"
    directory.mkdir()
    file = StderrFile(directory / "fs.log", size=10)
    file.write(["first one"])
    file.path.unlink()
    directory.rmdir()
    with logging_to(logged.append):
        file.write(["second"])
        file.write(["third"])
    assert logged == [f"{directory / 'fs.log'} is given up: No such file or directory"]


def test_who_left_a_link_in_its_place_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "fs.log").symlink_to(tmp_path / "victim")
    assert open_file(tmp_path, "fs") is None
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("directory", [None, Path("/dev/null/x")])
def test_without_a_directory_there_is_no_file(directory: Path | None) -> None:
    assert open_file(directory, "fs") is None


def test_the_oldest_files_are_removed(tmp_path: Path) -> None:
    for number in range(FILES_KEPT + 3):
        path = tmp_path / f"fs-{number}.log"
        path.touch()
        os.utime(path, (number, number))
    (tmp_path / "fs-0.log.1").touch()
    file = open_file(tmp_path, "fs-new")
    assert file is not None
    file.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == FILES_KEPT
    assert not left & {"fs-0.log", "fs-0.log.1", "fs-1.log", "fs-2.log", "fs-3.log"}
    assert {"fs-4.log", "fs-new.log"} < left
