"""The supervisor fills in what its own configuration asks for, and believes a gateway nothing."""

import pytest

from common.config.model import ServerSpec
from common.config.session_paths import mark
from common.reasons import Reason
from supervisor.environment import SpawnError
from supervisor.personal import for_user
from tests.support.specs import server_spec

TOKEN, USER = mark("header:X-Token"), mark("user.id")


def spec() -> ServerSpec:
    return server_spec(args=("--user", USER), env={"T": f"Bearer {TOKEN}", "PLAIN": "x"}, path=f"/srv/{USER}/work")


def refusal(spec: ServerSpec, values: dict[str, str]) -> SpawnError:
    with pytest.raises(SpawnError) as caught:
        for_user(spec, values)
    assert "marked" not in f"{caught.value.message} {caught.value.detail} {caught.value}"
    return caught.value


def test_each_value_is_filled_in_where_it_stands_and_known_for_what_it_is() -> None:
    filled = for_user(spec(), {"header:X-Token": "s3cret", "user.id": "alice"})
    assert filled.args == ("--user", "alice")
    assert filled.env == {"T": "Bearer s3cret", "PLAIN": "x"}
    assert filled.path == "/srv/alice/work"
    assert set(filled.private) == {"s3cret", "alice"}
    assert "s3cret" not in repr(filled)


def test_a_server_that_asks_for_nothing_gets_nothing() -> None:
    plain = server_spec(env={"T": "${header:X-Token}"})
    assert for_user(plain, {}) is plain
    assert for_user(plain, {"header:X-Token": "smuggled", "LD_PRELOAD": "smuggled", "session.dir": "/"}) is plain


def test_only_what_it_asks_for_is_filled_in() -> None:
    values = {"header:X-Token": "s3cret", "user.id": "alice", "session.dir": "/etc", "header:Other": "smuggled"}
    server = spec().model_copy(update={"args": (mark("session.dir"),)})
    assert for_user(server, values).args == (mark("session.dir"),)
    assert "smuggled" not in str(for_user(server, values).model_dump())


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    own = {"header:X-Token": "user.id ${user.id}", "user.id": "header:X-Token"}
    assert for_user(spec(), own).env["T"] == "Bearer user.id ${user.id}"


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "the header X-Token, ${user.id}"),
        ({"user.id": "alice"}, "the header X-Token"),
        ({"header:x-token": "marked", "user.id": "marked"}, "the header X-Token"),
    ],
)
def test_without_a_value_nothing_is_started(values: dict[str, str], missing: str) -> None:
    error = refusal(spec(), values)
    assert error.reason is Reason.CREDENTIAL_MISSING
    assert f": {missing} did not come with the request" in error.message


@pytest.mark.parametrize("value", ["", " ", "marked\n", "marked\0", f"marked{USER}", "marked" * 2000, "marked\ud800"])
def test_what_is_no_value_is_refused_here_too(value: str) -> None:
    assert refusal(spec(), {"header:X-Token": value, "user.id": "u"}).reason is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize("user", ["-marked", "--marked=1", "-"])
def test_an_argument_is_no_option(user: str) -> None:
    only = server_spec(args=(USER,))
    assert "begins with '-'" in refusal(only, {"user.id": user}).message


@pytest.mark.parametrize("user", [".", "..", "../marked", "a/marked", "/marked", ".marked", "~marked", "-m", "é" * 128])
def test_a_path_gets_the_name_of_one_directory(user: str) -> None:
    only = server_spec(path=f"/srv/{USER}")
    assert "is no name that one directory may have" in refusal(only, {"user.id": user}).message
    assert for_user(server_spec(env={"U": USER}), {"user.id": user}).env["U"] == user


def test_all_together_have_a_bound() -> None:
    names = [f"header:X-{number}" for number in range(9)]
    many = server_spec(env={f"V{number}": mark(name) for number, name in enumerate(names)})
    assert refusal(many, dict.fromkeys(names, "x" * 8192)).reason is Reason.CREDENTIAL_MALFORMED
