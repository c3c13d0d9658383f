"""JSON Web Tokens (RFC 7519): whose, for whom, until when, and what for.

Which key a token is checked with is the configuration's business: the issuer that it names must be one of `auth.jwt`, and
its key must be for the algorithm that the token names (RFC 8725, sections 3.1 and 3.8). "none" is nobody's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from common.config.tokens import JwtIssuer
from common.jwtkeys import Key, public_keys, secret_key
from common.reasons import Reason
from gateway.identity.denied import Denied, bad_token
from gateway.identity.jwks import FetchFailed, Jwks
from gateway.identity.principal import Principal
from gateway.identity.who import Who

LARGEST: Final = 16 * 1024
"""Characters of a token; Hypercorn takes headers of more."""
LONGEST_SUBJECT: Final = 255
"""OpenID Connect Core 1.0, section 2."""
_SHOWN: Final = 200
_BROKEN: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What the library raises for tokens that are made to hurt."""

_WHY: Final[Sequence[tuple[type[Exception], str]]] = (
    (jwt.ExpiredSignatureError, "has expired"),
    (jwt.ImmatureSignatureError, "is not valid yet, or this machine's clock is slow"),
    (jwt.MissingRequiredClaimError, "has no 'sub', 'aud', 'iss' or 'exp'"),
    (jwt.InvalidSignatureError, "has a signature that the issuer's key did not make"),
)


class Keyrings:
    """The keys that were fetched, which outlive a change of the configuration: their issuer may be away just then."""

    def __init__(self) -> None:
        self._by_url: dict[tuple[str, tuple[str, ...]], Jwks] = {}

    def of(self, url: str, algorithms: tuple[str, ...]) -> Jwks:
        """The keys at `url`."""
        return self._by_url.setdefault((url, algorithms), Jwks(url, algorithms))


@dataclass(frozen=True)
class _Unverified:
    """What a token says of itself."""

    text: str
    algorithm: str
    kid: str | None
    issuer: str


class Tokens:
    """Checks tokens, for one configuration."""

    def __init__(self, issuers: Sequence[JwtIssuer], keyrings: Keyrings) -> None:
        self._trusted = [_Trusted(each, keyrings) for each in issuers]
        self.issuers = frozenset(each.issuer for each in issuers)

    async def who(self, token: str) -> Who:
        """Whom `token` proves, with its claims. Raises Denied."""
        said = _read(token)
        denied = bad_token(f"is from {said.issuer[:_SHOWN]!r}, which is no 'issuer' under 'auth.jwt'")
        for trusted in self._trusted:
            if trusted.issuer == said.issuer:
                try:
                    return await trusted.who(said)
                except Denied as error:
                    denied = error
        raise denied


class _Trusted:
    """One entry of the configuration."""

    def __init__(self, config: JwtIssuer, keyrings: Keyrings) -> None:
        self.issuer = config.issuer
        self._config = config
        self._audiences = [spelling for each in config.audience for spelling in _spellings(each)]
        algorithms = config.algorithms
        self._fetched = keyrings.of(config.jwks_url, algorithms) if config.jwks_url is not None else None
        self._own: Sequence[Key] = ()
        if config.shared_secret is not None:
            self._own = (secret_key(config.shared_secret.get_secret_value(), algorithms),)
        elif config.key_file is not None:
            self._own = public_keys(config.key_file.get_secret_value(), algorithms)

    async def who(self, said: _Unverified) -> Who:
        """Whom the token proves. Raises Denied."""
        claims = self._verified(said, await self._keys(said))
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            raise bad_token("has a 'sub' that is empty, too long, or no text for a line")
        missing = [scope for scope in self._config.required_scopes if scope not in scopes(claims)]
        if missing:
            raise Denied(
                Reason.SCOPE_MISSING,
                "the credentials are good, and not for this gateway's use",
                why=f"the token of {subject!r} has not the scope {' '.join(missing)}",
                told="insufficient_scope",
            )
        return Who(Principal(self.issuer, subject), claims, until=int(claims["exp"]) + self._config.leeway)

    async def _keys(self, said: _Unverified) -> Sequence[Key]:
        """The keys that may have signed the token. Raises Denied where there are none."""
        known = self._own
        if self._fetched is not None:
            try:
                known = await self._fetched.keys(said.kid)
            except FetchFailed as error:
                why = f"the keys of {self.issuer} cannot be had: {error}"
                message = "the credentials cannot be checked just now; try again in a moment"
                raise Denied(Reason.ISSUER_UNREACHABLE, message, why=why, retry_after=10) from None
        named = [key for key in known if said.kid is None or key.kid is None or key.kid == said.kid]
        if not named:
            raise bad_token(f"names a key that {self.issuer} has not")
        fit = [key for key in named if said.algorithm in key.algorithms]
        if not fit:
            raise bad_token("is signed by another algorithm than the issuer's key is for")
        return fit

    def _verified(self, said: _Unverified, keys: Sequence[Key]) -> Mapping[str, Any]:
        failure: Exception | None = None
        for key in keys:
            try:
                return jwt.decode(
                    said.text,
                    key.material,
                    algorithms=[said.algorithm],
                    audience=self._audiences,
                    issuer=self.issuer,
                    leeway=self._config.leeway,
                    options={"require": ["exp", "iss", "aud", "sub"]},
                )
            except jwt.InvalidAudienceError:
                raise bad_token(f"is for another audience; expected {' or '.join(self._config.audience)}") from None
            except _BROKEN as error:
                failure = error
        raise bad_token(next((why for kind, why in _WHY if isinstance(failure, kind)), "is not in order"))


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """What the token is for: `scope`, a text or a list (RFC 8693, section 4.2), or `scp`, as some issuers have it."""
    return frozenset(scope for name in ("scope", "scp") for scope in _words(claims.get(name)))


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, str))


def _read(token: str) -> _Unverified:
    """What the token says, unproved. Raises Denied for what is no token."""
    if len(token) > LARGEST:
        raise bad_token(f"has more than {LARGEST} characters")
    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except _BROKEN:
        raise bad_token("cannot be read") from None
    algorithm, kid, issuer = decoded["header"].get("alg"), decoded["header"].get("kid"), decoded["payload"].get("iss")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or not isinstance(issuer, str):
        raise bad_token("cannot be read: 'alg', 'kid' and 'iss' have to be texts")
    return _Unverified(token, algorithm, kid, issuer)


def _spellings(audience: str) -> Sequence[str]:
    """A URL without a path is the same with a slash behind it (RFC 3986, section 6.2.3), and clients write either."""
    try:
        parts = urlsplit(audience)
    except ValueError:
        return (audience,)
    if parts.scheme in ("http", "https") and parts.path in ("", "/") and not parts.query:
        return (audience.removesuffix("/"), audience.removesuffix("/") + "/")
    return (audience,)
