"""Lists of a child, put together of its pages."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp_types import METHOD_NOT_FOUND

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.rest.lists import MAX_PAGES, listed

pytestmark = pytest.mark.anyio

Ask = Callable[[dict[str, str]], Awaitable[bytes]]


def pages(count: int) -> Ask:
    """A child that has so many pages, of one thing each."""

    async def ask(params: dict[str, str]) -> bytes:
        at = int(params.get("cursor", "0"))
        more = {"nextCursor": str(at + 1)} if at + 1 < count else {}
        return json.dumps({"prompts": [{"name": f"p{at}", "odd": None}], **more}).encode()

    return ask


async def names(ask: Ask, cursor: str | None = None, limit: int = 10**6) -> tuple[list[str], Any]:
    found = json.loads(await listed(ask, "prompts", cursor, limit))
    return [each["name"] for each in found["prompts"]], found.get("nextCursor")


async def test_all_pages_are_one() -> None:
    assert await names(pages(3)) == (["p0", "p1", "p2"], None)
    assert json.loads(await listed(pages(1), "prompts", None, 0)) == {"prompts": [{"name": "p0", "odd": None}]}


async def test_pages_of_any_shape_are_put_together() -> None:
    shapes = {"": "[ ]", "1": '[ {"name": "a]"}, {"name": "b"} ]', "2": "[]", "3": '[\n{"name": "[c"}]'}
    following = {"": "1", "1": "2", "2": "3"}

    async def ask(params: dict[str, str]) -> bytes:
        at = params.get("cursor", "")
        more = f', "nextCursor": "{following[at]}"' if at in following else ""
        return f'{{"prompts" : {shapes[at]} {more}}}'.encode()

    assert await names(ask) == (["a]", "b", "[c"], None)


async def test_a_list_without_end_comes_in_parts() -> None:
    first, cursor = await names(pages(10**9))
    assert (len(first), cursor) == (MAX_PAGES, str(MAX_PAGES))
    second, _ = await names(pages(10**9), cursor)
    assert second[0] == f"p{MAX_PAGES}"
    assert await names(pages(10**9), limit=30) == (["p0", "p1"], "2")


async def test_a_server_without_such_a_list_has_nothing() -> None:
    async def ask(_: dict[str, str]) -> bytes:
        raise GatewayError(Reason.CHILD_ERROR, "no such method", code=METHOD_NOT_FOUND)

    assert await names(ask) == ([], None)


@pytest.mark.parametrize("page", [b"{}", b"[]", b'{"prompts": 1}', b'{"prompts": [], "nextCursor": 1}'])
async def test_a_malformed_list_is_the_childs_fault(page: bytes) -> None:
    async def ask(_: dict[str, str]) -> bytes:
        return page

    with pytest.raises(GatewayError, match="malformed"):
        await names(ask)
