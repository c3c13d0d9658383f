"""Who the two users are, by what the configuration allows."""

import base64
from pathlib import Path
from typing import Any

import pytest

from common.config.load import load
from doctor.pair import Pair, configured, make_pair
from tests.support.gateway import write_config

TOKENS = {"bearer": {"tokens": ["first-token", "second-token"]}}
BASIC = {"basic": {"credentials": [{"username": "front", "password": "the-password"}]}}


def pair(tmp_path: Path, *tokens: str, **keys: Any) -> Pair | None:
    path = write_config(tmp_path / "config.yaml", {**keys, "servers": {"x": {"command": "x"}}})
    return make_pair(load(path, {}).gateway, tokens)


def test_without_auth_both_are_nobody(tmp_path: Path) -> None:
    found = pair(tmp_path)
    assert found is not None
    assert not found.are_two
    assert dict(found.a.headers) == dict(found.b.headers) == {}


def test_two_credentials_are_two_users(tmp_path: Path) -> None:
    found = pair(tmp_path, auth=TOKENS)
    assert found is not None
    assert found.are_two
    assert [each.headers["Authorization"] for each in (found.a, found.b)] == [
        "Bearer first-token",
        "Bearer second-token",
    ]
    assert not found.made_up


def test_one_credential_is_one_user_twice(tmp_path: Path) -> None:
    found = pair(tmp_path, auth=BASIC)
    assert found is not None
    assert not found.are_two
    assert "trust_user_header" in found.remedy
    encoded = base64.b64encode(b"front:the-password").decode()
    assert found.a.headers == {"Authorization": f"Basic {encoded}"}


def test_a_trusted_front_speaks_for_two_users_who_never_were(tmp_path: Path) -> None:
    keys = {"auth": {**TOKENS, **BASIC}, "trust_user_header": "X-Gateway-User", "trusted_fronts": ["front"]}
    found, again = pair(tmp_path, **keys), pair(tmp_path, **keys)
    assert found is not None
    assert again is not None
    assert found.are_two
    assert found.made_up
    users = {each.headers["X-Gateway-User"] for one in (found, again) for each in (one.a, one.b)}
    assert len(users) == 4
    assert found.a.headers["Authorization"].startswith("Basic ")


def test_a_token_that_is_given_goes_before_the_files(tmp_path: Path) -> None:
    found = pair(tmp_path, "one", "two", auth=TOKENS)
    assert found is not None
    assert (found.a.headers["Authorization"], found.b.headers["Authorization"]) == ("Bearer one", "Bearer two")


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    assert "first-token" not in repr(pair(tmp_path, auth=TOKENS))
    assert "the-password" not in repr(pair(tmp_path, auth=BASIC))


@pytest.mark.parametrize(
    ("auth", "places"),
    [
        ({"bearer": {"tokens": [{"name": "a", "token": "t"}, {"name": "b", "hash": "h"}]}}, ["auth.bearer.tokens[0]"]),
        ({"bearer": {"tokens": [{"name": "a", "token": None, "file": "t"}]}}, ["auth.bearer.tokens[0]"]),
        ({"bearer": {"enabled": False, "tokens": ["t"]}}, []),
        ({"api_keys": {"keys": [{"name": "a", "hash": "h"}, {"name": "b", "key": "k"}]}}, ["auth.api_keys.keys[1]"]),
        ({"basic": {"credentials": [{"username": "a", "password": None, "password_hash": "h"}]}}, []),
        ({"bearer": None, "basic": None}, []),
    ],
)
def test_hashes_and_what_is_off_are_passed_over(auth: dict[str, Any], places: list[str]) -> None:
    assert [each.place for each in configured(auth)] == places


def test_a_key_goes_into_its_own_header() -> None:
    [key] = configured({"api_keys": {"keys": [{"name": "ci", "key": "k"}]}})
    assert (key.name, key.headers) == ("ci", {"X-API-Key": "k"})
