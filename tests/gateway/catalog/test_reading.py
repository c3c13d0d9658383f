"""The pages of a list: what can be understood stays, what cannot goes."""

import gc

import msgspec
import pytest
from msgspec import Raw

from gateway.catalog.offers import Prompt, Resource, Tool, Welcome
from gateway.catalog.reading import MAX_BYTES, OVERHEAD, Collected, Malformed, TooLarge, detached, size_of


def tools(*items: object, **members: object) -> bytes:
    return msgspec.json.encode({"tools": items, **members})


def collected(*pages: bytes) -> Collected[Tool]:
    found = Collected("tools", Tool)
    for page in pages:
        found.add(page)
    return found


def test_a_malformed_tool_is_left_out_and_the_others_stay() -> None:
    found = collected(tools({"name": "a"}, {"nam": "b"}, 5, {"name": 7}, {"name": "c", "title": "See"}, {"name": ""}))
    assert list(found.found) == ["a", "c"]
    [said] = found.losses(more=False)
    assert said == "4 of its tools are malformed, the first: Object missing required field `name`"


@pytest.mark.parametrize("schema", [5, "x", [], True])
def test_a_tool_whose_schema_is_no_object_is_malformed(schema: object) -> None:
    assert not collected(tools({"name": "a", "inputSchema": schema})).found
    assert not collected(tools({"name": "a", "outputSchema": schema})).found
    assert not collected(tools({"name": "a", "annotations": schema})).found


def test_null_is_as_good_as_nothing() -> None:
    members = dict.fromkeys(("inputSchema", "outputSchema", "annotations", "title", "description"))
    [tool] = collected(tools({"name": "a", **members})).found.values()
    assert tool == Tool("a")


def test_what_is_no_utf_8_is_malformed() -> None:
    page = b'{"tools":[{"name":"a"},{"name":"b","inputSchema":{"title":"\xff"}},{"name":"\xff"}]}'
    assert list(collected(page).found) == ["a"]


def test_of_several_tools_with_one_name_the_first_counts() -> None:
    found = collected(tools({"name": "a", "title": "1"}), tools({"name": "a", "title": "2"}, {"name": "b"}))
    assert [(tool.name, tool.title) for tool in found.found.values()] == [("a", "1"), ("b", None)]


@pytest.mark.parametrize(
    "page",
    [b"", b"[]", b"null", b"{}", b'{"tools":{}}', b'{"tools":null}', b'{"tools":[],"nextCursor":5}', b'{"tools":[}'],
)
def test_a_page_that_is_none_is_told_from_one_with_a_malformed_tool(page: bytes) -> None:
    with pytest.raises(Malformed):
        collected(page)


def test_a_page_says_where_the_next_one_is() -> None:
    found = Collected("tools", Tool)
    assert found.add(tools(nextCursor="x")) == "x"
    assert found.add(tools(nextCursor=None)) is None
    assert found.add(tools()) is None


def test_a_list_is_bounded_over_all_its_pages() -> None:
    page = tools({"name": "a", "description": "x" * (MAX_BYTES // 3)})
    with pytest.raises(TooLarge):
        collected(page, page, page, page)


def test_many_small_things_are_as_much_as_a_few_large_ones() -> None:
    with pytest.raises(TooLarge):
        collected(tools(*[0] * (MAX_BYTES // OVERHEAD + 1)))


def test_nothing_keeps_the_page_alive() -> None:
    [tool] = collected(tools({"name": "a", "inputSchema": {"x": 1}}, junk="x" * 1_000_000)).found.values()
    gc.collect()
    assert not any(isinstance(each, bytes) and len(each) > 1_000_000 for each in gc.get_referents(tool.input_schema))
    assert bytes(tool.input_schema) == b'{"x":1}'
    assert size_of(tool) < 1000


def test_what_is_kept_has_its_size() -> None:
    assert size_of(Tool("a", description="x" * 1000)) > 1000
    assert size_of(Prompt("a", arguments=Raw(b"[%b]" % (b" " * 1000)))) > 1000
    assert size_of(Welcome(capabilities={"tools": Raw(b"{%b}" % (b" " * 1000))})) > 1000


def test_resources_are_told_apart_by_their_address() -> None:
    found = Collected("resources", Resource)
    found.add(
        msgspec.json.encode({"resources": [{"uri": "a:1", "name": "n"}, {"uri": "a:2", "name": "n"}, {"name": "n"}]})
    )
    assert list(found.found) == ["a:1", "a:2"]


def test_what_is_no_json_is_not_kept() -> None:
    with pytest.raises(msgspec.DecodeError):
        detached(Raw(b"{"))
