"""Tokens for a test: keys of every kind, and whatever somebody might say with them."""

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example"
AUDIENCE = "https://gw.example"
SECRET = "a-secret-of-thirty-two-bytes-or-more"

RSA_KEY, OTHER_RSA_KEY = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def public_pem(key: Private) -> str:
    """The public half, as a file has it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: Private) -> str:
    """What the gateway must never be given."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def jwk(key: Private, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    public: Any = key.public_key()
    kinds: dict[type, Any] = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((each for kind, each in kinds.items() if isinstance(key, kind)), OKPAlgorithm)
    return {**json.loads(algorithm.to_jwk(public)), **({"kid": kid} if kid is not None else {}), **members}


def jwks(*keys: dict[str, Any]) -> str:
    """A set of them, as an issuer publishes it."""
    return json.dumps({"keys": keys})


def claims(**own: Any) -> dict[str, Any]:
    """What is good for a minute, with `own` claims in their place; None takes one away."""
    now = int(time.time())
    all_ = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 60, **own}
    return {name: value for name, value in all_.items() if value is not None}


def token(key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = None, headers: Any = None, **own: Any) -> str:
    """A signed token with these claims."""
    named = {"kid": kid} if kid is not None else {}
    return jwt.encode(claims(**own), key, algorithm, headers={**named, **(headers or {})})


def forged(header: Any, payload: Any, signature: bytes = b"x" * 256) -> str:
    """Three parts that no library would make."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
