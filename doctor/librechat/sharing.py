"""Who shares a session: which entries are one connection for everybody, and which headers tell users apart. No I/O."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from doctor.findings import Verdict
from doctor.librechat.context import GatewayFacts, Said
from doctor.librechat.document import Entry
from doctor.librechat.placeholders import ANY, Effect, effect, nearest

_TELLING: Final = ("args", "env", "headers", "oauth", "oauth_headers", "url")
"""The keys in which a placeholder makes the connection a user's own."""

_RESOLVED: Final = (*_TELLING, "requestHeaders")
DEFAULT_HEADER: Final = "X-Gateway-User"
_BEST: Final = "{{LIBRECHAT_USER_ID}}"
_MAY_BE_EMPTY: Final = re.compile(r"\{\{LIBRECHAT_USER_(?!ID\}|EMAIL\}|PROVIDER\}|ROLE\})")
_SECRET_HEADERS: Final = frozenset({"authorization", "x-api-key", "proxy-authorization"})


def effects(entry: Entry, *keys: str) -> set[Effect]:
    """What the placeholders under `keys` do."""
    variables = entry.mapping("customUserVars")
    return {effect(name, variables) for _, text in entry.texts(*keys) for name in ANY.findall(text)}


def one_session_for_all(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """LibreChat's own rule (canUseAppConnection): which entries are one connection for the whole process."""
    check = "one session for all"
    of_its_own = entry.values
    if Effect.TURN in effects(entry, *_TELLING):
        text = "each turn of a chat is a session of its own, and its state is gone with the turn"
        remedy = "let this server's 'isolation' name the user and the header with the conversation, and 'linger'"
        yield Said(("headers",), Verdict.NOTE, check, text, remedy)
        return
    if of_its_own.get("startup") is False or of_its_own.get("requiresOAuth") is True or of_its_own.get("obo"):
        return
    if of_its_own.get("customUserVars") or Effect.USER in effects(entry, *_TELLING):
        return
    if entry.kind == "stdio":
        text = "one process, inside LibreChat, serves all users"
        yield Said((), Verdict.WARNING, check, text, "let the gateway run this server, and give its URL here")
        return
    header = (gateway.user_header if gateway is not None else None) or DEFAULT_HEADER
    remedy = f"headers: {{{header}: '{_BEST}'}}"
    if effects(entry, "requestHeaders") & {Effect.USER, Effect.TURN}:
        text = (
            "`requestHeaders` alone make it each user's own in newer versions; in older ones all users share a session"
        )
        yield Said(("requestHeaders",), Verdict.WARNING, check, text, remedy)
        return
    yield Said((), Verdict.FAILED, check, "all users of LibreChat share one session, one child and its state", remedy)


def unknown_placeholders(entry: Entry, _: GatewayFacts | None) -> Iterator[Said]:
    """What LibreChat does not replace, and sends as it is written: the same for every user."""
    variables = entry.mapping("customUserVars")
    for path, text in entry.texts(*_RESOLVED):
        for name in ANY.findall(text):
            if effect(name, variables) is Effect.UNKNOWN:
                remedy = f"did you mean {{{{{nearest(name, variables)}}}}}? Others are declared in customUserVars"
                said = f"LibreChat has no {{{{{_shown(name)}}}}}, and sends it as it is"
                yield Said(path, Verdict.FAILED, "placeholder", said, remedy)
        if text.count("{{") > len(ANY.findall(text)):
            yield Said(path, Verdict.FAILED, "placeholder", "a '{{' is never closed", "close it with '}}'")


def user_header(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """Whether the gateway learns on whose behalf each request comes, in the header that it trusts."""
    if gateway is None or gateway.server_of(entry) is None or entry.kind == "stdio":
        return
    check, trusted = "user header", gateway.user_header
    if trusted is None:
        if entry.header(DEFAULT_HEADER) is not None:
            text = f"the gateway does not look at {DEFAULT_HEADER}: to it all users are one principal"
            remedy = f"trust_user_header: {DEFAULT_HEADER} and trusted_fronts in the gateway's configuration"
            yield Said(("headers", DEFAULT_HEADER), Verdict.WARNING, check, text, remedy)
        return
    value, remedy = entry.header(trusted), f"headers: {{{trusted}: '{_BEST}'}}"
    if value is None:
        in_request = any(each.lower() == trusted.lower() for each in entry.mapping("requestHeaders"))
        text = f"{trusted} is in `requestHeaders`, which LibreChat leaves out when it asks for the tools"
        if not in_request:
            text = f"the header {trusted}, by which the gateway knows the user, is missing"
            if alike := get_close_matches(trusted.lower(), map(str.lower, entry.mapping("headers")), n=1, cutoff=0.8):
                text += f"; is {_as_written(entry, alike[0])} a misspelling of it?"
        yield Said(("headers",), Verdict.WARNING if in_request else Verdict.FAILED, check, text, remedy)
        return
    path = ("headers", _as_written(entry, trusted))
    if Effect.USER not in {effect(name, entry.mapping("customUserVars")) for name in ANY.findall(value)}:
        text = f"{trusted} is the same for all users"
        yield Said(path, Verdict.FAILED, check, text, remedy)
    elif _MAY_BE_EMPTY.search(value):
        text = f"{trusted}: for users who have no such field this is empty, and the gateway refuses them"
        yield Said(path, Verdict.WARNING, check, text, remedy)


def credentials(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """What the gateway asks for and the entry does not send, and secrets that stand in the file."""
    for name, value in entry.mapping("headers").items():
        if name.lower() in _SECRET_HEADERS and not re.search(r"\$\{|\{\{", str(value)):
            text = f"a secret stands in the file, in the header {name}"
            yield Said(
                ("headers", name), Verdict.WARNING, "secrets", text, "a variable of LibreChat's environment: ${NAME}"
            )
    found = gateway.server_of(entry) if gateway is not None else None
    if gateway is None or found is None or entry.kind == "stdio":
        return
    sends = any(entry.header(each) is not None for each in ("Authorization", "X-API-Key"))
    if gateway.needs_credentials and not (sends or entry.values.get("apiKey") or entry.values.get("requiresOAuth")):
        text = "the gateway asks for credentials, and this entry sends none"
        yield Said(("headers",), Verdict.FAILED, "credentials", text, "headers: {Authorization: 'Bearer ${NAME}'}")
    for name in found[1].headers if found[1] is not None else ():
        value = entry.header(name)
        if value is None:
            text = f"server '{found[0]}' is given each user's own {name}, and this entry does not send it"
            remedy = f"headers: {{{name}: '{{{{NAME}}}}'}} with NAME under customUserVars"
            yield Said(("headers",), Verdict.FAILED, "credentials", text, remedy)
        elif not ANY.search(value):
            text = f"{name} is to be each user's own, and here it is one for all"
            yield Said(("headers", name), Verdict.WARNING, "credentials", text, "a placeholder of customUserVars")


def _as_written(entry: Entry, header: str) -> str:
    """The header's name as the entry has it."""
    return next(each for each in entry.mapping("headers") if each.lower() == header.lower())


def _shown(name: str) -> str:
    """A placeholder's name for a person, short and printable."""
    return "".join(each if each.isprintable() else "�" for each in name[:60])
