"""Warm spares: how many children of a server are to stand ready before anybody asks (`warm`), and their memory."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from common.config.base import Model
from common.config.values import Size

MOST: Final = 100
"""Spares of one server: more would be a load that nobody asked for."""


def _warm(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    if not is_number and value != "auto":
        raise ValueError(f"expected a number of spares from 0 to {MOST}, or 'auto'")
    return value


Spares = Annotated[int | Literal["auto"], BeforeValidator(_warm)]


class Warm(Model):
    """What holds for every server, and may be given for one: how many spares it has."""

    warm: Spares = 0
    """A number of children, or as many as the arrivals ask for."""


class WarmMemory(Model):
    """What all spares together may use."""

    warm_memory_max: Annotated[Size, Field(ge=1 << 20)] | None = None
    """Bytes; None is a tenth of the machine's memory."""
