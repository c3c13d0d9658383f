"""`auth` of the dialect of `listed`. Whatever would let in more than that project does is a problem."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.config.dialects.draft import Draft, Part
from common.config.dialects.listed_servers import patterns
from common.config.source import KeyPath
from common.hashes import SHA256_PREFIX

STRATEGIES: Final = ("none", "api-key", "jwt", "oauth2")
_OF_KEYS: Final = ("apiKeys",)
_OF_JWT: Final = ("jwt", "jwtSecret")
_OF_OAUTH: Final = ("oauth",)
_CLAIMS: Final = (
    "claims mcp_servers and mcp_tools of a token restrict nobody here; 'access' in mcp-gateway's own form does"
)


@dataclass(frozen=True)
class Caller:
    """Whom rules are about: one key, or everybody."""

    key: str | None = None
    """The key's name."""
    servers: tuple[str, ...] | None = None
    """Patterns of the servers that it may use; None for all."""
    tools: tuple[str, ...] | None = None
    """Patterns of the tools; None for all."""
    rate: Mapping[str, Any] | None = field(default=None, repr=False)
    """Its own `rateLimit`."""
    origin: KeyPath = ()


def translate_auth(top: Part) -> list[Caller]:
    """Write `auth`; the callers that are told apart."""
    draft, auth = top.draft, top.part("auth")
    strategy = auth.take("strategy") or "none"
    groups = {"api-key": _OF_KEYS, "jwt": _OF_JWT, "oauth2": _OF_OAUTH}
    if strategy not in STRATEGIES:
        draft.problem(auth.at("strategy"), f"expected one of {', '.join(STRATEGIES)}")
    else:
        for kind, keys in groups.items():
            for key in keys:
                if kind != strategy and auth.has(key) and auth.values[key] != []:
                    text = (
                        f"nobody is asked for it with 'strategy: {strategy}'; take it away, or write 'strategy: {kind}'"
                    )
                    draft.problem(auth.at(key), text)
    callers = [Caller()]
    if strategy == "api-key":
        callers = _keys(auth)
    elif strategy == "jwt":
        _jwt(auth)
    elif strategy == "oauth2":
        _oauth(auth)
    for key in ("apiKeys", "jwt", "jwtSecret", "oauth"):
        auth.take(key)
    protect = auth.part("protect")
    protect.take("health")  # here it says only whether all is well to whoever has no credentials
    protect.take("metrics")  # there are none
    protect.finish()
    auth.finish(
        "there is no such key in 'auth'; what else restricts who comes in must be written in mcp-gateway's own form"
    )
    return callers


def _keys(auth: Part) -> list[Caller]:
    found: list[Caller] = []
    keys: list[dict[str, str]] = []
    for number, value in enumerate(auth.each("apiKeys")):
        where = (*auth.at("apiKeys"), number)
        entry = Part(auth.draft, value if isinstance(value, Mapping) else {"key": value}, where)
        if (written := _key(auth.draft, entry)) is not None:
            auth.draft.origins[("auth", "api_keys", "keys", len(keys))] = where
            keys.append(written)
            found.append(_caller(entry, written["name"]))
        entry.finish()
    auth.draft.put(("auth", "api_keys", "keys"), keys, auth.at("apiKeys"))
    if not keys:
        auth.draft.problem(auth.at("apiKeys"), "expected one key at least that is not disabled")
    return found


def _key(draft: Draft, entry: Part) -> dict[str, str] | None:
    """The entry of one key, or None for one that admits nobody."""
    key, name = entry.take("key"), entry.take("name")
    disabled = entry.truth("disabled", default=False)
    entry.refuse(
        "expiresAt", "a key that ends by itself is not known here, and it would last; take it away, or use 'jwt'"
    )
    if not isinstance(key, str) or not key:
        draft.problem(entry.at("key") if entry.has("key") else entry.path, "expected the key, which is a text")
        return None
    if disabled:
        for each in ("scope", "servers", "tools", "rateLimit"):
            entry.take(each)
        return None
    is_hash = key.lower().startswith(SHA256_PREFIX)
    digest = key.lower() if is_hash else SHA256_PREFIX + hashlib.sha256(key.encode()).hexdigest()
    name = name if name is not None else f"key-{digest.removeprefix(SHA256_PREFIX)[:12]}"
    return {"name": name, "hash": digest} if is_hash else {"name": name, "key": key}


def _caller(entry: Part, name: str) -> Caller:
    scope = entry.part("scope") if entry.has("scope") else entry
    servers, tools = patterns(scope, "servers"), patterns(scope, "tools")
    rate = scope.take("rateLimit")
    if scope is not entry:
        scope.finish()
    return Caller(name, servers, tools, rate, scope.path)


def _jwt(auth: Part) -> None:
    jwt, draft = auth.part("jwt"), auth.draft
    secret = auth.take("jwtSecret")
    issuers = _several(jwt, "issuer", "whose tokens are good: what they have in 'iss'")
    audience = _several(
        jwt, "audience", "what the tokens have in 'aud': any other token of the issuer would do otherwise"
    )
    jwt.refuse("publicKey", "a key in PEM has a file of its own here; write 'auth.jwt' with 'key_file' in our own form")
    jwt.refuse("maxTokenAgeSeconds", "the age of a token is not looked at here, only its 'exp'; take the key away")
    jwt.refuse("requireExp", "a token without 'exp' is good for nothing here", harmless=(True, False))
    jwt.note("jwksCacheSeconds", "falls away: how long keys are kept is not for the file to say")
    entry: dict[str, Any] = {"audience": audience, **_checks(jwt)}
    sources = {"secret": secret, "jwks_url": jwt.take("jwksUrl")}
    entry |= {key: value for key, value in sources.items() if value is not None}
    jwt.finish()
    _write(draft, entry, issuers, auth.at("jwt"))
    draft.origins |= {("auth", "jwt", n, "secret"): auth.at("jwtSecret") for n in range(len(issuers))}
    draft.note(auth.at("strategy"), _CLAIMS)


def _oauth(auth: Part) -> None:
    oauth, draft = auth.part("oauth"), auth.draft
    servers = oauth.each("authorizationServers")
    resource = oauth.take("resource")
    if resource is None:
        draft.problem(oauth.at("resource"), "expected the URL by which clients reach the gateway")
    issuers = _several(oauth, "issuer", "") if oauth.has("issuer") else servers
    audience = _several(oauth, "audience", "") if oauth.has("audience") else [resource]
    oauth.refuse("introspection", "tokens are checked here by their signature alone; use an issuer of JWTs")
    if not oauth.has("jwksUrl"):
        draft.problem(oauth.at("jwksUrl"), "expected the URL of the issuer's keys, which are not looked for here")
    for key in ("resourceName", "documentation", "jwksCacheSeconds"):
        oauth.note(key, "falls away")
    entry = {"audience": audience, "jwks_url": oauth.take("jwksUrl"), **_checks(oauth)}
    if scopes := oauth.take("requiredScopes"):
        entry["required_scopes"] = scopes
    draft.put(("auth", "oauth", "resource"), resource, oauth.at("resource"))
    draft.put(("auth", "oauth", "authorization_servers"), servers, oauth.at("authorizationServers"))
    oauth.move("scopesSupported", ("auth", "oauth", "scopes_supported"))
    oauth.take("issuer")
    oauth.take("audience")
    oauth.finish()
    _write(draft, entry, issuers, oauth.path)
    draft.note(auth.at("strategy"), _CLAIMS)


def _several(part: Part, key: str, expected: str) -> list[Any]:
    value = part.take(key)
    if value in (None, "", []):
        part.draft.problem(part.at(key), f"expected {expected}")
        return []
    return value if isinstance(value, list) else [value]


def _checks(part: Part) -> dict[str, Any]:
    """How tokens are checked, whatever with."""
    found = {"algorithms": part.take("algorithms"), "leeway": part.take("clockToleranceSeconds")}
    return {key: value for key, value in found.items() if value is not None}


def _write(draft: Draft, entry: dict[str, Any], issuers: list[Any], origin: KeyPath) -> None:
    """One entry of `auth.jwt` for each of `issuers`; the keys of one in the author's words."""
    theirs = {"jwks_url": "jwksUrl", "leeway": "clockToleranceSeconds", "required_scopes": "requiredScopes"}
    draft.put(("auth", "jwt"), [{"issuer": issuer, **entry} for issuer in issuers], origin)
    for number in range(len(issuers)):
        draft.origins[("auth", "jwt", number)] = origin
        for ours in (*entry, "issuer"):
            draft.origins[("auth", "jwt", number, ours)] = (*origin, theirs.get(ours, ours))
