"""Who an `Authorization` header proves to be asking."""

import base64

import pytest

from common.config.model import Auth
from gateway.identity.credentials import Authenticator
from gateway.identity.principal import ANONYMOUS, Principal

ANN = {"username": "ann", "password": "hunter2"}
BEN = {"username": "ben", "password": "pass:word"}


def authenticator(**auth: object) -> Authenticator:
    """One for the `auth` of a configuration."""
    return Authenticator(Auth.model_validate(auth))


def basic(username: str, password: str) -> str:
    """The header that a client sends for these."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


BOTH = {"basic": {"credentials": [ANN, BEN]}, "bearer": {"tokens": ["token-one", "token-two"]}}


@pytest.mark.parametrize("header", [None, "", "Bearer whatever", basic("ann", "wrong")])
def test_where_nobody_has_to_prove_anything_everybody_is_anonymous(header: str | None) -> None:
    gate = authenticator()
    assert not gate.is_on
    assert gate.authenticate(header) == ANONYMOUS


def test_a_way_that_is_not_enabled_admits_nobody() -> None:
    without_basic = authenticator(basic={"enabled": False, "credentials": [ANN]}, bearer={"tokens": ["token-one"]})
    assert without_basic.authenticate(basic("ann", "hunter2")) is None
    assert without_basic.authenticate("Bearer token-one") is not None
    without_bearer = authenticator(basic={"credentials": [ANN]}, bearer={"enabled": False, "tokens": ["token-one"]})
    assert without_bearer.authenticate("Bearer token-one") is None
    assert without_bearer.authenticate(basic("ann", "hunter2")) is not None


def test_all_ways_off_is_no_authentication() -> None:
    assert not authenticator(basic={"enabled": False}, bearer={"enabled": False}).is_on


def test_a_user_is_known_by_name() -> None:
    gate = authenticator(**BOTH)
    assert gate.authenticate(basic("ann", "hunter2")) == Principal("basic", "ann")
    assert gate.authenticate(basic("ben", "pass:word")) == Principal("basic", "ben")


def test_names_and_passwords_may_be_in_any_script() -> None:
    gate = authenticator(basic={"credentials": [{"username": "Jürgen", "password": "Straße"}]})
    assert gate.authenticate(basic("Jürgen", "Straße")) == Principal("basic", "Jürgen")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_scheme_may_be_written_in_any_case(scheme: str) -> None:
    assert authenticator(**BOTH).authenticate(f"{scheme} token-one") is not None


@pytest.mark.parametrize("token", ["plain", "a.b-c_d~e+f/g", "padded==", "with=inside", "key=value"])
def test_every_token_that_may_be_configured_admits(token: str) -> None:
    assert authenticator(bearer={"tokens": [token]}).authenticate(f"Bearer {token}") is not None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer token-on",
        "Bearer token-one2",
        "Bearer TOKEN-ONE",
        "Bearer token-one, Bearer token-one",
        "Token token-one",
        "token-one",
        "Basic",
        "Basic !!!",
        "Basic token-one",
        "Basic " + base64.b64encode(b"ann").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        basic("ann", "hunter3"),
        basic("ann", "pass:word"),
        basic("ann", ""),
        basic("", ""),
        basic("Ann", "hunter2"),
        "Bearer hunter2",
        'Digest username="ann"',
    ],
)
def test_nothing_else_admits(header: str | None) -> None:
    assert authenticator(**BOTH).authenticate(header) is None


def test_each_token_is_a_principal_of_its_own() -> None:
    gate = authenticator(**BOTH)
    one, two = gate.authenticate("Bearer token-one"), gate.authenticate("Bearer token-two")
    assert one is not None
    assert two is not None
    assert one != two
    assert one.issuer == two.issuer == "bearer"


def test_a_tokens_principal_does_not_hang_on_its_place_in_the_list() -> None:
    before = authenticator(bearer={"tokens": ["token-one", "token-two"]}).authenticate("Bearer token-two")
    after = authenticator(bearer={"tokens": ["token-two"]}).authenticate("Bearer token-two")
    assert before == after


def test_a_principal_holds_nothing_of_a_token() -> None:
    assert "token" not in str(authenticator(**BOTH).authenticate("Bearer token-one"))


def test_a_user_and_a_token_of_the_same_text_are_two_principals() -> None:
    gate = authenticator(basic={"credentials": [{"username": "x", "password": "same"}]}, bearer={"tokens": ["same"]})
    assert gate.authenticate(basic("x", "same")) != gate.authenticate("Bearer same")


def test_the_challenge_asks_for_basic_only_where_that_would_help() -> None:
    assert authenticator(**BOTH).challenge.startswith("Basic ")
    # "Bearer" would send a client looking for a login that is not there.
    assert authenticator(bearer={"tokens": ["token-one"]}).challenge.startswith("ApiKey ")


def test_a_principal_reads_as_who_vouches_for_whom() -> None:
    assert str(Principal("basic", "ann")) == "basic:ann"
    assert str(ANONYMOUS) == "anonymous"
