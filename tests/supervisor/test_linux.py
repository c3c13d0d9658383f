"""What /proc says of a process, whoever's it is."""

import os
import resource

from supervisor.linux import look, take_census
from supervisor.spawn import _inherited_tag
from supervisor.tags import make_tag
from tests.support.parents import NOBODY, as_user, parent_of

TAG = make_tag(7, 1)


def tag_of(pid: int) -> str:
    seen = look(pid)
    return "gone" if seen is None else str(seen.tag)


def test_a_process_that_is_not_there_is_none() -> None:
    assert look(1 << 22) is None


def test_this_process_is_seen() -> None:
    seen = look(os.getpid())
    assert seen is not None
    assert (seen.ppid, seen.pgid, seen.sid) == (os.getppid(), os.getpgid(0), os.getsid(0))
    assert seen.alive
    assert seen.tag == resource.getrlimit(resource.RLIMIT_RTTIME)[0]
    assert take_census()[os.getpid()] == seen


def test_a_tag_is_read_also_of_another_users_process() -> None:
    with _inherited_tag(TAG), parent_of(lambda _: ["/bin/sleep", "1000"]) as parent:
        assert as_user(NOBODY, lambda: tag_of(parent.pid)) == str(TAG)


def test_where_another_users_process_has_no_tag_that_is_known_too() -> None:
    assert as_user(NOBODY, lambda: tag_of(os.getppid())) == "-1"


def test_the_command_may_hold_spaces_and_parentheses() -> None:
    rename = "exec 3> /proc/$$/comm; echo 'a) (b' >&3; echo ready; read -r _"
    with parent_of(lambda _: ["/bin/sh", "-c", rename]) as parent:
        assert parent.line() == "ready"
        seen = look(parent.child)
        assert seen is not None
        assert seen.ppid == parent.pid
