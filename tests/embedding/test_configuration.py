"""What a program gives for a configuration, and how its supervisor gets it."""

import os
from pathlib import Path

import pytest

from common.config.load import load
from common.config.source import ConfigError
from embedding.configuration import checked

SERVERS = {"fs": {"command": "run", "args": ["üß", 8080, "a: b", "\u2028"], "env": {"TOKEN": "s3cret"}}}


def test_a_dict_says_what_the_same_file_says_and_becomes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    config = checked({"servers": {"fs": {**SERVERS["fs"], "path": Path("there")}}, "allowed_hosts": ("a.example",)})
    assert "s3cret" not in repr(config)
    with config.given() as (path, (fd,)):
        settings = load(Path(path))
        with pytest.raises(PermissionError):
            os.write(fd, b"more")
    spec = settings.supervisor.servers["fs"]
    assert spec.args == ("üß", "8080", "a: b", "\u2028")
    assert spec.path == str(tmp_path / "there")
    assert settings.gateway.allowed_hosts == ("a.example",)
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


def test_every_mistake_in_a_dict_is_told_by_its_key_and_no_value_is() -> None:
    with pytest.raises(ConfigError) as told:
        checked({"prot": 1, "servers": {"fs": {"comand": "s3cret", "command": "run"}}})
    assert str(told.value).splitlines() == [
        "configuration: prot: unknown key; did you mean 'port'?",
        "configuration: servers.fs.comand: unknown key; did you mean 'command'?",
    ]


def test_a_file_with_a_mistake_or_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError, match="config.yaml: cannot be read"):
        checked(path)
    path.write_text("servers:\n  fs: {}\n")
    with pytest.raises(ConfigError, match="config.yaml:2: servers.fs.command"):
        checked(str(path))


@pytest.mark.parametrize("config", [None, 7, ["servers"], {"servers": {"fs": {"command": object()}}}])
def test_what_could_be_no_configuration_is_a_type_error(config: object) -> None:
    with pytest.raises(TypeError, match="expected"):
        checked(config)  # type: ignore[arg-type] # that is the point
