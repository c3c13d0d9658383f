"""How much: what a user and a key may have at once (`quotas`), and how often they may ask (`rate_limits`)."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.config.base import Model
from common.config.values import Count, NonEmpty, Secret

USER_SESSIONS: Final = 200
USER_CALLS_IN_FLIGHT: Final = 50
USER_CHILDREN: Final = 20
"""What one of a front's users may have, where the file says nothing: enough for a person with many chats."""

_SCHEMES: Final = ("redis", "rediss", "redis+unix")


def _parsed(rate: object) -> object:
    # It takes a moment to import, and most files have no rate limits.
    from limits import parse

    expected = "expected a number of requests and a time, such as 60/minute, 10/30 seconds or 1000/hour"
    if not isinstance(rate, str) or "," in rate or ";" in rate:
        raise ValueError(expected)
    try:
        item = parse(rate)
    except ValueError:
        raise ValueError(expected) from None
    if item.amount < 1 or item.get_expiry() < 1:
        raise ValueError("expected one request at least")
    return rate.strip()


def _listed(per: object) -> object:
    return (per,) if isinstance(per, str) else per


def _without_doubles(per: tuple[str, ...]) -> tuple[str, ...]:
    if not per:
        raise ValueError("expected at least one of user, key, server and tool")
    return tuple(sorted(set(per)))


def _redis(url: SecretStr) -> SecretStr:
    """Whatever is wrong with it is found now, and not with the first request. Its text is not quoted: it is a secret."""
    from redis.asyncio import BlockingConnectionPool  # as above

    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        if parts.scheme not in _SCHEMES or not (parts.path if parts.scheme == "redis+unix" else parts.hostname):
            raise ValueError
        BlockingConnectionPool.from_url(redis_url(text)).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        raise ValueError(
            "expected a URL such as redis://localhost:6379/0, rediss://:password@host:6379/0 or "
            "redis+unix:///run/redis/redis.sock"
        ) from None
    return url


def redis_url(url: str) -> str:
    """`url` as the Redis client wants it."""
    return url.removeprefix("redis+") if url.startswith("redis+unix:") else url


Rate = Annotated[str, BeforeValidator(_parsed)]
Per = Annotated[
    tuple[Literal["user", "key", "server", "tool"], ...], BeforeValidator(_listed), AfterValidator(_without_doubles)
]


class UserQuota(Model):
    """`quotas.user`: what each user may have at once; null is no limit.

    A user is a principal with the user for whom it speaks, or one that speaks for itself. How many children one may
    have, `max_user_sessions` says.
    """

    sessions: Count | None = None
    calls_in_flight: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _says_where_children_stand(cls, value: Any) -> Any:
        if cls is UserQuota and isinstance(value, dict) and "children" in value:
            raise ValueError("how many children a user may have is 'max_user_sessions', for all servers or for one")
        return value


class KeyQuota(UserQuota):
    """`quotas.key`: what each key may have at once, for all its users together."""

    children: Count | None = None


class Quotas(Model):
    """`quotas`. What `keys` has for a key by its name, null included, holds in place of what `key` has for all."""

    user: UserQuota = UserQuota()
    key: KeyQuota = KeyQuota()
    keys: dict[NonEmpty, KeyQuota] = Field(default_factory=dict)

    def resolved(self, *, has_users: bool) -> "Quotas":
        """The same with every default in its place. Only a front that `has_users` brings limits for them along."""
        defaults: dict[str, object] = (
            {"sessions": USER_SESSIONS, "calls_in_flight": USER_CALLS_IN_FLIGHT} if has_users else {}
        )
        return Quotas(
            user=UserQuota.model_validate(defaults | _given(self.user)),
            key=self.key,
            keys={name: self.key.model_copy(update=_given(own)) for name, own in self.keys.items()},
        )


def _given(quota: UserQuota) -> dict[str, object]:
    return {key: getattr(quota, key) for key in quota.model_fields_set}


class RateLimit(Model):
    """One of `rate_limits`: how many requests of a kind may come in a time.

    `server`, `tool` and `key` say which requests it is about, and `per` for whom they are counted together. A rule that
    names tools is about their calls alone.
    """

    per: Per
    limit: Rate
    server: NonEmpty = "*"
    tool: NonEmpty | None = None
    key: NonEmpty | None = None
    """The name of the one key that it holds for."""


class Amounts(Model):
    """The keys of the file that say how much."""

    quotas: Quotas = Quotas()
    rate_limits: tuple[RateLimit, ...] = ()
    rate_limit_storage: Annotated[Secret, AfterValidator(_redis)] | None = None
    """Where requests are counted, if not in the gateway's memory: a Redis, which other gateways may share."""
    rate_limit_on_error: Literal["allow", "deny"] = "allow"
    """What becomes of requests while they cannot be counted."""


def check_amounts(amounts: Amounts, servers: Iterable[str], keys: Iterable[str]) -> None:
    """Raises ValidationError, with the place of every rule that can never hold."""
    details = [
        InitErrorDetails(type=PydanticCustomError("amounts", "{text}", {"text": text}), loc=place, input=None)
        for place, text in _problems(amounts, sorted(servers), sorted(set(keys)))
    ]
    if details:
        raise ValidationError.from_exception_data("amounts", details)


def _problems(amounts: Amounts, servers: list[str], keys: list[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for number, rule in enumerate(amounts.rate_limits):
        if not any(fnmatchcase(server, rule.server) for server in servers):
            yield ("rate_limits", number, "server"), f"no server has such a name; there is {', '.join(servers)}"
        if rule.key is not None and rule.key not in keys:
            yield ("rate_limits", number, "key"), _no_key(keys)
    for name in amounts.quotas.keys:
        if name not in keys:
            yield ("quotas", "keys", name), _no_key(keys)
    if amounts.rate_limit_storage is not None and not amounts.rate_limits:
        yield ("rate_limit_storage",), "there is nothing to be counted; expected 'rate_limits', too"


def _no_key(keys: list[str]) -> str:
    known = f"; there is {', '.join(keys)}" if keys else ""
    return f"no key under 'auth' has this name; a token has one where it is written {{name: …, token: …}}{known}"
