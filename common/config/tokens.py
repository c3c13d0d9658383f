"""`auth.jwt` and `auth.oauth`: whose tokens are good here, and where a client gets one."""

import ipaddress
import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from common.config.base import Model
from common.config.secret_files import FileSecret
from common.config.values import NonEmpty, Secret
from common.units import seconds

RESERVED_ISSUERS: Final = frozenset({"anonymous", "apikey", "basic", "bearer"})
"""What vouches for those who have no token: a token's issuer of that name would be taken for it."""
LEAST_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Of a secret: what is shorter than the hash makes it weaker (RFC 7518, section 3.2)."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


def _issuer(name: str) -> str:
    if name in RESERVED_ISSUERS or not name.isprintable():
        raise ValueError("expected what the tokens have in 'iss', such as https://login.example.com/")
    return name


def _scope(text: str) -> str:
    if not _SCOPE.fullmatch(text):
        raise ValueError("expected the name of one scope, without blanks and quotes")
    return text


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def is_safe_to_fetch(url: str) -> bool:
    """Whether keys may come from `url`: over TLS, or from this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fetched(url: str) -> str:
    if not is_safe_to_fetch(url):
        raise ValueError("expected an https:// URL, or http:// to a loopback address")
    return url


def _base(url: str) -> str:
    if not is_safe_to_fetch(url) or urlsplit(url).query or '"' in url or "\\" in url:
        raise ValueError("expected the https:// URL by which clients reach the gateway, without a query")
    return url.rstrip("/")


Issuer = Annotated[NonEmpty, AfterValidator(_issuer)]
Scope = Annotated[str, AfterValidator(_scope)]
Leeway = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=600)]
FetchedUrl = Annotated[str, AfterValidator(_fetched)]
BaseUrl = Annotated[str, AfterValidator(_base)]


class JwtIssuer(Model):
    """One entry of `auth.jwt`: one issuer, and the keys that its tokens are checked with."""

    issuer: Issuer
    audience: Annotated[tuple[NonEmpty, ...], BeforeValidator(_one_or_many), Field(min_length=1)]
    """One of these must be in the token's `aud`."""
    algorithms: tuple[Algorithm, ...] = ()
    """What narrows the algorithms that the keys are for; without it they say so themselves."""
    secret: Secret | None = None
    secret_file: FileSecret | None = None
    key_file: FileSecret | None = None
    jwks_url: FetchedUrl | None = None
    leeway: Leeway = 30.0
    required_scopes: tuple[Scope, ...] = ()
    groups_claim: NonEmpty | None = None
    """The claim that lists the groups of the subject."""

    @property
    def shared_secret(self) -> SecretStr | None:
        """The secret, wherever it was written."""
        return self.secret or self.secret_file

    @field_validator("secret", "secret_file")
    @classmethod
    def _is_strong(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        text, algorithms = value.get_secret_value(), info.data.get("algorithms") or ("HS256",)
        if "-----BEGIN" in text:
            raise ValueError("this is a key in PEM, and no shared secret; expected it under 'key_file'")
        least = max(LEAST_BYTES.get(each, 0) for each in algorithms)
        if len(text.encode()) < least:
            raise ValueError(f"too short to be safe; expected {least} random bytes or more")
        return value

    @field_validator("key_file")
    @classmethod
    def _is_a_public_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            from common.jwtkeys import public_keys  # the cryptography behind it is for who needs it

            public_keys(value.get_secret_value(), info.data.get("algorithms", ()))
        return value

    @model_validator(mode="after")
    def _has_one_kind_of_key(self) -> "JwtIssuer":
        given = [self.secret, self.secret_file, self.key_file, self.jwks_url]
        if sum(each is not None for each in given) != 1:
            raise ValueError("expected one of 'secret', 'secret_file', 'key_file' and 'jwks_url'")
        shared = self.shared_secret is not None
        if any(each.startswith("HS") is not shared for each in self.algorithms):
            raise ValueError("'algorithms': HS256, HS384 and HS512 go with a secret, and all others with public keys")
        return self


class OAuth(Model):
    """`auth.oauth`: the gateway tells clients where they may log in (RFC 9728)."""

    resource: BaseUrl
    """The URL by which clients reach the gateway, and what they ask a token for."""
    authorization_servers: Annotated[tuple[FetchedUrl, ...], Field(min_length=1)]
    scopes_supported: tuple[Scope, ...] = ()
