"""Which tokens are good, and which are not, however they are made."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from common.config.tokens import JwtIssuer
from common.reasons import Reason
from gateway.identity.credentials import looks_like_a_token
from gateway.identity.denied import Denied
from gateway.identity.principal import Principal
from gateway.identity.tokens import LARGEST, Keyrings, Tokens, scopes
from tests.support.tokens import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    ISSUER,
    OTHER_RSA_KEY,
    RSA_KEY,
    SECRET,
    claims,
    forged,
    jwk,
    jwks,
    public_pem,
    token,
)


def trusting(*entries: dict[str, Any], **only: Any) -> Tokens:
    """What checks tokens for these entries of `auth.jwt`, or one with these keys."""
    defaults = {"issuer": ISSUER, "audience": AUDIENCE}
    return Tokens([JwtIssuer.model_validate({**defaults, **each}) for each in entries or (only,)], Keyrings())


BY_FILE = {"key_file": public_pem(RSA_KEY)}
BY_SECRET = {"secret": SECRET}


async def good(tokens: Tokens, text: str) -> bool:
    """Whether the token is; the log must know why not, and never the token."""
    try:
        return (await tokens.who(text)).principal == Principal(ISSUER, "ann")
    except Denied as denied:
        said_too_much = len(text) > 9 and text in denied.why
        if denied.reason is not Reason.UNAUTHENTICATED or denied.told != "invalid_token" or said_too_much:
            raise
        return False


@pytest.mark.parametrize(
    ("entry", "key", "algorithm"),
    [
        (BY_SECRET, SECRET, "HS256"),
        ({"secret": SECRET * 2, "algorithms": ["HS512"]}, SECRET * 2, "HS512"),
        (BY_FILE, RSA_KEY, "RS256"),
        ({**BY_FILE, "algorithms": ["PS256", "RS512"]}, RSA_KEY, "PS256"),
        ({"key_file": json.dumps(jwk(RSA_KEY, alg="RS384"))}, RSA_KEY, "RS384"),
        ({"key_file": public_pem(EC_KEY)}, EC_KEY, "ES256"),
        ({"key_file": public_pem(ED_KEY)}, ED_KEY, "EdDSA"),
        ({"key_file": jwks(jwk(ED_KEY, "a"), jwk(RSA_KEY, "b"))}, RSA_KEY, "RS256"),
    ],
)
async def test_a_token_is_good_that_the_issuers_key_signed(entry: dict[str, Any], key: Any, algorithm: str) -> None:
    assert await good(trusting(entry), token(key, algorithm))


@pytest.mark.parametrize(
    ("entry", "key", "algorithm"),
    [
        (BY_SECRET, SECRET + "!", "HS256"),
        ({"secret": SECRET * 2}, SECRET * 2, "HS512"),
        (BY_FILE, OTHER_RSA_KEY, "RS256"),
        (BY_FILE, RSA_KEY, "RS512"),
        (BY_FILE, RSA_KEY, "PS256"),
        (BY_FILE, EC_KEY, "ES256"),
        (BY_FILE, SECRET, "HS256"),
        (BY_SECRET, RSA_KEY, "RS256"),
        ({"key_file": json.dumps(jwk(RSA_KEY, alg="RS384"))}, RSA_KEY, "RS256"),
        ({**BY_FILE, "algorithms": ["RS512"]}, RSA_KEY, "RS256"),
    ],
)
async def test_another_key_or_another_algorithm_is_not(entry: dict[str, Any], key: Any, algorithm: str) -> None:
    assert not await good(trusting(entry), token(key, algorithm))


def signed_with_hmac(key: bytes, algorithm: str = "HS256", **header: Any) -> str:
    """A token that the library itself would not make: of an HMAC whose secret is a public key."""
    text = forged({"typ": "JWT", "alg": algorithm, **header}, claims(), b"").rstrip(".")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(text.encode(), key)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_a_public_key_is_no_secret() -> None:
    pem = public_pem(RSA_KEY)
    published = json.dumps(jwk(RSA_KEY, "one"))
    for entry in (BY_FILE, {"key_file": published}):
        for secret in (pem, pem.strip(), published):
            assert not await good(trusting(entry), signed_with_hmac(secret.encode()))
            assert not await good(trusting(entry), signed_with_hmac(secret.encode(), kid="one"))


async def test_a_set_of_keys_has_no_secrets() -> None:
    shared = {"kty": "oct", "kid": "s", "alg": "HS256", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()}
    tokens = trusting(key_file=jwks(shared, jwk(RSA_KEY, "one")))
    assert not await good(tokens, token(SECRET, "HS256", kid="s"))
    assert await good(tokens, token(kid="one"))


@pytest.mark.parametrize("entry", [BY_FILE, BY_SECRET])
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["RS256"], 5])
@pytest.mark.parametrize("signature", [b"", b"x" * 256])
async def test_a_token_without_a_signature_is_none(entry: Any, algorithm: Any, signature: bytes) -> None:
    assert not await good(trusting(entry), forged({"alg": algorithm}, claims(), signature))


@pytest.mark.parametrize(
    "own",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"exp": [2**33]},
        {"nbf": 2**33},
        {"nbf": "never"},
        {"iat": 2**33},
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": []},
        {"aud": ["https://other.example", AUDIENCE + "/light"]},
        {"aud": {"a": AUDIENCE}},
        {"sub": None},
        {"sub": ""},
        {"sub": "ann\nWARNING gateway all is lost"},
        {"sub": "a" * 256},
        {"sub": "ann\0"},
    ],
)
async def test_a_claim_that_is_not_in_order_is_refused(own: dict[str, Any]) -> None:
    header = {"typ": "JWT", "alg": "RS256"}
    text = forged(header, claims(**own), b"").rstrip(".")
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(text.encode(), RSA_KEY)).rstrip(b"=").decode()
    assert not await good(trusting(BY_FILE), f"{text}.{signature}")


async def test_clocks_may_differ_by_the_leeway() -> None:
    text = token(exp=int(time.time()) - 100)
    assert await good(trusting(leeway="5m", **BY_FILE), text)
    assert not await good(trusting(leeway=0, **BY_FILE), text)


async def test_one_of_several_audiences_will_do() -> None:
    tokens = trusting({"audience": [AUDIENCE, "mcp"], **BY_FILE})
    assert await good(tokens, token(aud=["x", "mcp"]))
    assert await good(tokens, token(aud=AUDIENCE + "/"))
    assert not await good(tokens, token(aud="mcp/"))


async def test_only_an_issuer_of_the_configuration_is_trusted() -> None:
    tokens = trusting(BY_FILE)
    for issuer in ("https://login.example/", "https://evil.example", ISSUER.upper(), None, ""):
        assert not await good(tokens, token(iss=issuer))
    assert not await good(tokens, forged({"alg": "RS256"}, claims(iss=5)))


async def test_each_issuer_has_its_own_keys() -> None:
    other = "https://other.example"
    tokens = trusting(BY_FILE, {"issuer": other, "key_file": public_pem(OTHER_RSA_KEY)})
    assert await good(tokens, token())
    assert (await tokens.who(token(OTHER_RSA_KEY, iss=other))).principal == Principal(other, "ann")
    with pytest.raises(Denied):
        await tokens.who(token(iss=other))
    assert not await good(tokens, token(OTHER_RSA_KEY))


async def test_one_issuer_may_have_two_entries() -> None:
    tokens = trusting(BY_FILE, {"key_file": public_pem(OTHER_RSA_KEY)})
    for key in (RSA_KEY, OTHER_RSA_KEY):
        assert await good(tokens, token(key))


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "/proc/self/environ", "http://127.0.0.1:1/key", "' OR 1=1", "two", "one\0", "x" * 9999],
)
async def test_the_name_of_a_key_is_a_name_and_nothing_else(kid: str) -> None:
    assert not await good(trusting(key_file=jwks(jwk(RSA_KEY, "one"))), token(kid=kid))


@pytest.mark.parametrize("header", [{"jwk": jwk(OTHER_RSA_KEY)}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://x"}])
async def test_a_token_does_not_bring_its_own_key(header: dict[str, Any]) -> None:
    assert not await good(trusting(BY_FILE), token(OTHER_RSA_KEY, headers=header))


async def test_what_a_token_says_is_critical_is_not_skipped() -> None:
    assert not await good(trusting(BY_FILE), token(headers={"crit": ["own"], "own": 1}))


def damaged() -> list[str]:
    """What is nearly a token."""
    text = token()
    header, payload, signature = text.split(".")
    deep = base64.urlsafe_b64encode(b'{"alg":"RS256","a":' + b"[" * 9000).decode()
    long = token(padding="x" * LARGEST)
    return [
        *(text[:length] for length in (0, 1, len(header), len(header) + 1, len(text) - 40, len(text) - 1)),
        f"{header}.{payload}.",
        f".{payload}.{signature}",
        f"{header}..{signature}",
        f"{header}.{signature}.{payload}",
        f"{text}.{signature}",
        f"{header}.{payload}.{signature}x",
        f"{header}=.{payload}.{signature}",
        "..",
        "a.b.c",
        "é.é.é",
        "eyJ.\udcff.x",
        f"{deep}.{payload}.{signature}",
        f"{header}.{deep}.{signature}",
        forged([], {}),
        forged("RS256", {}),
        forged({"alg": "RS256"}, []),
        forged({"alg": "RS256"}, "x"),
        forged({"alg": "RS256", "kid": {}}, claims()),
        forged({"alg": "RS256", "b64": False, "crit": ["b64"]}, claims()),
        forged({"alg": "RS256"}, {**claims(), "exp": 10**30}),
        forged({"alg": "dir", "enc": "A256GCM"}, claims()),
        long,
    ]


async def test_whatever_is_no_token_is_refused_in_order() -> None:
    tokens = trusting(BY_FILE)
    for text in damaged():
        assert not await good(tokens, text), text


async def test_a_token_that_is_too_long_is_not_even_read() -> None:
    tokens = trusting(BY_FILE)
    assert await good(tokens, token(padding="x" * 8000))
    with pytest.raises(Denied) as denied:
        await tokens.who(token(padding="x" * LARGEST))
    assert denied.value.why == f"the token has more than {LARGEST} characters"


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"nbf": 2**33}, "the token is not valid yet, or this machine's clock is slow"),
        ({"aud": "x"}, f"the token is for another audience; expected {AUDIENCE}"),
        ({"iss": "https://e\n"}, "the token is from 'https://e\\n', which is no 'issuer' under 'auth.jwt'"),
        ({"sub": None}, "the token has no 'sub', 'aud', 'iss' or 'exp'"),
    ],
)
async def test_the_log_says_what_was_wrong(own: dict[str, Any], why: str) -> None:
    with pytest.raises(Denied) as denied:
        await trusting(BY_FILE).who(token(**own))
    assert denied.value.why == why


async def test_keys_that_cannot_be_had_are_nobodys_fault_but_the_issuers() -> None:
    with pytest.raises(Denied) as denied:
        await trusting(jwks_url="http://127.0.0.1:1/jwks").who(token())
    assert (denied.value.reason, denied.value.status) == (Reason.ISSUER_UNREACHABLE, 503)
    assert denied.value.headers == {"Retry-After": "10"}


# Scopes.


@pytest.mark.parametrize("own", [{"scope": "a mcp b"}, {"scope": ["mcp"]}, {"scp": ["a", "mcp"]}, {"scp": "mcp"}])
async def test_required_scopes_may_stand_where_issuers_put_them(own: dict[str, Any]) -> None:
    assert await good(trusting(required_scopes=["mcp"], **BY_FILE), token(**own))


@pytest.mark.parametrize("own", [{}, {"scope": ""}, {"scope": "mcp2 MCP"}, {"scp": 5}, {"scope": [["mcp"]]}])
async def test_a_token_without_them_is_good_and_not_enough(own: dict[str, Any]) -> None:
    with pytest.raises(Denied) as denied:
        await trusting(required_scopes=["mcp"], **BY_FILE).who(token(**own))
    assert (denied.value.status, denied.value.told) == (403, "insufficient_scope")


def test_scopes_are_gathered_from_both_claims() -> None:
    assert scopes({"scope": "a b", "scp": ["c", 5]}) == {"a", "b", "c"}


def test_only_three_parts_look_like_a_token() -> None:
    assert looks_like_a_token(token())
    for other in ("", "sk-abc", "a.b", "a.b.c.d", "key.with.dots"):
        assert not looks_like_a_token(other)
