"""`auth`: who may use the gateway. Whatever is on, anything valid admits."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, SecretStr, model_validator

from common import hashes
from common.config.base import Model
from common.config.secret_files import FileSecret
from common.config.tokens import JwtIssuer, OAuth
from common.config.values import Secret, Token, UserName

_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def _key_name(name: str) -> str:
    if not _KEY_NAME.fullmatch(name):
        raise ValueError("expected 1 to 64 letters, digits, '.', '_', '@' or '-' that begin with a letter or a digit")
    return name


def _hash(value: SecretStr) -> SecretStr:
    if not hashes.is_hash(value.get_secret_value()):
        raise ValueError("expected a hash as 'mcp-gateway hash' prints it; a shell needs it in single quotes")
    return value


KeyName = Annotated[str, AfterValidator(_key_name)]
Hash = Annotated[Secret, AfterValidator(_hash)]


class Kept(Model):
    """A secret that the configuration has in one of three ways."""

    WAYS: ClassVar[tuple[str, str, str]]
    """The keys: the secret itself, its hash, the file that it is in."""

    @property
    def hashed(self) -> str:
        """The hash of the secret, which is as good as the secret for checking another one against it."""
        plain, hash_, file = (getattr(self, way) for way in self.WAYS)
        if hash_ is not None:
            return str(hash_.get_secret_value())
        return hashes.sha256_of((plain or file).get_secret_value())

    @model_validator(mode="after")
    def _is_kept_in_one_way(self) -> "Kept":
        if sum(getattr(self, way) is not None for way in self.WAYS) != 1:
            raise ValueError("expected one of '{}', '{}' and '{}'".format(*self.WAYS))
        return self


class BasicCredentials(Kept):
    """One user of HTTP Basic authentication."""

    WAYS: ClassVar = ("password", "password_hash", "password_file")

    username: UserName
    password: Secret | None = None
    password_hash: Hash | None = None
    password_file: FileSecret | None = None


class BearerToken(Kept):
    """One token. Who presents it is known by its name, or by a part of its hash."""

    WAYS: ClassVar = ("token", "hash", "file")

    name: KeyName | None = None
    token: Token | None = None
    hash: Hash | None = None
    file: FileSecret | None = None

    @model_validator(mode="after")
    def _can_be_told_from_others(self) -> "BearerToken":
        if self.name is None and hashes.is_argon2(self.hashed):
            raise ValueError("expected a 'name' beside a hash of this kind, which is another one each time it is made")
        return self


class ApiKey(Kept):
    """One key."""

    WAYS: ClassVar = ("key", "hash", "file")

    name: KeyName
    key: Token | None = None
    hash: Hash | None = None
    file: FileSecret | None = None


def _token(value: object) -> object:
    """A token that is written as a text alone is one without a name."""
    if isinstance(value, str):
        if not value:
            raise ValueError("expected something here; it is empty")
        if value != value.strip():
            raise ValueError("expected a token without blanks around it, which no header can carry")
        return {"token": value}
    if not isinstance(value, Mapping | BearerToken):
        raise ValueError("expected a text; if this is one, put it in quotes")
    return value


class BasicAuth(Model):
    """`auth.basic`."""

    enabled: bool = True
    credentials: tuple[BasicCredentials, ...] = ()

    @model_validator(mode="after")
    def _has_credentials(self) -> "BasicAuth":
        if self.enabled and not self.credentials:
            raise ValueError("enabled without any credentials; expected at least one under 'credentials'")
        return self


class BearerAuth(Model):
    """`auth.bearer`."""

    enabled: bool = True
    tokens: tuple[Annotated[BearerToken, BeforeValidator(_token)], ...] = ()

    @model_validator(mode="after")
    def _has_tokens(self) -> "BearerAuth":
        if self.enabled and not self.tokens:
            raise ValueError("enabled without any token; expected at least one under 'tokens'")
        return self


class ApiKeyAuth(Model):
    """`auth.api_keys`."""

    enabled: bool = True
    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _has_keys(self) -> "ApiKeyAuth":
        if self.enabled and not self.keys:
            raise ValueError("enabled without any key; expected at least one under 'keys'")
        return self


class Auth(Model):
    """`auth`."""

    basic: BasicAuth | None = None
    bearer: BearerAuth | None = None
    api_keys: ApiKeyAuth | None = None
    jwt: tuple[JwtIssuer, ...] = ()
    oauth: OAuth | None = None

    @property
    def is_on(self) -> bool:
        return bool(self.basic_is_on or self.bearer_is_on or self.api_keys_are_on or self.jwt)

    @property
    def basic_is_on(self) -> bool:
        return self.basic is not None and self.basic.enabled

    @property
    def bearer_is_on(self) -> bool:
        return self.bearer is not None and self.bearer.enabled

    @property
    def api_keys_are_on(self) -> bool:
        return self.api_keys is not None and self.api_keys.enabled

    @property
    def users(self) -> tuple[BasicCredentials, ...]:
        """Those whom `basic` admits."""
        return self.basic.credentials if self.basic is not None and self.basic.enabled else ()

    @property
    def tokens(self) -> tuple[BearerToken, ...]:
        """Those that `bearer` admits."""
        return self.bearer.tokens if self.bearer is not None and self.bearer.enabled else ()

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """Those that `api_keys` admits."""
        return self.api_keys.keys if self.api_keys is not None and self.api_keys.enabled else ()

    def names(self) -> Iterator[str]:
        """What users, tokens and keys are called; each is one of them alone."""
        yield from (each.username for each in self.users)
        yield from (each.name for each in self.tokens if each.name is not None)
        yield from (each.name for each in self.keys)

    @model_validator(mode="after")
    def _is_without_doubt(self) -> "Auth":
        names = Counter(self.names())
        if names and max(names.values()) > 1:
            twice = ", ".join(f"'{name}'" for name, times in names.items() if times > 1)
            raise ValueError(f"two users, tokens or keys have the same name, {twice}; expected one of its own for each")
        every: tuple[BearerToken | ApiKey, ...] = (*self.tokens, *self.keys)
        hashed = Counter(each.hashed for each in every)
        if hashed and max(hashed.values()) > 1:
            same = (each.name for each in every if hashed[each.hashed] > 1)
            who = ", ".join(f"'{name}'" if name is not None else "one without a name" for name in same)
            raise ValueError(f"two tokens or keys are the same, {who}; expected one of its own for each")
        return self

    @model_validator(mode="after")
    def _can_check_what_clients_fetch(self) -> "Auth":
        if self.oauth is not None and not self.jwt:
            raise ValueError("'oauth' sends clients for tokens; expected an entry under 'jwt' that says which are good")
        return self
