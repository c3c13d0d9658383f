"""The runtime directory: which one, and that nobody else may look into it."""

import os
from pathlib import Path

import pytest

from common.config.model import Debug, SupervisorSettings
from supervisor.places import PlaceError, runtime_directory
from tests.support.parents import NOBODY


def settings(runtime_dir: Path | None = None) -> SupervisorSettings:
    directory = str(runtime_dir) if runtime_dir is not None else None
    return SupervisorSettings(debug=Debug(), max_sessions=1, runtime_dir=directory, servers={})


@pytest.fixture(autouse=True)
def nothing_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has told where to keep things."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def test_it_is_made_with_all_above_it_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert runtime_directory(settings(path)) == path
    assert path.stat().st_mode & 0o7777 == 0o700


def test_it_may_be_there_already(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    assert runtime_directory(settings(tmp_path / "run")) == tmp_path / "run"


def test_what_the_configuration_says_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    assert runtime_directory(settings()) == tmp_path / "xdg" / "mcp-gateway"
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/systemd:{tmp_path}/another")
    assert runtime_directory(settings()) == tmp_path / "systemd"
    assert runtime_directory(settings(tmp_path / "own")) == tmp_path / "own"


def test_without_any_word_it_is_in_tmp() -> None:
    assert runtime_directory(settings()) == Path(f"/tmp/mcp-gateway-{os.geteuid()}")


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
def test_one_that_is_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(PlaceError, match=f"^runtime_dir: {path} is open to others; expected .* mode 0700$"):
        runtime_directory(settings(path))


def test_somebody_elses_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(PlaceError, match="open to others"):
        runtime_directory(settings(path))


def test_a_link_to_somewhere_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(PlaceError, match="open to others"):
        runtime_directory(settings(tmp_path / "run"))


@pytest.mark.parametrize("below", ["file", "file/run"])
def test_what_cannot_be_made_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlaceError, match=f"^runtime_dir: {tmp_path}/{below} cannot be made: "):
        runtime_directory(settings(tmp_path / below))
