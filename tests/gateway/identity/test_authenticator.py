"""Who the headers of a request prove to be asking."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import pytest
from argon2 import PasswordHasher

from common.config.auth import Auth
from common.hashes import sha256_of
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.authenticator import Authenticator
from gateway.identity.denied import Denied
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.who import Who
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, token

ANN = {"username": "ann", "password": "hunter2"}
TRUSTED = {"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}
BEN = {"username": "ben", "password": "pass:word"}


def authenticator(**auth: object) -> Authenticator:
    """One for the `auth` of a configuration."""
    return Authenticator(Auth.model_validate(auth))


def basic(username: str, password: str) -> str:
    """The header that a client sends for these."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


async def asked(gate: Authenticator, *authorization: str, api_key: Sequence[str] = (), address: str = "::1") -> Who:
    """Who sends a request with these headers. Raises Denied."""
    headers = {"authorization": authorization, "x-api-key": api_key}
    return await gate.who(lambda name: headers.get(name.lower(), ()), address)


async def admitted(gate: Authenticator, header: str | None, **more: Any) -> Principal | None:
    """The principal of such a request, None where it is turned away."""
    try:
        return (await asked(gate, *(() if header is None else (header,)), **more)).principal
    except Denied as denied:
        if denied.reason is not Reason.UNAUTHENTICATED:
            raise
        return None


BOTH = {"basic": {"credentials": [ANN, BEN]}, "bearer": {"tokens": ["token-one", "token-two"]}}


@pytest.mark.parametrize("header", [None, "", "Bearer whatever", basic("ann", "wrong")])
async def test_where_nobody_has_to_prove_anything_everybody_is_anonymous(header: str | None) -> None:
    gate = authenticator()
    assert not gate.is_on
    assert await admitted(gate, header) == ANONYMOUS


async def test_a_way_that_is_not_enabled_admits_nobody() -> None:
    without_basic = authenticator(basic={"enabled": False, "credentials": [ANN]}, bearer={"tokens": ["token-one"]})
    assert await admitted(without_basic, basic("ann", "hunter2")) is None
    assert await admitted(without_basic, "Bearer token-one") is not None
    without_bearer = authenticator(basic={"credentials": [ANN]}, bearer={"enabled": False, "tokens": ["token-one"]})
    assert await admitted(without_bearer, "Bearer token-one") is None
    assert await admitted(without_bearer, basic("ann", "hunter2")) is not None


def test_all_ways_off_is_no_authentication() -> None:
    off = {"enabled": False}
    assert not authenticator(basic=off, bearer=off, api_keys=off).is_on


async def test_a_user_is_known_by_name() -> None:
    gate = authenticator(**BOTH)
    assert await admitted(gate, basic("ann", "hunter2")) == Principal("basic", "ann")
    assert await admitted(gate, basic("ben", "pass:word")) == Principal("basic", "ben")


async def test_names_and_passwords_may_be_in_any_script() -> None:
    gate = authenticator(basic={"credentials": [{"username": "Jürgen", "password": "Straße"}]})
    assert await admitted(gate, basic("Jürgen", "Straße")) == Principal("basic", "Jürgen")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_scheme_may_be_written_in_any_case(scheme: str) -> None:
    assert await admitted(authenticator(**BOTH), f"{scheme} token-one") is not None


@pytest.mark.parametrize("token", ["plain", "a.b-c_d~e+f/g", "padded==", "with=inside", "key=value"])
async def test_every_token_that_may_be_configured_admits(token: str) -> None:
    assert await admitted(authenticator(bearer={"tokens": [token]}), f"Bearer {token}") is not None


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
async def test_nothing_else_admits(header: str | None) -> None:
    assert await admitted(authenticator(**BOTH), header) is None


async def test_each_token_is_a_principal_of_its_own() -> None:
    gate = authenticator(**BOTH)
    one, two = await admitted(gate, "Bearer token-one"), await admitted(gate, "Bearer token-two")
    assert one is not None
    assert two is not None
    assert one != two
    assert one.issuer == two.issuer == "bearer"


async def test_a_tokens_principal_does_not_hang_on_its_place_in_the_list() -> None:
    before = await admitted(authenticator(bearer={"tokens": ["token-one", "token-two"]}), "Bearer token-two")
    after = await admitted(authenticator(bearer={"tokens": ["token-two"]}), "Bearer token-two")
    assert before == after


async def test_a_principal_holds_nothing_of_a_token() -> None:
    assert "token" not in str(await admitted(authenticator(**BOTH), "Bearer token-one"))


async def test_a_user_and_a_token_of_the_same_text_are_two_principals() -> None:
    gate = authenticator(basic={"credentials": [{"username": "x", "password": "same"}]}, bearer={"tokens": ["same"]})
    assert await admitted(gate, basic("x", "same")) != await admitted(gate, "Bearer same")


def test_the_challenge_asks_for_basic_only_where_that_would_help() -> None:
    assert authenticator(**BOTH).challenges(401, None) == ['Basic realm="mcp-gateway"']
    # "Bearer" would send a client looking for a login that is not there.
    for other in ({"bearer": {"tokens": ["token-one"]}}, {"jwt": [TRUSTED]}, {}):
        assert authenticator(**other).challenges(401, None) == ['ApiKey realm="mcp-gateway"']
    assert authenticator(jwt=[TRUSTED]).challenges(403, None) == []


def test_a_principal_reads_as_who_vouches_for_whom() -> None:
    assert str(Principal("basic", "ann")) == "basic:ann"
    assert str(ANONYMOUS) == "anonymous"


# Keys.


KEYS = {"keys": [{"name": "ci", "key": "key-one"}, {"name": "laptop", "hash": sha256_of("key-two")}]}


async def test_a_key_is_known_by_its_name_in_its_own_header_and_as_a_bearer() -> None:
    gate = authenticator(api_keys=KEYS)
    for key, name in {"key-one": "ci", "key-two": "laptop"}.items():
        assert (await asked(gate, api_key=(key,))).principal == Principal("apikey", name)
        assert (await asked(gate, f"Bearer {key}")).principal == Principal("apikey", name)


@pytest.mark.parametrize("key", ["", " ", "key-on", "key-one2", "KEY-ONE", sha256_of("key-two"), "ci", "\udcff"])
async def test_no_other_key_admits(key: str) -> None:
    assert await admitted(authenticator(api_keys=KEYS), None, api_key=(key,)) is None


async def test_a_token_is_no_key_and_a_password_neither() -> None:
    gate = authenticator(**BOTH, api_keys=KEYS)
    assert await admitted(gate, None, api_key=("token-one",)) is None
    assert await admitted(gate, None, api_key=("hunter2",)) is None
    assert await admitted(gate, basic("ci", "key-one")) is None


@pytest.mark.parametrize(
    ("authorization", "api_key"), [(("Bearer token-one",) * 2, ()), ((), ("key-one",) * 2), (("x", "x"), ("key-one",))]
)
async def test_a_header_that_was_sent_twice_is_refused(authorization: Sequence[str], api_key: Sequence[str]) -> None:
    with pytest.raises(GatewayError) as refused:
        await asked(authenticator(**BOTH, api_keys=KEYS), *authorization, api_key=api_key)
    assert refused.value.reason is Reason.BAD_REQUEST


async def test_where_there_are_no_keys_their_header_is_anybodys() -> None:
    assert (await asked(authenticator(**BOTH), "Bearer token-one", api_key=("a", "b"))).principal.issuer == "bearer"


async def test_two_headers_that_prove_two_principals_are_refused() -> None:
    gate = authenticator(**BOTH, api_keys=KEYS)
    with pytest.raises(GatewayError) as refused:
        await asked(gate, "Bearer token-one", api_key=("key-one",))
    assert refused.value.reason is Reason.BAD_REQUEST
    assert (await asked(gate, "Bearer key-one", api_key=("key-one",))).principal.subject == "ci"


async def test_anything_valid_admits_beside_what_is_not() -> None:
    gate = authenticator(**BOTH, api_keys=KEYS)
    assert (await asked(gate, "Bearer wrong", api_key=("key-one",))).principal == Principal("apikey", "ci")
    assert (await asked(gate, basic("ann", "hunter2"), api_key=("wrong",))).principal == Principal("basic", "ann")


# Hashes.


def slow(secret: str) -> str:
    """A hash of the slow kind that is quick to make."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(secret)


async def test_a_hash_is_as_good_as_the_secret() -> None:
    gate = authenticator(
        basic={
            "credentials": [
                {"username": "ann", "password_hash": slow("hunter2")},
                {"username": "ben", "password_hash": sha256_of("pass:word")},
            ]
        },
        bearer={"tokens": [{"name": "chat", "hash": slow("token-one")}, {"hash": sha256_of("token-two")}]},
        api_keys={"keys": [{"name": "ci", "hash": slow("key-one")}]},
    )
    assert await admitted(gate, basic("ann", "hunter2")) == Principal("basic", "ann")
    assert await admitted(gate, basic("ben", "pass:word")) == Principal("basic", "ben")
    assert await admitted(gate, "Bearer token-one") == Principal("bearer", "chat")
    assert await admitted(gate, "Bearer key-one") == Principal("apikey", "ci")
    assert await admitted(gate, None, api_key=("key-one",)) == Principal("apikey", "ci")
    for wrong in (basic("ann", "pass:word"), basic("ben", "hunter2"), basic("eve", "hunter2"), "Bearer hunter2"):
        assert await admitted(gate, wrong) is None


async def test_a_hash_does_not_admit_who_presents_it() -> None:
    hashes = slow("hunter2"), sha256_of("token-two")
    gate = authenticator(
        basic={"credentials": [{"username": "ann", "password_hash": hashes[0]}]},
        bearer={"tokens": [{"hash": hashes[1]}]},
    )
    assert await admitted(gate, basic("ann", hashes[0])) is None
    assert await admitted(gate, f"Bearer {hashes[1]}") is None
    assert await admitted(gate, f"Bearer {hashes[1].removeprefix('sha256:')}") is None


async def test_a_token_and_its_fast_hash_are_one_principal() -> None:
    plain, hashed = ["token-two"], [{"hash": sha256_of("token-two")}]
    both = [await admitted(authenticator(bearer={"tokens": each}), "Bearer token-two") for each in (plain, hashed)]
    assert both[0] == both[1] is not None


# Tokens of an issuer, beside the rest.


async def test_a_token_of_an_issuer_is_known_by_issuer_and_subject_and_brings_its_claims() -> None:
    gate = authenticator(**BOTH, jwt=[TRUSTED])
    who = await asked(gate, f"Bearer {token(SECRET, 'HS256', groups=['staff'])}")
    assert who.principal == Principal(ISSUER, "ann")
    assert who.claims["groups"] == ["staff"]
    refreshed = await asked(gate, f"Bearer {token(SECRET, 'HS256', jti='another')}")
    assert refreshed.principal == who.principal
    assert (await admitted(gate, "Bearer token-one")) is not None


async def test_a_token_of_an_issuer_is_never_tried_as_a_password() -> None:
    gate = authenticator(jwt=[TRUSTED], bearer={"tokens": [{"name": "x", "hash": slow("token-one")}]})
    for _ in range(30):  # more than anybody may get wrong
        with pytest.raises(Denied) as denied:
            await asked(gate, f"Bearer {token(SECRET, 'HS256', exp=1)}")
        assert denied.value.reason is Reason.UNAUTHENTICATED
    assert await admitted(gate, "Bearer token-one") == Principal("bearer", "x")


async def test_nothing_that_a_caller_is_told_says_what_was_wrong() -> None:
    gate = authenticator(**BOTH, api_keys=KEYS, jwt=[TRUSTED])
    bodies = set()
    for header in ("Bearer wrong", f"Bearer {token(SECRET, 'HS256', exp=1)}", basic("ann", "wrong"), "Bearer a.b.c"):
        with pytest.raises(Denied) as denied:
            await asked(gate, header)
        bodies.add(denied.value.rpc_body())
        assert header.split()[1] not in denied.value.why
    [body] = bodies
    # LibreChat takes each of these words for a sign of a login (librechat.md, 2.10).
    for word in (b"401", b"OAuth", b"authentication", b"invalid_token", b"insufficient_scope"):
        assert word not in body


async def test_it_is_known_until_when_a_token_proves_somebody() -> None:
    gate = authenticator(jwt=[TRUSTED | {"leeway": 7}], api_keys=KEYS)
    assert (await asked(gate, f"Bearer {token(SECRET, 'HS256', exp=4_000_000_000)}")).until == 4_000_000_007
    assert (await asked(gate, api_key=("key-one",))).until == math.inf


def test_who_was_taken_out_of_the_configuration_is_admitted_no_more() -> None:
    gate = authenticator(basic={"credentials": [ANN]}, api_keys=KEYS, jwt=[TRUSTED])
    for left in (Principal("basic", "ann"), Principal("apikey", "ci", user="u1"), Principal(ISSUER, "anybody")):
        assert gate.still_admits(left)
    for gone in (Principal("basic", "ben"), Principal("bearer", "ann"), Principal("https://other", "a"), ANONYMOUS):
        assert not gate.still_admits(gone)
    assert authenticator().still_admits(ANONYMOUS)
    assert not authenticator().still_admits(Principal("basic", "ann"))


def test_nothing_secret_is_shown() -> None:
    auth = Auth.model_validate(BOTH | {"jwt": [TRUSTED], "api_keys": KEYS})
    shown = repr(auth) + str(auth.model_dump()) + auth.model_dump_json()
    for secret in ("hunter2", "pass:word", "token-one", SECRET, "key-one", sha256_of("key-two")):
        assert secret not in shown
