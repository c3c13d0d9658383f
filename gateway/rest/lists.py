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


class _Next(msgspec.Struct, rename="camel"):
    next_cursor: str | None = None


async def listed(ask: Ask, key: str, cursor: str | None, limit: int) -> bytes:
    """The JSON of an object with all that is listed under `key`, from `cursor` on; nothing where there is no such list.

    It has a `nextCursor` where that would be more than MAX_PAGES, or longer than `limit` bytes and a page. Raises
    GatewayError.
    """
    found: list[bytes] = []
    size = 0
    for _ in range(MAX_PAGES):
        things, cursor = await _page(ask, key, cursor)
        found += [things] if things else []
        size += len(things)
        if cursor is None or size > limit:
            break
    whole = Raw(b"[%b]" % b",".join(found))
    return msgspec.json.encode({key: whole, **({} if cursor is None else {"nextCursor": cursor})})


async def _page(ask: Ask, key: str, cursor: str | None) -> tuple[bytes, str | None]:
    """What stands between the brackets: there may be millions of things, of which none is looked at by itself."""
    try:
        page = await ask({} if cursor is None else {"cursor": cursor})
        things = bytes(msgspec.json.decode(page, type=dict[str, Raw])[key]).strip()
        if not things.startswith(b"["):
            raise msgspec.ValidationError
        return things[1:-1].strip(), msgspec.json.decode(page, type=_Next).next_cursor
    except GatewayError as error:
        if error.about.get("code") == METHOD_NOT_FOUND:
            return b"", None
        raise
    except (msgspec.MsgspecError, KeyError, RecursionError):
        raise GatewayError(Reason.CHILD_ERROR, f"the server's list of {key} is malformed") from None
