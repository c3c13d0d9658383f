"""Whether those who are to be believed about their users are there: `trusted_fronts`, held against `auth`. No I/O."""

from collections.abc import Iterable, Iterator

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.config.auth import Auth
from common.config.users import Users

Place = tuple[str | int, ...]
"""Where in the file something is wrong."""


def check_fronts(users: Users, auth: Auth) -> None:
    """Raises ValidationError, with the place of everything that is wrong."""
    details = [
        InitErrorDetails(type=PydanticCustomError("fronts", "{text}", {"text": text}), loc=place, input=None)
        for place, text in _problems(users, auth)
    ]
    if details:
        raise ValidationError.from_exception_data("fronts", details)


def _problems(users: Users, auth: Auth) -> Iterator[tuple[Place, str]]:
    header = ("trust_user_header",)
    if users.trust_user_header is None:
        given = ("trusted_fronts", bool(users.trusted_fronts)), ("require_user", users.require_user)
        yield from (
            ((key,), "this needs 'trust_user_header', which says where the user stands") for key, on in given if on
        )
    elif not auth.is_on:
        yield header, "without 'auth' anybody could write this header; expected 'auth', and a key for the front"
    elif not users.trusted_fronts:
        yield header, f"expected 'trusted_fronts', with the names of the keys that are believed{_of(auth.names())}"
    else:
        yield from _unknown(users.trusted_fronts, sorted(set(auth.names())))


def _unknown(fronts: tuple[str, ...], known: list[str]) -> Iterator[tuple[Place, str]]:
    for index, name in enumerate(fronts):
        if name not in known:
            text = "no key under 'auth' has this name; a token has one where it is written {name: …, token: …}"
            yield ("trusted_fronts", index), text + _of(known)


def _of(known: Iterable[str]) -> str:
    found = ", ".join(f"'{name}'" for name in known)
    return f"; there is {found}" if found else ""
