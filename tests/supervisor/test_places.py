"""Where the supervisor keeps what is its own, and what it refuses."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.config.model import Debug, SupervisorSettings
from supervisor.places import PlaceError, runtime_directory, sessions_directory


def settings(**keys: str) -> SupervisorSettings:
    """Settings with these places."""
    return SupervisorSettings.model_validate({"debug": Debug(), "max_sessions": 9, "servers": {}, **keys})


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def mode(path: Path) -> int:
    """Who may do what."""
    return path.stat().st_mode & 0o777


def test_the_runtime_directory_is_the_configured_one_then_systemds_then_the_users(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path / 'one'}:{tmp_path / 'two'}", "XDG_RUNTIME_DIR": str(tmp_path / "xdg")}
    own = settings(runtime_dir=str(tmp_path / "own"))
    assert runtime_directory(own, environ) == tmp_path / "own"
    assert runtime_directory(settings(), environ) == tmp_path / "one"
    del environ["RUNTIME_DIRECTORY"]
    assert runtime_directory(settings(), environ) == tmp_path / "xdg" / "mcp-gateway"
    assert mode(tmp_path / "own") == mode(tmp_path / "one") == mode(tmp_path / "xdg" / "mcp-gateway") == 0o700


def test_without_any_of_them_it_is_a_directory_of_the_users_own_in_tmp() -> None:
    assert runtime_directory(settings(), {}) == Path(f"/tmp/mcp-gateway-{os.geteuid()}")


def test_a_directory_that_is_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(PlaceError) as caught:
        runtime_directory(settings(runtime_dir=str(tmp_path)), {})
    assert str(caught.value) == (
        f"{tmp_path} is open to others; close it (chmod 700), or give 'runtime_dir' another directory"
    )


def test_a_directory_that_is_somebody_elses_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir(0o700)
    os.chown(directory, 600_000, 600_000)
    with pytest.raises(PlaceError, match="belongs to user 600000; give 'runtime_dir' a directory of your own"):
        runtime_directory(settings(runtime_dir=str(directory)), {})


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_is_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to(tmp_path)
    with pytest.raises(PlaceError, match="give 'runtime_dir' another"):
        runtime_directory(settings(runtime_dir=str(place)), {})


def test_rooms_are_below_the_runtime_directory_unless_told_otherwise(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "STATE_DIRECTORY": str(tmp_path / "state")}
    own = settings(sessions_dir=str(tmp_path / "own"))
    assert sessions_directory(own, other_users=False, environ=environ) == tmp_path / "own"
    assert sessions_directory(settings(), other_users=False, environ=environ) == tmp_path / "state" / "sessions"
    del environ["STATE_DIRECTORY"]
    rooms = sessions_directory(settings(), other_users=False, environ=environ)
    assert rooms == tmp_path / "mcp-gateway" / "sessions"
    assert mode(rooms) == 0o700


def test_other_users_can_pass_through_to_their_rooms_but_not_look_around(reachable: Path) -> None:
    rooms = sessions_directory(settings(sessions_dir=str(reachable / "rooms")), other_users=True, environ={})
    assert mode(rooms) == 0o711


def test_where_other_users_cannot_reach_their_rooms_it_is_told_before_anything_starts(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(PlaceError, match=r"cannot reach .*rooms, because .* is closed to them; give 'sessions_dir'"):
        sessions_directory(settings(sessions_dir=str(tmp_path / "rooms")), other_users=True, environ={})


def test_rooms_where_others_may_write_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(PlaceError, match="give 'sessions_dir' another directory"):
        sessions_directory(settings(sessions_dir=str(tmp_path)), other_users=False, environ={})
