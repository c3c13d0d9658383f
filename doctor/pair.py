"""Who the two made-up users are: what the configuration allows to prove. No I/O."""

import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.config.model import GatewaySettings
from common.config.values import REVEAL_SECRETS
from doctor.client import Caller

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Credential:
    """One that can be presented: where the file has it, what it is called there, and the headers that it makes."""

    place: str
    name: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """`why_one` says why both are one and the same principal to the gateway, where they are, and `remedy` what to do."""

    a: Caller = field(repr=False)
    b: Caller = field(repr=False)
    who: str
    why_one: str = ""
    remedy: str = ""
    made_up: bool = False
    """Whether nobody else is either of them."""

    @property
    def are_two(self) -> bool:
        return not self.why_one


def make_pair(settings: GatewaySettings, tokens: Sequence[str] = ()) -> Pair | None:
    """Two users for a gateway with `settings`; None where credentials are needed, and none can be presented.

    `tokens` are Bearer tokens that the operator gives, for a hash in the file cannot be presented.
    """
    if not settings.auth.is_on:
        why = "without `auth` all callers are one principal, and an id is all that they need"
        return Pair(Caller("A"), Caller("B"), "two callers without credentials", why, "configure `auth`")
    given = [Credential(f"token {index}", "", _bearer(each)) for index, each in enumerate(tokens, 1)]
    known = given or list(configured(settings.auth.model_dump(mode="json", context=REVEAL_SECRETS)))
    users = settings.users
    if users.trust_user_header is not None:
        # Whether a token that was given is a front's, its holder knows.
        front = next((each for each in known if given or each.name in users.trusted_fronts), None)
        if front is not None:
            return _on_behalf(front, users.trust_user_header)
    if len(known) > 1:
        a, b = known[:2]
        return Pair(Caller("A", a.headers), Caller("B", b.headers), f"{a.place} and {b.place}")
    if not known:
        return None
    [only] = known
    why = "there is one credential to be had, and whoever has it is one principal"
    remedy = "trust_user_header with a key of trusted_fronts, or two files of tokens with --token-file"
    return Pair(Caller("A", only.headers), Caller("B", only.headers), f"twice {only.place}", why, remedy)


def _on_behalf(front: Credential, header: str) -> Pair:
    """Two users who never were, as the front would name them; another two in each run."""
    run = secrets.token_hex(4)
    a, b = (Caller(each, {**front.headers, header: f"doctor-{run}-{each.lower()}"}) for each in "AB")
    return Pair(a, b, f"two made-up users in {header}, by {front.place}", made_up=True)


def configured(auth: Plain) -> Iterator[Credential]:
    """The credentials that `auth`, its secrets revealed, has in plain words or from a file; hashes are passed over."""
    for index, each in enumerate(_of(auth, "bearer", "tokens")):
        token = each if isinstance(each, Mapping) else {"token": each}
        if secret := token.get("token") or token.get("file"):
            yield Credential(f"auth.bearer.tokens[{index}]", token.get("name") or "", _bearer(secret))
    for index, each in enumerate(_of(auth, "api_keys", "keys")):
        if secret := each.get("key") or each.get("file"):
            yield Credential(f"auth.api_keys.keys[{index}]", each["name"], {"X-API-Key": secret})
    for index, each in enumerate(_of(auth, "basic", "credentials")):
        if secret := each.get("password") or each.get("password_file"):
            name = each["username"]
            yield Credential(f"auth.basic.credentials[{index}]", name, _basic(name, secret))


def _of(auth: Plain, way: str, key: str) -> Sequence[Any]:
    group = auth.get(way) or {}
    found: Sequence[Any] = group.get(key) or () if group.get("enabled", True) else ()
    return found


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _basic(username: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}
