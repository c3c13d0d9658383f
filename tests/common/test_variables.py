"""Where a variable of the configuration comes from."""

from pathlib import Path

import pytest

from common.config.load import load
from common.config.source import ConfigError
from common.config.variables import look_up


def test_a_credential_with_a_zero_byte_is_a_problem_that_does_not_quote_it(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").write_bytes(b"hunter2\0")
    config = tmp_path / "config.yaml"
    config.write_text("servers:\n  one:\n    command: x\n    env: {A: '${TOKEN}'}\n")
    with pytest.raises(ConfigError, match=r":4: servers\.one\.env\.A: expected a text without zero bytes") as caught:
        load(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "hunter2" not in str(caught.value)


def test_the_environment_comes_first_then_the_credentials(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").write_text("from a file\n\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert look_up("TOKEN", environ) == "from a file\n"
    assert look_up("TOKEN", {**environ, "TOKEN": "from the environment"}) == "from the environment"
    assert look_up("OTHER", environ) is None
    assert look_up("TOKEN", {}) is None


@pytest.mark.parametrize("kind", ["directory", "bytes"])
def test_a_credential_that_cannot_be_read_is_a_problem_with_a_line(tmp_path: Path, kind: str) -> None:
    if kind == "directory":
        (tmp_path / "TOKEN").mkdir()
    else:
        (tmp_path / "TOKEN").write_bytes(b"\xff\xfe")
    config = tmp_path / "config.yaml"
    config.write_text("servers:\n  one:\n    command: x\n    env: {A: '${TOKEN}'}\n")
    with pytest.raises(ConfigError) as caught:
        load(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    said = {"directory": "cannot be read: Is a directory", "bytes": "is no text in UTF-8"}[kind]
    assert str(caught.value) == f"{config}:4: servers.one.env.A: the credential TOKEN {said}"
