"""Who may use which servers and tools: the rules of `access:`, and what they say of one request. No I/O.

Without rules everybody may use everything. With rules, what no rule allows is denied, and what any rule denies is denied
whatever the others allow. A rule about a server is about all that it has; one about tools allows the server, too, for a
tool is of no use without it, but denies the tools alone. Prompts and resources come with their server.

What is denied is as unknown as what does not exist. The decision is made anew for each request: what a token says of its
subject may be another with the next one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final

from common.config.access import AccessRule, split_principal
from gateway.identity.principal import ANONYMOUS
from gateway.identity.who import Who

GROUPS: Final = "groups"
"""The claim that holds somebody's groups, where their issuer's entry names no other."""

Matcher = Callable[[str], object]
"""Whether a text is meant: something true, or not."""

_Caller = Callable[[Who], bool]
_EVERYWHERE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Permission:
    """What one request may use of one server."""

    server: bool
    """Whether it may use the server at all."""
    every_tool: bool
    """Whether all its tools, those of which nobody knows yet among them."""
    allowed: tuple[Matcher, ...] = ()
    denied: tuple[Matcher, ...] = ()

    def tool(self, name: str) -> bool:
        """Whether it may use the tool `name`."""
        if self.every_tool:
            return True
        return any(match(name) for match in self.allowed) and not any(match(name) for match in self.denied)


EVERYTHING: Final = Permission(server=True, every_tool=True)
NOTHING: Final = Permission(server=False, every_tool=False)


@dataclass(frozen=True, slots=True)
class _Target:
    server: Matcher
    tool: Matcher | None
    """None for the server and all that it has."""


@dataclass(frozen=True, slots=True)
class _Rule:
    allows: bool
    callers: tuple[_Caller, ...]
    targets: tuple[_Target, ...]


class Access:
    """The rules, compiled; None is for no rules at all. `groups` has the claim of each issuer that holds groups."""

    def __init__(self, rules: Iterable[AccessRule] | None = None, groups: Mapping[str, str] = _EVERYWHERE) -> None:
        self._rules = None if rules is None else tuple(_compiled(rule, groups) for rule in rules)

    def __repr__(self) -> str:
        return "<Access: everything>" if self._rules is None else f"<Access: {len(self._rules)} rules>"

    def permission(self, who: Who, server: str) -> Permission:
        """What `who` may use of `server`. To be asked again for the next request."""
        if self._rules is None:
            return EVERYTHING
        allowed: list[Matcher] = []
        denied: list[Matcher] = []
        for rule in self._rules:
            tools = [target.tool for target in rule.targets if target.server(server)]
            if not tools or not any(caller(who) for caller in rule.callers):
                continue
            if not rule.allows and None in tools:
                return NOTHING
            (allowed if rule.allows else denied).extend(_anything if tool is None else tool for tool in tools)
        if not allowed:
            return NOTHING
        return Permission(
            server=True,
            every_tool=_anything in allowed and not denied,
            allowed=tuple(allowed),
            denied=tuple(denied),
        )

    def allows_server(self, who: Who, server: str) -> bool:
        """Whether `who` may use `server` at all."""
        return self.permission(who, server).server

    def allows_tool(self, who: Who, server: str, tool: str) -> bool:
        """Whether `who` may use that tool of `server`."""
        return self.permission(who, server).tool(tool)


def _anything(_: str) -> bool:
    return True


def _matcher(pattern: str) -> Matcher:
    return re.compile(translate(pattern)).match


def _compiled(rule: AccessRule, groups: Mapping[str, str]) -> _Rule:
    callers = rule.allow if rule.allow is not None else rule.deny or ()
    return _Rule(rule.allow is not None, tuple(_caller(each, groups) for each in callers), tuple(map(_target, rule.to)))


def _target(text: str) -> _Target:
    server, colon, tool = text.partition(":")
    return _Target(_matcher(server), _matcher(tool) if colon else None)


def _caller(text: str, groups: Mapping[str, str]) -> _Caller:
    if text == "*":
        return lambda _: True
    if text == ANONYMOUS.issuer:
        return lambda who: who.principal == ANONYMOUS
    kind, _, pattern = text.partition(":")
    if kind == "user":
        match = _matcher(pattern)
        return lambda who: bool(who.principal.user) and bool(match(who.principal.user))
    if kind == "group":
        return _with_claim(lambda who: groups.get(who.principal.issuer, GROUPS), pattern)
    if kind == "claim":
        name, _, value = pattern.partition("=")
        return _with_claim(lambda _: name, value)
    return _with_name(*split_principal(text))


def _with_name(issuer: str, subject: str) -> _Caller:
    match = _matcher(subject)
    return lambda who: who.principal.issuer == issuer and bool(match(who.principal.subject))


def _with_claim(name: Callable[[Who], str], pattern: str) -> _Caller:
    match = _matcher(pattern)
    return lambda who: any(match(value) for value in _values(_claim(who.claims, name(who))))


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim `name`; where there is none, what stands in others by a path with dots, such as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _values(claim: object) -> Iterable[str]:
    """The texts that a claim holds: one, or those of a list."""
    for each in claim if isinstance(claim, list | tuple) else (claim,):
        if isinstance(each, bool):
            yield "true" if each else "false"
        elif isinstance(each, str | int | float):
            yield str(each)
