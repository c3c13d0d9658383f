"""How long an answer over Streamable HTTP may be: two keys of a configuration file, and what stands for nothing given."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ByteSize, TypeAdapter, ValidationError

from common.config.base import Model

AUTO: Final = "auto"
_SMALLEST: Final = 64 * 1024
"""Bytes; an error in place of an answer has to fit, and a list of tools ought to."""

_sizes: Final = TypeAdapter(ByteSize)


def _bound(value: object) -> object:
    """A size, None for none, or `auto`."""
    if value is None or value == AUTO:
        return value
    try:
        size = _sizes.validate_python(value) if not isinstance(value, bool | Mapping | list) else ByteSize(0)
    except ValidationError:
        size = ByteSize(0)
    if not _SMALLEST <= size <= 1 << 30:
        raise ValueError("expected 'auto', null, or a size between 64KiB and 1GiB, such as 15MiB")
    return int(size)


Bound = Annotated[int | Literal["auto"] | None, BeforeValidator(_bound)]


class Answers(Model):
    """What holds for every server, and may be given for one: bounds on answers, in bytes; null is no bound.

    `auto` is what the client is known to take.
    """

    max_result_bytes: Bound = AUTO
    """Of one whole answer."""
    max_event_bytes: Bound = AUTO
    """Of one event of a stream."""
