"""`access`: who may use which servers and tools, as the file has it; what it means: `gateway.access`.

A rule names callers and what it lets them use, or forbids them:

    access:
      - {allow: "*", to: [fs, time]}
      - {allow: [group:staff], to: ["github:*"]}
      - {deny: "user:guest*", to: ["github:delete_*"]}
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.config.auth import Auth
from common.config.base import Model

WAYS: Final = ("basic", "bearer", "apikey", "anonymous")
"""Ways of authentication that are the first part of a principal's name; what stands there else is a token's issuer."""

_WILDCARD: Final = re.compile(r"[*?[]")
_OF_A_CALLER: Final = ("user:", "group:", "claim:")

_EXPECTED_CALLER: Final = (
    "expected a caller: '*', 'basic:NAME', 'bearer:NAME', 'apikey:NAME', 'ISSUER:SUBJECT', 'anonymous', 'user:NAME', "
    "'group:NAME' or 'claim:NAME=VALUE'"
)


def split_principal(text: str) -> tuple[str, str]:
    """The issuer, and the pattern of its subjects, that a rule means by `text`; each empty where there is none.

    An issuer is often a URL, whose colons are its own: there the last one divides.
    """
    issuer, _, subject = text.partition(":")
    if issuer not in WAYS:
        issuer, _, subject = text.rpartition(":")
    return issuer, subject


def _caller(text: str) -> str:
    if text in ("*", "anonymous"):
        return text
    kind = next((each for each in _OF_A_CALLER if text.startswith(each)), None)
    if kind is None:
        issuer, subject = split_principal(text)
        if not issuer or not subject or subject.startswith("//") or _WILDCARD.search(issuer):
            raise ValueError(_EXPECTED_CALLER)
    elif len(text) == len(kind):
        raise ValueError(f"expected a name behind '{kind}'")
    elif kind == "claim:" and not all(text.removeprefix(kind).partition("=")):
        raise ValueError("expected 'claim:NAME=VALUE'")
    return text


def _target(text: str) -> str:
    server, colon, tool = text.partition(":")
    if not server or (colon and not tool):
        raise ValueError("expected SERVER or SERVER:TOOL; either may hold the wildcards * and ?")
    return text


def _several(value: object) -> object:
    """One is a list of one."""
    if value == []:
        raise ValueError("expected one at least")
    return (value,) if isinstance(value, str) else value


def _rules(value: object) -> object:
    if not value:
        raise ValueError("expected one rule at least; without the key everybody may use everything")
    return value


Callers = Annotated[tuple[Annotated[str, AfterValidator(_caller)], ...], BeforeValidator(_several)]
Targets = Annotated[tuple[Annotated[str, AfterValidator(_target)], ...], BeforeValidator(_several)]


class AccessRule(Model):
    """One of `access`: whom it is about, what it says, and of what."""

    allow: Callers | None = None
    deny: Callers | None = None
    to: Targets

    @model_validator(mode="after")
    def _says_one_thing(self) -> "AccessRule":
        if (self.allow is None) == (self.deny is None):
            raise ValueError("expected either 'allow' or 'deny', with the callers that the rule is about")
        return self


AccessRules = tuple[AccessRule, ...]


def _unknown_servers(rules: AccessRules, known: Sequence[str]) -> Iterator[InitErrorDetails]:
    for number, rule in enumerate(rules):
        for place, target in enumerate(rule.to):
            server = target.partition(":")[0]
            if not _WILDCARD.search(server) and server not in known:
                yield _problem("there is no such server under 'servers'", number, "to", place)


def _unknown_keys(rules: AccessRules, auth: Auth) -> Iterator[InitErrorDetails]:
    """Callers that nobody can be, where there is `auth`: a rule that denies one would let in the one who was meant."""
    known = {
        "basic": [each.username for each in auth.users],
        "bearer": [each.name for each in auth.tokens if each.name is not None],
        "apikey": [each.name for each in auth.keys],
    }
    if not auth.is_on:
        return
    has_nameless = len(known["bearer"]) < len(auth.tokens)
    for number, rule in enumerate(rules):
        says = "allow" if rule.allow is not None else "deny"
        for place, caller in enumerate(rule.allow or rule.deny or ()):
            way, _, name = caller.partition(":")
            if way not in known or name in known[way] or _WILDCARD.search(name) or (way == "bearer" and has_nameless):
                continue
            there = ", ".join(f"'{way}:{each}'" for each in known[way])
            text = f"nobody under 'auth' is called this{f'; there is {there}' if there else ''}"
            yield _problem(text, number, says, place)


def _problem(text: str, *where: int | str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("value_error", "{text}", {"text": text}), loc=where, input=None)


def _fits_the_file(rules: AccessRules, info: ValidationInfo) -> AccessRules:
    """Where rules are for servers, these are among those that the file has, which were read before."""
    problems = list(_unknown_servers(rules, tuple(info.data["servers"]))) if "servers" in info.data else []
    problems += _unknown_keys(rules, info.data["auth"]) if "auth" in info.data else []
    if problems:
        raise ValidationError.from_exception_data("access", problems)
    return rules


AccessOfFile = Annotated[AccessRules | None, BeforeValidator(_rules), AfterValidator(_fits_the_file)]
