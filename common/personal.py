"""What is each user's own in how a server is started: placeholders, their marks, and what a value may be.

`${header:NAME}`, `${user.id}` and `${user.claim.NAME}`. As with a session's paths (`common.config.session_paths`) the
loader puts a mark in the place of each, made of NULs, which nothing else can bring in. The gateway is told the names, and
finds the values in each request; the supervisor alone knows where they stand. Both check a value, each for itself. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

HEADER: Final = "header:"
USER_ID: Final = "user.id"
CLAIM: Final = "user.claim."

MAX_VALUE: Final = 8 * 1024
"""Bytes of one value, in UTF-8."""

MAX_TOGETHER: Final = 64 * 1024
"""Bytes of all the values of one session."""

_MARK: Final = re.compile(r"\0([^\0]*)\0")
"""Any mark, a session path's too: so that nothing between two of them is taken for one."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")


def is_personal(name: str) -> bool:
    """Whether `${name}` stands for something of a user's own."""
    return name.startswith((HEADER, "user."))


def placeholders(*texts: str) -> tuple[str, ...]:
    """The names of those whose marks are in `texts`, each once, in their order."""
    found = (match[1] for text in texts for match in _MARK.finditer(text))
    return tuple(dict.fromkeys(name for name in found if is_personal(name)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with `values`, by name, in the place of their marks. What is filled in is not looked at again."""
    return _MARK.sub(lambda found: values[found[1]] if is_personal(found[1]) else found[0], text)


def said(name: str) -> str:
    """What `name` is called in a sentence: a header by its name, the rest as it is written in the configuration."""
    return f"the header {name.removeprefix(HEADER)}" if name.startswith(HEADER) else f"${{{name}}}"


def fault(value: str) -> str | None:
    """What is wrong with a value, as the end of a sentence that does not quote it; None where nothing is."""
    if not value.strip():
        return "is empty"
    if _CONTROLS.search(value):
        return "holds a control character, such as a line's end"
    if _SURROGATES.search(value):
        return "holds what is no text"
    if len(value.encode()) > MAX_VALUE:
        return f"is longer than {MAX_VALUE} bytes"
    return None


def are_too_long(values: Iterable[str]) -> bool:
    """Whether all of them together are."""
    return sum(len(value.encode("utf-8", "replace")) for value in values) > MAX_TOGETHER
