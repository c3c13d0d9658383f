"""`trust_user_header` and `trusted_fronts`: what is wrong with them, and where."""

from pathlib import Path

import pytest

from common.config.load import load
from common.config.source import ConfigError
from common.config.users import Users

SERVERS = "servers: {x: {command: x}}\n"
BASIC = "auth: {basic: {credentials: [{username: librechat, password: p}, {username: ann, password: p}]}}\n"
OFF = "auth: {basic: {enabled: false, credentials: [{username: librechat, password: p}]}}\n"
HEADER = "trust_user_header: X-Gateway-User\n"


def test_a_front_is_believed_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BASIC + HEADER + "trusted_fronts: [librechat]\nrequire_user: true\n" + SERVERS)
    expected = Users(trust_user_header="X-Gateway-User", trusted_fronts=("librechat",), require_user=True)
    assert load(path, {}).gateway.users == expected


@pytest.mark.parametrize(
    "auth",
    [
        "bearer: {tokens: [other, {name: librechat, token: secret}]}",
        "api_keys: {keys: [{name: librechat, key: secret}]}",
    ],
)
def test_tokens_and_keys_have_names_too(tmp_path: Path, auth: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"auth: {{{auth}}}\n{HEADER}trusted_fronts: [librechat]\n{SERVERS}")
    assert load(path, {}).gateway.users.trusted_fronts == ("librechat",)


def test_by_default_nobody_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SERVERS)
    assert load(path, {}).gateway.users == Users(trust_user_header=None, trusted_fronts=(), require_user=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER, "1: trust_user_header: without 'auth' anybody could write this header; expected 'auth', and a key for"),
        (HEADER + "trusted_fronts: [x]\n", "1: trust_user_header: without 'auth' anybody could write this header"),
        (OFF + HEADER + "trusted_fronts: [librechat]\n", "2: trust_user_header: without 'auth' anybody could write"),
        (BASIC + HEADER, "2: trust_user_header: expected 'trusted_fronts', with the names of the keys that are believed"),
        (BASIC + HEADER + "trusted_fronts: []\n", "there is 'librechat', 'ann'"),
        (BASIC + HEADER + "trusted_fronts:\n  - ann\n  - libre\n", "5: trusted_fronts[1]: no key under"),
        (BASIC + HEADER + "trusted_fronts: [libre]\n", "there is 'ann', 'librechat'"),
        ("auth: {bearer: {tokens: [secret]}}\n" + HEADER + "trusted_fronts: [secret]\n", "written {name: …, token: …}"),
        (BASIC + "trusted_fronts: [ann]\n", "2: trusted_fronts: this needs 'trust_user_header'"),
        (BASIC + "require_user: true\n", "2: require_user: this needs 'trust_user_header'"),
        (BASIC + "trust_user_header: Authorization\n", "trust_user_header: this header has a meaning of its own"),
        (BASIC + "trust_user_header: 'a b'\n", "trust_user_header: expected the name of a header"),
        (BASIC + HEADER + "trusted_fronts: ann\n", "trusted_fronts: expected a list"),
    ],
)  # fmt: skip
def test_a_front_that_could_not_be_believed_is_an_error_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text + SERVERS)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert problem in str(caught.value)
