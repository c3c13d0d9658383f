"""Who the two made-up users are: what the configuration allows to prove. No I/O."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from common.config.model import GatewaySettings
from doctor.client import Caller


@dataclass(frozen=True, slots=True)
class Pair:
    """`why_one` says why both are one and the same principal to the gateway, where they are, and `remedy` what to do."""

    a: Caller = field(repr=False)
    b: Caller = field(repr=False)
    who: str
    why_one: str = ""
    remedy: str = ""

    @property
    def are_two(self) -> bool:
        return not self.why_one


def make_pair(settings: GatewaySettings, tokens: Sequence[str], tag: str) -> Pair | None:
    """Two users for a gateway with `settings`; None where credentials are needed, and none can be presented.

    `tokens` are Bearer tokens that the operator gives, for hashes cannot be presented. `tag` makes the names of users one
    run's own.
    """
    credentials = [("a token that was given", _bearer(each)) for each in tokens] or _configured(settings)
    if not settings.auth.is_on:
        return Pair(
            Caller("A"),
            Caller("B"),
            "two callers without credentials",
            "without `auth` all callers are one principal, and an id is all that they need",
            "configure `auth`",
        )
    if not credentials:
        return None
    if len(credentials) > 1:
        (first, a), (second, b) = credentials[:2]
        return Pair(Caller("A", a), Caller("B", b), f"{first} and {second}")
    [(name, headers)] = credentials
    return Pair(
        Caller("A", headers),
        Caller("B", headers),
        f"twice {name}",
        "there is one credential, and whoever has it is one principal",
        "trust_user_header for a key of a trusted front, or a second credential",
    )


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _basic(username: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _configured(settings: GatewaySettings) -> list[tuple[str, dict[str, str]]]:
    """The credentials of the file that can be presented, with a name for each that tells nothing."""
    auth = settings.auth
    found: list[tuple[str, dict[str, str]]] = []
    if auth.bearer is not None and auth.bearer_is_on:
        for index, token in enumerate(auth.bearer.tokens):
            found.append((f"auth.bearer.tokens[{index}]", _bearer(token.get_secret_value())))
    if auth.basic is not None and auth.basic_is_on:
        for index, each in enumerate(auth.basic.credentials):
            headers = _basic(each.username, each.password.get_secret_value())
            found.append((f"auth.basic.credentials[{index}]", headers))
    return found
