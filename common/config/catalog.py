"""What is told of the servers: by which names and tags, from which address, and how often each is looked at."""

import re
from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.config.base import Model
from common.config.values import LookInterval, NonEmpty

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
    docs_page: bool = True
    """Whether there is a page at /docs."""
    health_interval: LookInterval | None = None
    """Seconds between two looks at each server; None for no look."""
    list_at_start: bool = True
    """Whether each server is looked at once when the gateway has started."""


class Labels(Model):
    """What one server is called, beside the name that stands in its paths."""

    name: NonEmpty | None = None
    """What a person is shown."""
    tags: tuple[NonEmpty, ...] = Field(default=())


OTHER_WORDS: Final = {"maxConcurrency": "max_concurrency", "timeout": "request_timeout"}
"""What a key of a server may be called, too: the one or the other."""


def check_some_are_enabled(enabled: Iterable[bool]) -> None:
    """Raises ValidationError where no server is `enabled`."""
    if not any(enabled):
        text = "each of them has 'enabled: false'; expected at least one server without it"
        error = InitErrorDetails(
            type=PydanticCustomError("enabled", "{text}", {"text": text}), loc=("servers",), input=None
        )
        raise ValidationError.from_exception_data("enabled", [error])
