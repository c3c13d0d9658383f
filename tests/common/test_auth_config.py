"""`auth` in the configuration file: what it may say, and the one line for each thing that is wrong with it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import rsa
from ruamel.yaml import YAML

from common.config.auth import Auth
from common.config.load import load
from common.config.model import GatewaySettings
from common.config.source import ConfigError
from common.config.tokens import is_safe_to_fetch
from common.config.values import REVEAL_SECRETS
from common.hashes import is_argon2, is_hash, looks_random, sha256_of
from common.jwtkeys import BadKey, public_keys
from tests.support.tokens import EC_KEY, ED_KEY, RSA_KEY, SECRET, jwk, jwks, private_pem, public_pem

JWT = {"issuer": "https://login.example", "audience": "https://gw.example"}
OAUTH = {"resource": "https://gw.example", "authorization_servers": ["https://login.example"]}
ARGON2 = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("hunter2")


def loaded(tmp_path: Path, auth: Any) -> Auth:
    """The `auth` of a file that says this. Raises ConfigError."""
    path = tmp_path / "config.yaml"
    with path.open("w") as file:
        YAML().dump({"servers": {"fs": {"command": "run"}}, "auth": auth}, file)
    return load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).gateway.auth


def problems(tmp_path: Path, auth: Any) -> list[str]:
    """The lines that are said of it, without the file and the line."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, auth)
    return [f"{each.key}: {each.text}" for each in caught.value.problems]


def jwt(**keys: Any) -> Any:
    return {"jwt": [{**JWT, **keys}]}


def credentials(**keys: Any) -> Any:
    return {"basic": {"credentials": [{"username": "ann", **keys}]}}


def test_a_secret_may_stand_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    for name, content in {"password": "hunter2\n", "token": "token-one\r\n", "key": "key-one", "jwt": SECRET}.items():
        (tmp_path / name).write_bytes(content.encode())
    auth = loaded(
        tmp_path,
        {
            **credentials(password_file="password"),
            "bearer": {"tokens": [{"file": "token"}]},
            "api_keys": {"keys": [{"name": "ci", "file": str(tmp_path / "key")}]},
            **jwt(secret_file="jwt"),
        },
    )
    hashed = [each.hashed for each in (*auth.users, *auth.tokens, *auth.keys)]
    assert hashed == [sha256_of(each) for each in ("hunter2", "token-one", "key-one")]
    assert auth.jwt[0].shared_secret is not None
    assert auth.jwt[0].shared_secret.get_secret_value() == SECRET


def test_a_hash_may_come_from_a_credential(tmp_path: Path) -> None:
    (tmp_path / "ANN").write_text(ARGON2)
    [ann] = loaded(tmp_path, credentials(password_hash="${ANN}")).users
    assert ann.hashed == ARGON2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "the file cannot be read: No such file or directory"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"\xff\xfe", "the file is no text in UTF-8"),
        (b"a\0b", "the file has zero bytes in it"),
        (b"x" * (1 << 19), "the file is larger than 262144 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    key = "auth.basic.credentials[0].password_file"
    assert problems(tmp_path, credentials(password_file="secret")) == [f"{key}: {problem}"]


def test_a_problem_names_the_line_of_the_file_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("servers: {fs: {command: x}}\nauth:\n  bearer:\n    tokens:\n      - name: a\n        file: none\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    missing = "the file cannot be read: No such file or directory"
    assert str(caught.value) == f"{path}:6: auth.bearer.tokens[0].file: {missing}"


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        (credentials(), "basic.credentials[0]: expected one of 'password', 'password_hash' and 'password_file'"),
        (
            credentials(password="a", password_hash=ARGON2),
            "basic.credentials[0]: expected one of 'password', 'password_hash' and 'password_file'",
        ),
        (
            credentials(password_hash="hunter2"),
            "basic.credentials[0].password_hash: expected a hash as 'mcp-gateway hash' prints it; a shell needs it in "
            "single quotes",
        ),
        (
            credentials(pasword_hash=ARGON2),
            "basic.credentials[0].pasword_hash: unknown key; did you mean 'password_hash'?",
        ),
        (
            {"bearer": {"tokens": [{"name": "chat"}]}},
            "bearer.tokens[0]: expected one of 'token', 'hash' and 'file'",
        ),
        (
            {"bearer": {"tokens": [{"hash": ARGON2}]}},
            "bearer.tokens[0]: expected a 'name' beside a hash of this kind, which is another one each time it is made",
        ),
        (
            {"bearer": {"tokens": [" x"]}},
            "bearer.tokens[0]: expected a token without blanks around it, which no header can carry",
        ),
        ({"api_keys": {}}, "api_keys: enabled without any key; expected at least one under 'keys'"),
        ({"api_keys": {"keys": [{"key": "x"}]}}, "api_keys.keys[0].name: this key is missing; expected a value for it"),
        ({"api_keys": {"keys": ["x"]}}, "api_keys.keys[0]: expected a map of keys to values"),
        (
            {"api_keys": {"keys": [{"name": "a b", "key": "x"}]}},
            "api_keys.keys[0].name: expected 1 to 64 letters, digits, '.', '_', '@' or '-' "
            "that begin with a letter or a digit",
        ),
        (jwt(), "jwt[0]: expected one of 'secret', 'secret_file', 'key_file' and 'jwks_url'"),
        (
            jwt(secret=SECRET, jwks_url="https://x/"),
            "jwt[0]: expected one of 'secret', 'secret_file', 'key_file' and 'jwks_url'",
        ),
        (jwt(secret="x" * 31), "jwt[0].secret: too short to be safe; expected 32 random bytes or more"),
        (
            jwt(secret=SECRET, algorithms=["HS512"]),
            "jwt[0].secret: too short to be safe; expected 64 random bytes or more",
        ),
        (
            jwt(secret=public_pem(RSA_KEY)),
            "jwt[0].secret: this is a key in PEM, and no shared secret; expected it under 'key_file'",
        ),
        (
            jwt(secret=SECRET, algorithms=["RS256"]),
            "jwt[0]: 'algorithms': HS256, HS384 and HS512 go with a secret, and all others with public keys",
        ),
        (
            jwt(jwks_url="https://x/", algorithms=["RS256", "HS256"]),
            "jwt[0]: 'algorithms': HS256, HS384 and HS512 go with a secret, and all others with public keys",
        ),
        (jwt(secret=SECRET, leeway="1h"), "jwt[0].leeway: expected a value less than or equal to 600"),
        (
            jwt(secret=SECRET, required_scopes=["a b"]),
            "jwt[0].required_scopes[0]: expected the name of one scope, without blanks and quotes",
        ),
        (
            jwt(jwks_url="http://login.example/"),
            "jwt[0].jwks_url: expected an https:// URL, or http:// to a loopback address",
        ),
        (
            jwt(secret=SECRET, issuer="bearer"),
            "jwt[0].issuer: expected what the tokens have in 'iss', such as https://login.example.com/",
        ),
        (jwt(secret=SECRET, audience=[]), "jwt[0].audience: expected something here; it is empty"),
        ({"jwt": JWT}, "jwt: expected a list"),
        (
            {"oauth": OAUTH},
            ": 'oauth' sends clients for tokens; expected an entry under 'jwt' that says which are good",
        ),
        (
            {"oauth": {**OAUTH, "resource": "https://gw.example/?x"}, **jwt(secret=SECRET)},
            "oauth.resource: expected the https:// URL by which clients reach the gateway, without a query",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, auth: Any, line: str) -> None:
    assert problems(tmp_path, auth) == ["auth" + line if line.startswith(":") else f"auth.{line}"]


def test_none_is_no_algorithm(tmp_path: Path) -> None:
    [line] = problems(tmp_path, jwt(secret=SECRET, algorithms=["none"]))
    assert line.startswith("auth.jwt[0].algorithms[0]: expected a value 'HS256', ")


@pytest.mark.parametrize(
    "auth",
    [
        {"basic": {"credentials": [{"username": "a", "password": "1"}, {"username": "a", "password": "2"}]}},
        {"bearer": {"tokens": [{"name": "a", "token": "1"}]}, "api_keys": {"keys": [{"name": "a", "key": "2"}]}},
        {"bearer": {"tokens": [{"name": "ann", "token": "1"}]}, **credentials(password="2")},
    ],
)
def test_a_name_is_that_of_one_alone(tmp_path: Path, auth: Any) -> None:
    [problem] = problems(tmp_path, auth)
    assert re.fullmatch(
        r"auth: two users, tokens or keys have the same name, '(a|ann)'; expected one of its own for each", problem
    )
    for way in auth:
        if len(auth) > 1:  # what is off is nobody's
            loaded(tmp_path, {**auth, way: {"enabled": False, **auth[way]}})


def test_a_secret_is_that_of_one_alone(tmp_path: Path) -> None:
    keys = {"keys": [{"name": "ci", "hash": sha256_of("same")}]}
    [line] = problems(tmp_path, {"bearer": {"tokens": ["same"]}, "api_keys": keys})
    assert line == "auth: two tokens or keys are the same, one without a name, 'ci'; expected one of its own for each"


def test_no_problem_quotes_a_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hunter2\0")
    secret = "hunter2"
    for auth in (
        credentials(password=secret, password_hash=ARGON2),
        credentials(password_hash=secret),
        credentials(password_file="file"),
        {"bearer": {"tokens": [{"token": secret, "hash": secret}]}},
        jwt(secret=secret),
        jwt(key_file="file"),
    ):
        assert secret not in "\n".join(problems(tmp_path, auth))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (private_pem(RSA_KEY), "this is a private key; the gateway needs the public one alone"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "this key cannot be read; expected a public key in PEM",
        ),
        ("hunter2", "expected a public key in PEM, a JWK or a set of JWKs"),
        ("[]", "expected a public key in PEM, a JWK or a set of JWKs"),
        (jwks(), "there is no public key for signatures in the set"),
        (json.dumps({"kty": "oct", "k": "AAAA"}), "expected a public key for signatures"),
        (json.dumps({**jwk(RSA_KEY), "use": "enc"}), "expected a public key for signatures"),
        (json.dumps({**jwk(RSA_KEY), "d": "AAAA"}), "this is a private key; the gateway needs the public one alone"),
        (json.dumps({**jwk(RSA_KEY), "kid": 5}), "expected texts for 'kid' and 'alg'"),
        (json.dumps({**jwk(RSA_KEY), "alg": "none"}), "the key is for none of the algorithms that are wanted"),
        (json.dumps({**jwk(RSA_KEY), "alg": "HS256"}), "the key is for none of the algorithms that are wanted"),
        (json.dumps(jwk(rsa.generate_private_key(65537, 1024))), "expected an RSA key of 2048 bits or more"),
        (json.dumps({"kty": "EC"}), "this JWK cannot be read"),
    ],
)
def test_a_file_that_holds_no_public_key_is_told(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "key").write_text(content)
    assert problems(tmp_path, jwt(key_file="key")) == [f"auth.jwt[0].key_file: {problem}"]


def test_a_key_says_what_it_is_for() -> None:
    assert [key.algorithms for key in public_keys(jwks(jwk(RSA_KEY), jwk(EC_KEY), jwk(ED_KEY)))] == [
        {"RS256"},
        {"ES256"},
        {"EdDSA"},
    ]
    with pytest.raises(BadKey):
        public_keys(public_pem(EC_KEY), ["RS256"])
    private = jwk(RSA_KEY, "leaked") | {"d": "AAAA"}
    assert [key.kid for key in public_keys(jwks(private, jwk(RSA_KEY, "good")))] == ["good"]


def test_all_of_it_crosses_the_control_socket_and_nothing_is_shown_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(public_pem(RSA_KEY))
    (tmp_path / "token").write_text("token-one")
    loaded(tmp_path, {})
    auth = loaded(
        tmp_path,
        {
            **credentials(password_hash=ARGON2),
            "bearer": {"tokens": [{"file": "token"}]},
            "jwt": [{**JWT, "key_file": "key.pem"}, {**JWT, "issuer": "https://b", "secret": SECRET}],
            "oauth": OAUTH,
        },
    )
    settings = load(tmp_path / "config.yaml", {}).gateway
    there = GatewaySettings.model_validate_json(settings.model_dump_json(context=REVEAL_SECRETS))
    assert there.auth == auth
    assert repr(there) == repr(settings)
    shown = repr(settings) + settings.model_dump_json() + str(settings)
    for secret in (ARGON2, "token-one", SECRET, "BEGIN PUBLIC"):
        assert secret not in shown


@pytest.mark.parametrize(
    "url", ["https://a/jwks", "https://a:8443/x?y=z", "http://127.0.0.1:8/", "http://localhost/x", "http://[::1]:5/"]
)
def test_keys_come_over_tls_or_from_this_machine(url: str) -> None:
    assert is_safe_to_fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "http://a/",
        "http://localhost.evil.example/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "ftp://localhost/",
        "https://",
        "https://user:pass@a/",
        "https://a/#x",
        "https://a b/",
        "https://a:port/",
        "http://127.0.0.1.evil.example/",
        "https://a/\n",
    ],
)
def test_keys_come_from_nowhere_else(url: str) -> None:
    assert not is_safe_to_fetch(url)


def test_a_hash_is_one_that_may_be_checked_here() -> None:
    assert is_hash(ARGON2)
    assert is_hash(sha256_of("x"))
    assert is_argon2(PasswordHasher().hash("x"))
    for other in (
        "",
        "hunter2",
        "sha256:abc",
        sha256_of("x").upper(),
        ARGON2.replace("argon2id", "argon2i"),
        ARGON2.replace("m=8", "m=4194304"),
        ARGON2.replace("t=1", "t=9999"),
        ARGON2.replace("t=1", "t=0"),
        "$2b$12$abcdefghijklmnopqrstuv",
    ):
        assert not is_hash(other)


def test_only_what_a_machine_made_looks_random() -> None:
    assert looks_random("cyYiWBt_LTFiXDnXTApYIOtcDBk6DZS5m5gey5EyJ30")
    for other in ("", "hunter2", "a" * 40, "hunter2" * 6, "correct horse"):
        assert not looks_random(other)
