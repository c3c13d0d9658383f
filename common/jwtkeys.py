"""The public keys that tokens are checked with: from PEM, a JWK or a set of them. No I/O.

Which algorithms a key is for is the key's to say, never the token's: a token that names another one is not looked at. So
a public key is never taken for the secret of an HMAC, whatever a token claims.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
RSA_BITS: Final = 2048
"""The least; what is shorter is no key any more (NIST SP 800-131A)."""
MANY: Final = 100
"""Keys of one set; no issuer has as many, and each costs a moment to parse."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class BadKey(ValueError):
    """This is no key that a token could be checked with; the text says why, without a word of it."""


@dataclass(frozen=True, slots=True)
class Key:
    """`algorithms` is what a token's header may say. A key without `kid` may be meant by any token."""

    material: PublicKey | bytes = field(repr=False)
    algorithms: frozenset[str]
    kid: str | None = None


def secret_key(secret: str, algorithms: Sequence[str]) -> Key:
    """The key that a shared secret is."""
    return Key(secret.encode(), frozenset(algorithms or ("HS256",)))


def public_keys(text: str, algorithms: Sequence[str] = ()) -> tuple[Key, ...]:
    """The keys in `text`: a public key or certificate in PEM, a JWK, or a set of JWKs.

    `algorithms`, where given, narrows what a key is for, and is how an RSA key that does not say so itself is for another
    one than RS256. Of a set, what is no key for signatures is left out. Raises BadKey where no key is left.
    """
    if "-----BEGIN" in text:
        return (_narrowed(_from_pem(text), None, None, algorithms),)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise BadKey("expected a public key in PEM, a JWK or a set of JWKs") from None
    if isinstance(parsed, dict) and isinstance(parsed.get("keys"), list):
        return _from_set(parsed["keys"], algorithms)
    if isinstance(parsed, dict):
        return (_from_jwk(parsed, algorithms),)
    raise BadKey("expected a public key in PEM, a JWK or a set of JWKs")


def _from_set(entries: Sequence[object], algorithms: Sequence[str]) -> tuple[Key, ...]:
    found = []
    for entry in entries[:MANY]:
        try:
            found.append(_from_jwk(entry, algorithms))
        except BadKey:
            continue  # others' business: keys for encryption, or of a kind that is still to be invented
    if not found:
        raise BadKey("there is no public key for signatures in the set")
    return tuple(found)


def _from_jwk(entry: object, algorithms: Sequence[str]) -> Key:
    if not isinstance(entry, Mapping) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
        raise BadKey("expected a public key for signatures")
    if "d" in entry:
        raise BadKey("this is a private key; the gateway needs the public one alone")
    kid, own = entry.get("kid"), entry.get("alg")
    if not isinstance(kid, str | None) or not isinstance(own, str | None):
        raise BadKey("expected texts for 'kid' and 'alg'")
    try:
        # Without its `alg`: what the key is decides, and the library knows algorithms that are not for public keys.
        material: Any = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise BadKey("this JWK cannot be read") from None
    return _narrowed(material, kid, own, algorithms)


def _from_pem(text: str) -> object:
    if "PRIVATE KEY" in text:
        raise BadKey("this is a private key; the gateway needs the public one alone")
    try:
        if "BEGIN CERTIFICATE" in text:
            return load_pem_x509_certificate(text.encode()).public_key()
        return load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("this key cannot be read; expected a public key in PEM") from None


def _narrowed(material: object, kid: str | None, own: str | None, algorithms: Sequence[str]) -> Key:
    """The key, with the algorithms that it, its `alg` and the configuration agree on. Raises BadKey for none."""
    if not isinstance(material, PublicKey):
        raise BadKey("expected a public key of RSA, ECDSA (P-256, P-384, P-521) or Ed25519")
    fit = _fit(material)
    if own is not None:
        fit &= {own}
    elif isinstance(material, RSAPublicKey) and not algorithms:
        fit = frozenset({"RS256"})
    if algorithms:
        fit &= frozenset(algorithms)
    if not fit:
        raise BadKey("the key is for none of the algorithms that are wanted")
    return Key(material, fit, kid)


def _fit(material: PublicKey) -> frozenset[str]:
    if isinstance(material, Ed25519PublicKey):
        return frozenset({"EdDSA"})
    if isinstance(material, EllipticCurvePublicKey):
        return frozenset({_CURVES[material.curve.name]} if material.curve.name in _CURVES else ())
    if material.key_size < RSA_BITS:
        raise BadKey(f"expected an RSA key of {RSA_BITS} bits or more")
    return _RSA
