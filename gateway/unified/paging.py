"""Lists in pages. No I/O.

A list is in the order of a key that each of its items has, and a cursor is the key of the last one that was shown: so
nothing is shown twice, or left out, because other items have come or gone between two pages.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from gateway.errors import bad_request
from gateway.unified.parameters import Query, number, one

LIMIT: Final = "limit"
CURSOR: Final = "cursor"
PARAMETERS: Final = frozenset({LIMIT, CURSOR})

DEFAULT: Final = 100
MOST: Final = 500
"""Items of one page."""

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", tuple[str, str], tuple[float, str])


@dataclass(frozen=True)
class Page(Generic[_Key]):
    """`limit` items at most, those behind `after`."""

    limit: int = DEFAULT
    after: _Key | None = None


def page_of(query: Query, key: type[_Key]) -> Page[_Key]:
    """The page that is asked for, of a list whose items have such a `key`. Raises GatewayError."""
    limit, cursor = number(query, LIMIT, 1, MOST, DEFAULT), one(query, CURSOR)
    return Page(limit, None if cursor is None else _read(cursor, key))


def cut(items: Iterable[_Item], key: Callable[[_Item], _Key], page: Page[_Key]) -> tuple[list[_Item], str | None]:
    """What is on the page, in the order of the keys, and the cursor of the next one, if there is one."""
    after = page.after
    rest = sorted((item for item in items if after is None or key(item) > after), key=key)
    shown = rest[: page.limit]
    return shown, _write(key(shown[-1])) if len(rest) > len(shown) else None


def _write(key: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _read(cursor: str, key: type[_Key]) -> _Key:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=key)
    except (binascii.Error, ValueError, RecursionError):
        raise bad_request(f"'{CURSOR}' is the nextCursor of the page before", parameter=CURSOR) from None
