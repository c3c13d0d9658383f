"""The `{{placeholders}}` of a `librechat.yaml`: which LibreChat knows, and what each does to a connection. No I/O."""

import difflib
import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

ANY: Final = re.compile(r"\{\{([^{}]*)\}\}")

USER: Final = frozenset(
    f"LIBRECHAT_USER_{each}"
    for each in """ID NAME USERNAME EMAIL PROVIDER ROLE GOOGLEID FACEBOOKID OPENIDID SAMLID LDAPID GITHUBID DISCORDID
    APPLEID EMAILVERIFIED TWOFACTORENABLED TERMSACCEPTED TERMSACCEPTEDAT""".split()
)
BODY: Final = frozenset(f"LIBRECHAT_BODY_{each}" for each in ("CONVERSATIONID", "PARENTMESSAGEID", "MESSAGEID"))
GRAPH: Final = "LIBRECHAT_GRAPH_ACCESS_TOKEN"
_OPENID: Final = re.compile(r"LIBRECHAT_OPENID_[A-Z_]+")


class Effect(Enum):
    """What a placeholder does to the connection of the server in whose entry it stands."""

    USER = auto()
    """Each user has one of their own."""
    TURN = auto()
    """Each turn of a chat has one of its own."""
    UNKNOWN = auto()
    """Nothing: LibreChat sends it as it is written."""


def effect(name: str, variables: Iterable[str] = ()) -> Effect:
    """What `{{name}}` does, where `variables` are the names under `customUserVars`."""
    if name in BODY:
        return Effect.TURN
    if name in USER or name == GRAPH or _OPENID.fullmatch(name) or name in set(variables):
        return Effect.USER
    return Effect.UNKNOWN


def nearest(name: str, variables: Iterable[str] = ()) -> str:
    """The placeholder that was probably meant; the user's id where nothing is near."""
    wanted = name.strip().upper()
    if name.strip() in variables:
        return name.strip()
    for prefix, known in (("LIBRECHAT_USER_", USER), ("LIBRECHAT_BODY_", BODY)):
        if wanted.startswith(prefix):
            fields = [each.removeprefix(prefix) for each in sorted(known)]
            found = difflib.get_close_matches(wanted.removeprefix(prefix), fields, n=1)
            return prefix + found[0] if found else f"{prefix}{'ID' if known is USER else 'CONVERSATIONID'}"
    near = difflib.get_close_matches(wanted, [*variables, *sorted(USER | BODY), GRAPH], n=1)
    return near[0] if near else "LIBRECHAT_USER_ID"
