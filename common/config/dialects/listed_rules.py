"""What the dialect of `listed` says of who may use what, and how often, as rules of ours."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

from common.config.dialects.draft import Draft, Part
from common.config.dialects.listed_auth import Caller
from common.config.dialects.listed_servers import Tools
from common.config.source import KeyPath

DEFAULT_LIMIT: Final = 100
DEFAULT_WINDOW: Final = 60
"""Of that project, for a `rateLimit` that does not say."""

_TWO_PATTERNS: Final = (
    "a key's pattern and a server's pattern cannot both be kept here; write the names of the tools in one of them"
)
_NOTHING: Final = "this key may use nothing; take it away, or say what it may use"
_EVERYBODY: Final = (
    "one count for all keys together is not known here; write 'perKey: true', for a count of each, with a lower limit"
)


class _TwoPatterns(Exception):
    """What two patterns have in common is no pattern."""


def translate_access(draft: Draft, callers: list[Caller], servers: list[Tools]) -> None:
    """Write `access`, if anything says that somebody may not use something."""
    restricted = any(each.servers is not None or each.tools is not None for each in callers)
    if not restricted and not any(each.allow is not None or each.deny for each in servers):
        return
    rules: list[dict[str, Any]] = []
    for caller in callers:
        origin = caller.origin or ("servers",)
        try:
            targets = [target for server in servers for target in _targets(caller, server)]
        except _TwoPatterns:
            draft.problem(origin, _TWO_PATTERNS)
            continue
        if not targets:
            draft.problem(origin, _NOTHING)
        draft.origins[("access", len(rules))] = origin
        rules.append({"allow": f"apikey:{caller.key}" if caller.key is not None else "*", "to": targets})
    for each in servers:
        if each.deny:
            draft.origins[("access", len(rules))] = each.origin
            rules.append({"deny": "*", "to": [f"{each.server}:{_plain(tool)}" for tool in each.deny]})
    draft.put(("access",), rules, ("servers",))


def _targets(caller: Caller, server: Tools) -> list[str]:
    """What of `server` that `caller` may use. Raises _TwoPatterns."""
    if caller.servers is not None and not any(_matches(server.server, each) for each in caller.servers):
        return []
    wanted = ("*",) if caller.tools is None else tuple(_of_server(caller.tools, server.server))
    both = [_both(one, other) for one in wanted for other in server.allow or ("*",)]
    found = list(dict.fromkeys(each for each in both if each is not None))
    return [server.server] if "*" in found else [f"{server.server}:{_plain(each)}" for each in found]


def _of_server(tools: Iterable[str], server: str) -> Iterable[str]:
    """The patterns of `tools` that are about tools of `server`."""
    for pattern in tools:
        wanted, slash, tool = pattern.partition("/")
        if not slash:
            yield pattern
        elif _matches(server, wanted):
            yield tool


def _both(one: str, other: str) -> str | None:
    """What both patterns match, as a pattern; None for nothing. Raises _TwoPatterns where there is none."""
    if one == other or other == "*":
        return one
    if one == "*":
        return other
    for name, pattern in ((one, other), (other, one)):
        if "*" not in name and "?" not in name:
            return name if _matches(name, pattern) else None
    raise _TwoPatterns


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, _plain(pattern))


def _plain(pattern: str) -> str:
    """`pattern`, in which a bracket is a bracket, as one of ours, in which it begins a set of letters."""
    return pattern.replace("[", "[[]")


def translate_rates(top: Part, callers: list[Caller]) -> None:
    """Write `rate_limits`. A key with a limit of its own has that one alone."""
    draft, where = top.draft, top.at("rateLimit")
    has_one = top.has("rateLimit")
    rate = top.part("rateLimit")
    limit = _limit(rate) if has_one else None
    per_key = rate.truth("perKey", default=True)
    rate.finish()
    own = [each for each in callers if each.rate is not None]
    rules: list[dict[str, Any]] = []
    if limit is not None and callers[:1] == [Caller()]:
        if per_key and "auth" not in draft.document:
            draft.note(where, "without 'auth' all callers are counted together: nothing here depends on addresses")
        rules.append({"per": "key", "limit": limit})
        if not per_key and "auth" in draft.document:
            draft.problem(rate.at("perKey"), _EVERYBODY)
    elif limit is not None and not per_key and len(callers) > 1:
        draft.problem(rate.at("perKey"), _EVERYBODY)
    elif limit is not None and not own:
        rules.append({"per": "key", "limit": limit})
    elif limit is not None:
        rules += [{"per": "key", "limit": limit, "key": each.key} for each in callers if each.rate is None]
    origins: list[KeyPath] = [where] * len(rules)
    for each in own:
        part = Part(draft, each.rate, (*each.origin, "rateLimit"))
        if (text := _limit(part)) is not None:
            rules.append({"per": "key", "limit": text, "key": each.key})
            origins.append(part.path)
        part.finish()
    if rules:
        draft.put(("rate_limits",), rules, where)
        draft.origins |= {("rate_limits", number): origin for number, origin in enumerate(origins)}


def _limit(rate: Part) -> str | None:
    """The limit in our words; None where it cannot be said."""
    limit = rate.number("limit", "expected a whole number of requests above zero", whole=True)
    seconds = rate.number("windowSeconds", "expected a whole number of seconds above zero", whole=True)
    if (rate.has("limit") and limit is None) or (rate.has("windowSeconds") and seconds is None):
        return None
    return f"{int(limit or DEFAULT_LIMIT)}/{int(seconds or DEFAULT_WINDOW)} seconds"
