"""Lines get into the audit file, or are lost and counted; nobody waits for either."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loguru import logger

from gateway import auditfile
from gateway.auditfile import Appender, AuditFile, CannotWrite
from tests.support.processes import PATIENCE


@contextmanager
def said() -> Iterator[list[str]]:
    """What the log says meanwhile."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message).strip()), format="{message}")
    yield lines
    logger.remove(sink)


def test_lines_are_appended_in_order_to_a_file_that_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for lines in (range(100), range(100, 200)):
        file = AuditFile(Appender(str(path)))
        for number in lines:
            file.put(b"%d\n" % number)
        file.close()
    assert path.read_text().split() == [str(number) for number in range(200)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_put_away_is_followed_by_another(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    appender = Appender(str(path))
    appender.write(b"one\n")
    path.rename(old)
    appender.write(b"two\n")
    path.unlink()
    appender.write(b"three\n")
    appender.close()
    assert (old.read_text(), path.read_text()) == ("one\n", "three\n")


def test_the_rest_of_a_torn_line_is_not_the_beginning_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    appender = Appender(str(path))
    with pytest.raises(OSError, match="No space left"):
        appender.write(b"x" * 1_000_000 + b"\n")  # more than a pipe holds
    torn = os.read(reader, 1_000_000)
    appender.write(b"whole\n")
    assert (set(torn), os.read(reader, 100)) == ({ord("x")}, b"\nwhole\n")
    appender.close()
    os.close(reader)


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    with said() as lines:
        file = AuditFile(Appender("/dev/full"))
        for _ in range(3):
            file.put(b"lost\n")
        file.close()
    assert file.lost == 3
    assert lines == ["the audit log cannot be written: No space left on device; lines are lost"]


class Stuck(Appender):
    """A disk that answers when it is told to, and is full then for a while."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.reached, self.may_go_on = threading.Event(), threading.Event()
        self.refuses = 0

    def write(self, line: bytes) -> None:
        self.reached.set()
        assert self.may_go_on.wait(PATIENCE)
        if self.refuses:
            self.refuses -= 1
            raise OSError(28, "No space left on device")
        super().write(line)


def test_nobody_waits_for_a_disk_that_is_stuck_and_the_file_says_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditfile, "QUEUED", 2)
    disk = Stuck(tmp_path / "audit.jsonl")
    with said() as lines:
        file = AuditFile(disk)
        file.put(b"1\n")
        assert disk.reached.wait(PATIENCE)
        for number in range(2, 7):
            file.put(b"%d\n" % number)
        assert file.lost == 3
        disk.refuses = 2  # the first line, and what is said of those that were lost
        disk.may_go_on.set()
        file.close(PATIENCE)
    assert (tmp_path / "audit.jsonl").read_text() == '{"event":"lost","lines":5}\n3\n'
    assert lines == [
        "the audit log is written too slowly; lines are lost",
        "the audit log cannot be written: No space left on device; lines are lost",
        "the audit log is written again; 5 lines were lost in all",
    ]


def test_a_file_that_cannot_be_had_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match=r"cannot write the audit log .*absent/audit.jsonl: No such file"):
        Appender(str(tmp_path / "absent" / "audit.jsonl"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CannotWrite, match="No such device"):  # nobody reads it, and nobody waits for that
        Appender(str(tmp_path / "fifo"))
