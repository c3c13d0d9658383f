"""What a child lists, in as few pages as it can be had: each thing is the bytes that the child sent."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.specification import METHOD_NOT_FOUND

MAX_PAGES: Final = 100
"""Pages that are put together to one; where there are more, the caller may ask for the rest."""

Ask = Callable[[dict[str, str]], Awaitable[bytes]]
"""Asks for one page, by its params. Raises GatewayError."""


class _Page(msgspec.Struct, rename="camel"):
    next_cursor: str | None = None


async def listed(ask: Ask, key: str, cursor: str | None, limit: int) -> bytes:
    """The JSON of an object with all that is listed under `key`, from `cursor` on; nothing where there is no such list.

    It has a `nextCursor` where that would be more than MAX_PAGES, or longer than `limit` bytes and a page. Raises
    GatewayError.
    """
    found: list[Raw] = []
    size = 0
    for _ in range(MAX_PAGES):
        page, cursor = await _page(ask, key, cursor)
        found += page
        size += sum(len(memoryview(each)) for each in page)
        if cursor is None or size > limit:
            break
    return msgspec.json.encode({key: found, **({} if cursor is None else {"nextCursor": cursor})})


async def _page(ask: Ask, key: str, cursor: str | None) -> tuple[list[Raw], str | None]:
    try:
        page = await ask({} if cursor is None else {"cursor": cursor})
        items = msgspec.json.decode(msgspec.json.decode(page, type=dict[str, Raw])[key], type=list[Raw])
        return items, msgspec.json.decode(page, type=_Page).next_cursor
    except GatewayError as error:
        if error.about.get("code") == METHOD_NOT_FOUND:
            return [], None
        raise
    except (msgspec.MsgspecError, KeyError, RecursionError):
        raise GatewayError(Reason.CHILD_ERROR, f"the server's list of {key} is malformed") from None
