"""`isolation` and `linger`: for whom one child is, and how long it outlives its last session."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.config.base import Model
from common.config.values import HeaderName
from common.units import Duration

ALONE: Final = ("session",)
"""A child for each session."""

_USER: Final = "user"
_HEADER: Final = "header:"
_EXPECTED: Final = "expected 'session', 'user', or a list such as [user, \"header:X-Conversation-Id\"]"
_header_name = TypeAdapter[str](HeaderName)


def _as_list(value: object) -> object:
    """One word stands for a list of it."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence):
        raise ValueError(_EXPECTED)
    return tuple(value)


def _parts(value: tuple[str, ...]) -> tuple[str, ...]:
    if value in (ALONE, (_USER,)):
        return value
    if not value or value[0] != _USER or not all(each.startswith(_HEADER) for each in value[1:]):
        raise ValueError(_EXPECTED)
    if len({each.lower() for each in value}) < len(value):
        raise ValueError("expected each header once")
    for each in value[1:]:
        _check_header(each.removeprefix(_HEADER))
    return value


def _check_header(name: str) -> None:
    try:
        _header_name.validate_python(name)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


Isolating = Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_parts)]


class Sharing(Model):
    """What holds for every server, and may be given for one: for whom a child is."""

    isolation: Isolating = ALONE
    linger: Duration = 300.0
    """Seconds that a child lives on after the last of the sessions that share it."""

    @property
    def is_shared(self) -> bool:
        """Whether one user's sessions share a child."""
        return self.isolation != ALONE

    @property
    def sharing_headers(self) -> tuple[str, ...]:
        """The headers that tell one user's children apart."""
        return tuple(each.removeprefix(_HEADER) for each in self.isolation[1:])


def check_users_are_known(places: Iterable[tuple[str, ...]], *, auth_is_on: bool) -> None:
    """Raises ValidationError for each of the `places` in the file that has one user's sessions share a child.

    Without `auth` all callers are the same nobody, and nobody shares anything with the others.
    """
    text = (
        "without 'auth' nobody knows whose a session is, so each has a child of its own; expected 'auth', or 'session'"
    )
    error = PydanticCustomError("isolation", "{text}", {"text": text})
    details = [InitErrorDetails(type=error, loc=(*place, "isolation"), input=None) for place in places]
    if details and not auth_is_on:
        raise ValidationError.from_exception_data("isolation", details)
