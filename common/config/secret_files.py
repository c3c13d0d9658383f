"""A secret that stands in a file of its own: what the key holds is the file's path, and after the loading its content.

So the supervisor reads it, once for each load, and the gateway needs no right to the file.
"""

from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, ValidationInfo

from common.config.values import Secret

LARGEST: Final = 1 << 18
"""Bytes: enough for a set of keys, too few to hurt."""


def _read(value: object, info: ValidationInfo) -> object:
    """The content of the file `value`, relative to the directory of the configuration, without a newline at its end.

    Where there is no directory the content has been read already, by the supervisor.
    """
    if info.context is None:
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("expected the path of a file")
    try:
        with Path(info.context, value).expanduser().open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"the file cannot be read: {getattr(error, 'strerror', None) or 'there is no such user'}"
        ) from None
    if len(content) > LARGEST:
        raise ValueError(f"the file is larger than {LARGEST} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("the file is no text in UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("the file is empty")
    if "\0" in text:
        raise ValueError("the file has zero bytes in it")
    return text


FileSecret = Annotated[Secret, BeforeValidator(_read)]
