"""The dialect with a list under `servers`, which is HarrisonCN/mcp-gateway's: a file of that project in our own keys.

What the file does not say has our own default, but for the port, by which its clients know the gateway. A key that says
who may do what, and that cannot be kept, is a problem; one whose loss harms nobody is a note. `docs/dialects.md` has
both.
"""

from collections.abc import Mapping
from typing import Any, Final

from common.config.dialects.draft import Draft, Part
from common.config.dialects.listed_auth import Caller, translate_auth
from common.config.dialects.listed_rules import translate_access, translate_rates
from common.config.dialects.listed_servers import translate_servers
from common.config.values import LEAST_LOOK

DEFAULT_PORT: Final = 4000
LOG_LEVEL: Final = "MCP_GATEWAY_LOG_LEVEL"
API_KEYS: Final = "MCP_GATEWAY_API_KEYS"
REDIS_URL: Final = "MCP_GATEWAY_REDIS_URL"
"""Variables of that project, which win over its file."""

LEVELS: Final = ("debug", "info", "warn", "error")

_MILLISECONDS: Final = "expected a number of milliseconds above zero"
_ORIGIN: Final = "{} any page of the web to use the gateway; expected each origin by its whole name"

_FALLS_AWAY: Final[Mapping[str, str]] = {
    "version": "",
    "dashboard": "there is no dashboard here",
    "monitor": "requests are in the log, and 'audit' keeps a record; there are no metrics here",
    "reconnect": "nothing is reconnected here: a session whose process ends gets a new one",
    "observability": "no traces are sent from here",
    "catalog": "nothing is installed from here",
    "cache": "every call reaches the server: results are not kept",
    "openai": "there is no such door here",
    "a2a": "there is no such door here",
    "admin": "the configuration is changed in its file alone",
}
"""What adds to that project what is not here; that it is not here harms nobody."""

_REFUSED: Final[Mapping[str, str]] = {
    "policy": "it says which calls are let through; write rules of 'access' in mcp-gateway's own form",
    "quotas": "it limits what callers may use; write 'quotas' in mcp-gateway's own form",
    "tenants": "it says who may use which servers; write rules of 'access' in mcp-gateway's own form",
    "plugins": "they may change or refuse calls, and none is loaded here; take the key away if that is all right",
}

_UNKNOWN: Final = (
    "this key has no counterpart here, where a list under 'servers' selects the keys of HarrisonCN's gateway; take it "
    "away, or write the file in mcp-gateway's own form"
)


def is_listed(document: Mapping[str, Any]) -> bool:
    """Whether a file that says this is in this dialect."""
    return isinstance(document.get("servers"), list)


def translate(document: Mapping[str, Any], environ: Mapping[str, str]) -> Draft:
    """`document`, whose variables have been replaced, in our own keys; `environ` has what that project takes from it."""
    draft = Draft()
    top = Part(draft, _overridden(document, environ))
    draft.put(("port",), DEFAULT_PORT, ("port",))
    top.move("port", ("port",))
    top.move("host", ("hostname",))
    _level(top)
    _health(top)
    _cors(top)
    _security(top)
    callers = translate_auth(top)
    _mcp(top)
    servers = translate_servers(top)
    translate_access(draft, callers, servers)
    _rates(top, callers)
    _audit(top)
    for key, text in _FALLS_AWAY.items():
        top.note(key, f"falls away: {text}") if text else top.take(key)
    for key, text in _REFUSED.items():
        top.refuse(key, text, harmless=({}, []))
    top.finish(_UNKNOWN)
    return draft


def _overridden(document: Mapping[str, Any], environ: Mapping[str, str]) -> Mapping[str, Any]:
    """`document` with what that project takes from the environment in its place; port and host are everybody's."""
    changed = dict(document)
    if level := environ.get(LOG_LEVEL):
        changed["logLevel"] = level
    if keys := environ.get(API_KEYS):
        auth = document.get("auth")
        listed = [key.strip() for key in keys.split(",") if key.strip()]
        changed["auth"] = {**(auth if isinstance(auth, Mapping) else {}), "strategy": "api-key", "apiKeys": listed}
    if url := environ.get(REDIS_URL):
        state = document.get("state")
        changed["state"] = {**(state if isinstance(state, Mapping) else {}), "store": "redis", "redis": {"url": url}}
    return changed


def _level(top: Part) -> None:
    level = top.take("logLevel")
    if level is not None and level not in LEVELS:
        top.draft.problem(top.at("logLevel"), f"expected one of {', '.join(LEVELS)}")
    elif level is not None:
        top.draft.put(("debug", "level"), level, top.at("logLevel"))


def _health(top: Part) -> None:
    interval, origin = top.number("healthCheckIntervalMs", _MILLISECONDS), top.at("healthCheckIntervalMs")
    health = top.part("health")
    if health.has("intervalMs"):
        interval, origin = health.number("intervalMs", _MILLISECONDS), health.at("intervalMs")
    health.finish()
    if interval is not None and interval / 1000 < LEAST_LOOK:
        top.draft.note(origin, f"is taken as {LEAST_LOOK * 1000}: each look is a start of the server here, and no ping")
    if interval is not None:
        top.draft.put(("health_interval",), max(interval / 1000, LEAST_LOOK), origin)


def _cors(top: Part) -> None:
    """Three keys say which pages may use that gateway; here there is one list."""
    cors, mcp = top.part("cors"), Part(top.draft, top.values.get("mcp"), top.at("mcp"))
    given = [
        (part, key) for part, key in ((top, "corsOrigins"), (cors, "origins"), (mcp, "allowedOrigins")) if part.has(key)
    ]
    lists = [(part.at(key), part.each(key)) for part, key in given]
    cors.finish()
    for where, origins in lists:
        if origins != lists[0][1]:
            top.draft.problem(where, f"there is one list of origins here; expected the same as in '{given[0][1]}'")
    if lists and lists[0][1]:
        where, origins = lists[0]
        top.draft.put(("cors", "origins"), [_origin(top, (*where, i), each) for i, each in enumerate(origins)], where)


def _origin(top: Part, where: tuple[str | int, ...], origin: object) -> object:
    if origin == "*":
        top.draft.problem(where, _ORIGIN.format("it allows"))
    elif isinstance(origin, str) and origin.startswith("/"):
        top.draft.problem(where, _ORIGIN.format("an expression may allow"))
    else:
        return origin
    return "http://localhost"  # never used: there is a problem


def _security(top: Part) -> None:
    security = top.part("security")
    hosts = security.each("allowedHosts")
    for number, host in enumerate(hosts):
        if isinstance(host, str) and "*" in host:
            top.draft.problem((*security.at("allowedHosts"), number), "expected the whole name of a host")
    security.move("allowedHosts", ("allowed_hosts",))
    security.move("maxBodyBytes", ("max_message_bytes",))
    security.move("stdioEnvPassthrough", ("inherit_env",))
    security.take("dnsRebindingProtection")  # here it always is
    security.take("exposeErrorDetails")  # here they never are
    security.note("headers", "falls away: such headers are always sent")
    security.note("hsts", "falls away: it is for the proxy that has the certificate")
    security.note("trustProxy", "falls away: nothing here depends on the address of a client")
    security.refuse(
        "ipAllowlist", "nothing here looks at addresses; let a firewall or the proxy in front do it", harmless=([],)
    )
    security.refuse(
        "maxToolArgumentsBytes", "what a message may hold is limited as a whole, by 'maxBodyBytes'", harmless=(0,)
    )
    security.refuse(
        "authLockout", "nobody is locked out here; write 'rateLimit', or long random keys", harmless=(False,)
    )
    security.refuse(
        "redactPatterns",
        "the log would show what they hide; what is known to be secret is hidden anyway",
        harmless=([],),
    )
    security.finish(_UNKNOWN)


def _mcp(top: Part) -> None:
    mcp = top.part("mcp")
    mcp.refuse("enabled", "the doors for MCP cannot be closed here; use 'auth'", harmless=(True,))
    mcp.note("path", "falls away: each server has its own path here, /NAME/mcp")
    mcp.note("toolNaming", "falls away: each server has its own path here, so no two tools have one name")
    mcp.note("pageSize", "falls away: lists have the pages that the server gives them")
    mcp.note("instructions", "falls away: clients are told what the server itself says")
    mcp.note("eventBufferSize", "falls away: 'max_event_bytes' bounds what is kept, in mcp-gateway's own form")
    mcp.take("allowedOrigins")
    mcp.move("maxSessions", ("max_sessions",))
    mcp.move("sessionIdleTimeoutSeconds", ("idle_timeout",))
    mcp.finish(_UNKNOWN)


def _rates(top: Part, callers: list[Caller]) -> None:
    translate_rates(top, callers)
    state = top.part("state")
    store, redis = state.take("store"), state.part("redis")
    mode = state.take("failureMode")
    if store == "redis" and "rate_limits" in top.draft.document:
        redis.move("url", ("rate_limit_storage",))
        says = "deny" if mode == "closed" else "allow"
        top.draft.put(("rate_limit_on_error",), says, state.at("failureMode"))
    elif store == "redis":
        top.draft.note(state.at("store"), "falls away: here a Redis has the counts of 'rateLimit' alone")
    elif store not in (None, "memory"):
        top.draft.problem(state.at("store"), "expected memory or redis")
    if mode not in (None, "open", "closed"):
        top.draft.problem(state.at("failureMode"), "expected open or closed")
    for key in ("url", "keyPrefix", "connectTimeoutMs", "commandTimeoutMs"):
        redis.take(key)
    redis.finish()
    state.finish()


def _audit(top: Part) -> None:
    audit = top.part("audit")
    if audit.truth("enabled", default=False):
        text = "its record is a database that is not kept here; write 'audit: {file: …}' in mcp-gateway's own form"
        top.draft.problem(audit.at("enabled"), text)
