"""`isolation` and `linger` in the configuration file."""

from pathlib import Path
from textwrap import dedent

import pytest

from common.config.load import Settings, load
from common.config.model import GatewaySettings, ServerPolicy
from common.config.source import ConfigError

AUTH = "auth: {bearer: {tokens: [secret]}}\n"
ONE = "servers: {fs: {command: run}}\n"


def loaded(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "config.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return load(path, {})


def policy(tmp_path: Path, text: str, server: str = "fs") -> ServerPolicy:
    settings = loaded(tmp_path, text).gateway
    return GatewaySettings.model_validate_json(settings.model_dump_json()).servers[server]  # as it crosses the socket


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    return str(caught.value)


def test_by_default_each_session_has_a_child_of_its_own(tmp_path: Path) -> None:
    own = policy(tmp_path, ONE)
    assert (own.is_shared, own.sharing_headers, own.linger) == (False, (), 300.0)


@pytest.mark.parametrize(
    ("written", "shared", "headers"),
    [
        ("session", False, ()),
        ("[session]", False, ()),
        ("user", True, ()),
        ("[user]", True, ()),
        ('[user, "header:X-Conversation-Id"]', True, ("X-Conversation-Id",)),
        ('[user, "header:X-A", "header:X-B"]', True, ("X-A", "X-B")),
    ],
)
def test_what_may_be_written(tmp_path: Path, written: str, shared: bool, headers: tuple[str, ...]) -> None:
    own = policy(tmp_path, f"{AUTH}isolation: {written}\nlinger: 90s\n{ONE}")
    assert (own.is_shared, own.sharing_headers, own.linger) == (shared, headers, 90.0)


def test_a_servers_own_word_is_in_place_of_the_files(tmp_path: Path) -> None:
    text = (
        AUTH + "isolation: user\nservers: {fs: {command: run}, own: {command: run, isolation: session, linger: 1s}}\n"
    )
    assert policy(tmp_path, text).is_shared
    own = policy(tmp_path, text, "own")
    assert (own.is_shared, own.linger) == (False, 1.0)


@pytest.mark.parametrize(
    "written",
    [
        "all",
        "[]",
        "[session, user]",
        '["header:X-A"]',
        "[user, X-A]",
        "[user, user]",
        "5",
        "{user: true}",
        "null",
        "[1]",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, written: str) -> None:
    said = complaint(tmp_path, f"{AUTH}isolation: {written}\n{ONE}")
    assert "isolation" in said


@pytest.mark.parametrize("name", ["Authorization", "Mcp-Session-Id", "a b", "", "Cookie"])
def test_a_header_that_means_something_else_is_refused(tmp_path: Path, name: str) -> None:
    said = complaint(tmp_path, f'{AUTH}isolation: [user, "header:{name}"]\n{ONE}')
    assert "isolation" in said


def test_one_header_twice_is_refused(tmp_path: Path) -> None:
    said = complaint(tmp_path, f'{AUTH}isolation: [user, "header:X-A", "header:x-a"]\n{ONE}')
    assert "expected each header once" in said


def test_without_auth_there_are_no_users_to_share_anything(tmp_path: Path) -> None:
    said = complaint(tmp_path, "isolation: user\nservers: {fs: {command: run, isolation: [user]}}\n")
    first, second = said.splitlines()
    assert ":1: isolation: without 'auth'" in first
    assert ":2: servers.fs.isolation: without 'auth'" in second
