"""What is told of the servers before anybody asks for one."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.config.model import Isolation, ServerSpec
from supervisor.fetching import is_project as _is_project
from supervisor.foresight import warnings
from tests.support.specs import server_spec


def server(command: str = "sh", path: str | None = None, **isolation: object) -> ServerSpec:
    """A server that runs as somebody else than root, unless told otherwise."""
    return server_spec(command=command, path=path, isolation=Isolation.model_validate({"user": "nobody", **isolation}))


def test_nothing_is_told_of_what_is_well() -> None:
    assert list(warnings([server(), server(path="/"), server(user=None, uid_range="600000-600009")])) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (server("nosuch"), "servers.fs.command: command 'nosuch' not found on PATH="),
        (server(path="/nosuch"), "servers.fs.path: /nosuch is not a directory; no session"),
        (server(user=None), "sessions of fs run as root; give them a user each with 'uid_range'"),
    ],
)
def test_what_will_go_wrong_is_told_with_its_key(spec: ServerSpec, expected: str) -> None:
    (said,) = warnings([spec])
    assert said.startswith(expected)


def test_a_tool_that_is_missing_is_not_told_where_what_it_would_fetch_is_there() -> None:
    missing = server("/nosuch/uvx")
    (said,) = warnings([missing], lambda _: False)
    assert said.startswith("servers.fs.command: ")
    assert list(warnings([missing], lambda spec: spec is missing)) == []


def test_a_command_that_a_sandbox_hides_is_told(tmp_path: Path) -> None:
    command = tmp_path / "run"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    hidden = {"hidden": [str(tmp_path)]}
    (said,) = warnings([server(str(command), sandbox=hidden)])
    assert said.startswith(f"servers.fs.sandbox: {command} is not seen in it")
    assert list(warnings([server(str(command), sandbox={**hidden, "writable": [str(tmp_path)]})])) == []
    assert list(warnings([server(sandbox=hidden)])) == []


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter, which pytest's own are not, with one in it that is closed to others."""
    with TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        (place / "closed").mkdir()
        yield place


@pytest.mark.parametrize("way", ["itself", "a link", "its interpreter", "env"])
def test_what_users_of_a_range_cannot_start_is_told(way: str, place: Path) -> None:
    """A clone below /root, or a Python of root's own: each session ended with 126 and "Permission denied"."""
    closed, program, script = place / "closed", place / "closed" / "program", place / "script"
    program.write_text("#!/bin/sh\n")
    script.write_text(f"#!{program} -x\n" if way == "its interpreter" else "#!/usr/bin/env -S program\n")
    (place / "link").symlink_to(program)
    for each in (program, script):
        each.chmod(0o755)
    command = {"itself": program, "a link": place / "link"}.get(way, script)
    spec = server(str(command), user=None, uid_range="600000-600009")
    spec = spec.model_copy(update={"env": {"PATH": str(closed)}})
    closed.chmod(0o755)
    assert list(warnings([spec])) == []
    closed.chmod(0o700)
    [said] = warnings([spec])
    assert said.startswith(f"servers.fs.command: the users of 'uid_range' cannot start {command}, because {closed} is")


def test_a_path_in_the_room_of_a_session_is_there_in_time(tmp_path: Path) -> None:
    from common.config.session_paths import mark

    assert list(warnings([server(path=mark("session.work"))])) == []


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that this process may not look into, while it is nobody."""
    (tmp_path / "closed" / "within").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    effective = os.geteuid(), os.getegid()
    os.setegid(pwd.getpwnam("nobody").pw_gid)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    yield tmp_path / "closed"
    os.seteuid(effective[0])
    os.setegid(effective[1])


def test_what_may_not_be_looked_at_is_told_too(closed: Path) -> None:
    [of_path] = warnings([server(path=str(closed / "within"))])
    assert of_path.endswith("is not a directory; no session of it can be started")
    [of_command] = warnings([server(str(closed / "within" / "run"))])
    assert "command" in of_command


def test_nor_does_a_project_that_may_not_be_looked_into_stop_anything(closed: Path) -> None:
    assert not _is_project(str(closed / "within"))


def test_a_path_with_a_users_name_in_it_is_there_when_its_user_comes() -> None:
    from common.config.session_paths import mark

    assert list(warnings([server("./run", path=f"/srv/{mark('user.id')}")])) == []


def test_a_server_that_is_each_users_own_cannot_stand_ready() -> None:
    from common.config.session_paths import mark

    env = {"TOKEN": mark("header:X-Token"), "ID": mark("user.id")}
    own = server().model_copy(update={"env": env, "warm": 3})
    assert list(warnings([own])) == [
        "servers.fs.warm: it is started with each user's own (the header X-Token, ${user.id}), so no child of it can "
        "stand ready; only its package does"
    ]


def test_none_of_the_forks_of_a_zygote_stands_ready() -> None:
    forked = server().model_copy(update={"zygote": True, "warm": 3})
    assert list(warnings([forked])) == [
        "servers.fs.warm: its sessions are forked from its zygote, so none stands ready; take 'warm' away"
    ]
    assert list(warnings([forked.model_copy(update={"warm": "auto"})])) == []  # which all servers may have been given
