"""What is told of the servers: by which names and tags, from which address, and how often each is looked at."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from common.config.base import Model
from common.config.values import NonEmpty
from common.units import Duration

_URL: Final = re.compile(r"https?://[^/?#\s@]+(/[^?#\s]*)?", re.IGNORECASE)


def _address(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("expected an address such as https://gateway.example.org, without a query")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
"""Where a program is reached: without a slash at its end."""


class Publicity(Model):
    """What the gateway tells of itself and its servers, for all of them."""

    public_url: Address | None = None
    """Where clients reach the gateway, a proxy's path included; else it is what each request was sent to."""
    health_interval: Duration | None = None
    """Seconds between two looks at each server; None for no look."""


class Labels(Model):
    """What one server is called, beside the name that stands in its paths."""

    name: NonEmpty | None = None
    """What a person is shown."""
    tags: tuple[NonEmpty, ...] = Field(default=())
