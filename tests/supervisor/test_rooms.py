"""A session's room: made, given, taken back, wiped; and what an earlier run left."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.config.model import SupervisorSettings
from supervisor import wiping
from supervisor.environment import child_environment, for_session
from supervisor.places import PlaceError, sessions_directory
from supervisor.rooms import Room, Rooms, wipe_leftovers
from supervisor.users import AllInUse, Identity
from tests.supervisor.test_users import in_range, spec

RANGE = in_range()
ROOM = Room(Path("/rooms/1"))


@pytest.fixture
def settings() -> Iterator[SupervisorSettings]:
    """Two servers, one with a user id for each session, in a place that everybody can reach."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        servers = {"own": spec(in_range("123"), "own"), "fs": spec(in_range().model_copy(update={"uid_range": None}))}
        keys = {"debug": {}, "max_sessions": 9, "servers": {}, "sessions_dir": f"{directory}/sessions"}
        yield SupervisorSettings.model_validate(keys).model_copy(update={"servers": servers})


@pytest.fixture
def rooms(settings: SupervisorSettings) -> Iterator[Rooms]:
    """An empty base."""
    made = Rooms(settings, {})
    yield made
    made.close()


def owners(room: Room) -> set[tuple[int, int, int]]:
    """Whose its directories are, and how closed."""
    statuses = [path.stat() for path in (room.path, room.home, room.tmp, room.work)]
    return {(status.st_uid, status.st_gid, status.st_mode & 0o7777) for status in statuses}


async def test_a_room_is_its_childs_alone_and_goes_with_it(rooms: Rooms, settings: SupervisorSettings) -> None:
    room = rooms.make(settings.servers["own"])
    assert room.identity is not None
    assert owners(room) == {(room.identity.uid, 123, 0o700)}
    rooms.close_room(room)
    assert room.path.stat().st_uid == os.geteuid()
    await rooms.wipe(room)
    assert list(rooms.base.iterdir()) == []
    assert rooms.unwiped == 0


async def test_a_room_of_the_supervisors_own_user(rooms: Rooms, settings: SupervisorSettings) -> None:
    room = rooms.make(settings.servers["fs"])
    assert owners(room) == {(os.geteuid(), os.getegid(), 0o700)}
    rooms.close_room(room)
    await rooms.wipe(room)


def test_a_room_in_which_nothing_was_left_goes_at_once(rooms: Rooms, settings: SupervisorSettings) -> None:
    room = rooms.make(settings.servers["own"])
    rooms.close_room(room)
    assert rooms.remove_empty(room)
    assert list(rooms.base.iterdir()) == []


@pytest.mark.parametrize("left", ["home/file", "work/.hidden", "file"])
async def test_one_in_which_something_was_left_has_to_be_wiped(
    rooms: Rooms, settings: SupervisorSettings, left: str
) -> None:
    room = rooms.make(settings.servers["own"])
    (room.path / left).touch()
    rooms.close_room(room)
    assert not rooms.remove_empty(room)
    assert (room.path / left).exists()
    await rooms.wipe(room)
    assert list(rooms.base.iterdir()) == []


async def test_one_that_has_held_much_is_not_looked_through_while_others_wait(
    rooms: Rooms, settings: SupervisorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiping, "_SMALL", -1)  # how large one that was emptied stays is the file system's
    room = rooms.make(settings.servers["own"])
    rooms.close_room(room)
    assert not rooms.remove_empty(room)
    assert room.home.is_dir()
    await rooms.wipe(room)
    assert list(rooms.base.iterdir()) == []


@pytest.mark.parametrize("within", ["", "home"])
async def test_no_link_is_followed_when_an_empty_room_goes(
    rooms: Rooms, settings: SupervisorSettings, tmp_path: Path, within: str
) -> None:
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    room = rooms.make(settings.servers["fs"])
    link = room.path / within
    for each in (room.home, room.tmp, room.work, room.path):
        if each == link or not within:
            each.rmdir()
    link.symlink_to(tmp_path)
    assert not rooms.remove_empty(room)
    assert all((tmp_path / name).is_dir() for name in ("home", "tmp", "work"))
    link.unlink()
    await rooms.wipe(room)


async def test_a_user_id_is_free_again_once_its_room_was_taken_back(rooms: Rooms, settings: SupervisorSettings) -> None:
    made = [rooms.make(settings.servers["own"]) for _ in range(3)]
    with pytest.raises(AllInUse):
        rooms.make(settings.servers["own"])
    rooms.close_room(made[1])
    made[1] = rooms.make(settings.servers["own"])
    for room in made:
        rooms.close_room(room)
    for path in tuple(rooms.base.iterdir()):
        await rooms.wipe(Room(path))


async def test_the_user_id_of_a_room_that_cannot_be_taken_back_is_given_to_nobody_else(
    rooms: Rooms, settings: SupervisorSettings
) -> None:
    made = [rooms.make(settings.servers["own"]) for _ in range(3)]
    for each in (made[0].home, made[0].tmp, made[0].work, made[0].path):
        each.rmdir()
    made[0].path.symlink_to("/tmp")
    rooms.close_room(made[0])
    with pytest.raises(AllInUse):
        rooms.make(settings.servers["own"])
    made[0].path.unlink()
    for room in made[1:]:
        rooms.close_room(room)
        await rooms.wipe(room)


def test_whatever_the_umask_is_children_of_other_users_reach_their_rooms(settings: SupervisorSettings) -> None:
    before = os.umask(0o077)
    try:
        made = Rooms(settings, {})
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (made.base, made.base.parent)] == [0o711, 0o711]
    made.close()


async def test_a_room_that_cannot_be_made_leaves_nothing(rooms: Rooms, settings: SupervisorSettings) -> None:
    rooms.base.rmdir()
    for _ in range(9):
        with pytest.raises(FileNotFoundError):
            rooms.make(settings.servers["own"])
    rooms.base.mkdir(0o711)
    made = rooms.make(settings.servers["own"])
    rooms.close_room(made)
    await rooms.wipe(made)


async def test_a_room_that_cannot_be_wiped_is_counted(rooms: Rooms, settings: SupervisorSettings) -> None:
    room = rooms.make(settings.servers["fs"])
    rooms.close_room(room)
    (rooms.base / "file").touch()
    await rooms.wipe(Room(rooms.base / "file"))
    assert rooms.unwiped == 1
    (rooms.base / "file").unlink()
    await rooms.wipe(room)


def test_the_base_goes_with_the_run(settings: SupervisorSettings) -> None:
    made = Rooms(settings, {})
    made.close()
    assert not made.base.exists()


def test_a_new_configuration_may_not_ask_for_users_who_cannot_reach_the_rooms(
    settings: SupervisorSettings,
) -> None:
    without = settings.model_copy(update={"servers": {"fs": settings.servers["fs"]}})
    for first, then in ((settings, without), (without, settings)):
        made = Rooms(first, {})
        if first is settings:
            made.take_over(then)
        else:
            with pytest.raises(PlaceError, match="restart the supervisor"):
                made.take_over(then)
        made.close()


# What an earlier run left.


def test_what_a_dead_run_left_is_wiped(rooms: Rooms) -> None:
    dead = rooms.base.parent / "run-dead"
    (dead / "room" / "home").mkdir(parents=True)
    assert wipe_leftovers(dead) == 1
    assert not dead.exists()
    assert wipe_leftovers(dead) == 0


def test_what_a_living_run_has_is_left_alone(rooms: Rooms, settings: SupervisorSettings) -> None:
    room = rooms.make(settings.servers["fs"])
    assert wipe_leftovers(rooms.base) == 0
    assert room.work.is_dir()
    rooms.close_room(room)
    assert wipe_leftovers(room.path) == 0
    for each in (room.home, room.tmp, room.work, room.path):
        each.rmdir()


def test_nothing_but_a_runs_base_is_taken_for_one(settings: SupervisorSettings) -> None:
    directory = sessions_directory(settings, other_users=True, environ={})
    (directory / "others").mkdir()
    assert wipe_leftovers(directory / "others") == 0
    assert (directory / "others").is_dir()


# What a child is given there.


def environment(
    environ: dict[str, str], room: Room = ROOM, env: dict[str, str] | None = None, **keys: Any
) -> dict[str, str]:
    """The environment of a child in `room`, on a server with `env` and other keys of its isolation."""
    server = spec(in_range().model_copy(update={"uid_range": None, **keys})).model_copy(update={"env": env or {}})
    return child_environment(server, environ, room)


PRIVATE = {
    "HOME": "/rooms/1/home",
    "TMPDIR": "/rooms/1/tmp",
    "TMP": "/rooms/1/tmp",
    "TEMP": "/rooms/1/tmp",
    "XDG_CACHE_HOME": "/rooms/1/home/.cache",
    "XDG_CONFIG_HOME": "/rooms/1/home/.config",
    "XDG_DATA_HOME": "/rooms/1/home/.local/share",
    "XDG_STATE_HOME": "/rooms/1/home/.local/state",
}
TEMPORARY = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), "/rooms/1/tmp")


def test_a_child_inherits_the_few_variables_that_programs_need() -> None:
    needed = {"PATH": "/p", "LANG": "C", "LC_ALL": "C.UTF-8", "TZ": "UTC", "USER": "u"}
    assert environment({**needed, "HOME": "/h", "TMPDIR": "/t"}) == {**needed, **PRIVATE}


@pytest.mark.parametrize(
    "secret", ["MCP_GATEWAY_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "PYTHONPATH", "LD_PRELOAD", "LC", "home"]
)
def test_a_child_inherits_nothing_else(secret: str) -> None:
    assert environment({"PATH": "/p", secret: "hunter2"}) == {"PATH": "/p", **PRIVATE}


def test_a_child_inherits_what_the_configuration_names() -> None:
    inherited = environment(
        {"PATH": "/p", "HTTPS_PROXY": "http://p", "OTHER": "x"}, inherit_env=("HTTPS_PROXY", "NONE")
    )
    assert inherited == {"PATH": "/p", "HTTPS_PROXY": "http://p", **PRIVATE}


def test_a_servers_own_variables_are_added_and_win() -> None:
    own = environment({"PATH": "/p", "HOME": "/h"}, env={"TOKEN": "t", "HOME": "/elsewhere"})
    assert own == {"PATH": "/p", **PRIVATE, "HOME": "/elsewhere", "TOKEN": "t"}


def test_there_is_always_a_path() -> None:
    assert environment({}) == {"PATH": os.defpath, **PRIVATE}


def test_a_home_that_is_inherited_is_the_supervisors_and_what_is_temporary_is_the_sessions() -> None:
    assert environment({"PATH": "/p", "HOME": "/h", "TMPDIR": "/t"}, home="inherit") == {
        "PATH": "/p",
        "HOME": "/h",
        **TEMPORARY,
    }


def test_another_user_has_a_name_and_a_home_of_its_own() -> None:
    named, unnamed = Identity(5, 5, "ann", "/home/ann"), Identity(600_000, 600_000)
    supervisors = {"PATH": "/p", "USER": "root", "LOGNAME": "root", "HOME": "/root"}
    ann = {"PATH": "/p", "USER": "ann", "LOGNAME": "ann"}
    assert environment(supervisors, Room(ROOM.path, named)) == {**ann, **PRIVATE}
    assert environment(supervisors, Room(ROOM.path, named), home="inherit") == {
        **ann,
        "HOME": "/home/ann",
        **TEMPORARY,
    }
    assert environment(supervisors, Room(ROOM.path, unnamed))["USER"] == "600000"


def test_a_child_starts_in_its_servers_path_or_in_its_room() -> None:
    server = spec(RANGE)
    assert for_session(server, ROOM).path == "/rooms/1/work"
    assert for_session(server.model_copy(update={"path": "/srv"}), ROOM).path == "/srv"
    assert for_session(server.model_copy(update={"path": "\0session.tmp\0/x"}), ROOM).path == "/rooms/1/tmp/x"


def test_the_rooms_paths_are_filled_in_once() -> None:
    server = spec(RANGE).model_copy(
        update={
            "args": ("--in=\0session.work\0", "${session.dir}"),
            "env": {"DATA": "\0session.home\0:\0session.dir\0"},
        }
    )
    filled = for_session(server, ROOM)
    assert filled.args == ("--in=/rooms/1/work", "${session.dir}")
    assert filled.env == {"DATA": "/rooms/1/home:/rooms/1"}
