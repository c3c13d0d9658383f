"""Handles that a model opens: whose they are, when they end, and what is put into a list of tools for them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from mcp.shared.inbound import find_invalid_x_mcp_header

from gateway.identity.principal import ANONYMOUS, Principal
from gateway.modern import handles
from gateway.modern.handles import MAX_OF_ONE, Call, Gone, Handles, TooMany, Whose, agrees, read, with_handles
from gateway.rawjson import members

ALICE = Whose(Principal("basic", "alice"), "s")
BOB = Whose(Principal("basic", "bob"), "s")
ELSEWHERE = Whose(ALICE.principal, "t")


def dead(_key: str) -> bool:
    """Of a session: it has ended."""
    return False


def live(_key: str) -> bool:
    """Of a session: there it is."""
    return True


# Whose they are, and when they end.


def test_a_new_handle_is_its_owners_before_its_session_is_begun_and_while_it_lives() -> None:
    known = Handles()
    handle = known.open(ALICE, dead)
    assert known.check(handle, ALICE, "key", is_live=False) == handle
    assert known.check(handle, ALICE, "key", is_live=True) == handle
    assert repr(known) == "<Handles: 1 open>"
    assert handle not in repr(known)


def test_it_ends_with_its_session() -> None:
    known = Handles()
    handle = known.open(ALICE, dead)
    known.check(handle, ALICE, "key", is_live=False)
    with pytest.raises(Gone, match="open another with 'session_open'"):
        known.check(handle, ALICE, "key", is_live=False)
    with pytest.raises(Gone):
        known.check(handle, ALICE, "key", is_live=False)
    assert repr(known) == "<Handles: 0 open>"


@pytest.mark.parametrize("whose", [BOB, ELSEWHERE, Whose(ANONYMOUS, "s"), Whose(ALICE.principal, "s", "bob")])
def test_nobody_else_and_no_other_server_knows_it_and_the_answer_is_that_of_one_that_never_was(whose: Whose) -> None:
    known = Handles()
    handle = known.open(ALICE, dead)
    with pytest.raises(Gone) as theirs:
        known.check(handle, whose, "key", is_live=False)
    with pytest.raises(Gone) as never:
        known.check("never", whose, "key", is_live=False)
    assert str(theirs.value) == str(never.value)
    known.close(handle, whose)
    assert known.check(handle, ALICE, "key", is_live=False) == handle


def test_one_that_an_earlier_gateway_gave_out_is_good_while_its_session_lives() -> None:
    known = Handles()
    assert known.check("earlier", ALICE, "key", is_live=True) == "earlier"
    with pytest.raises(Gone):
        known.check("earlier", ALICE, "key", is_live=False)


def test_whoever_can_be_asked_other_things_is_told_so_and_ends_nothing() -> None:
    known = Handles()
    handle = known.open(ALICE, dead)
    known.check(handle, ALICE, "key", is_live=False)
    with pytest.raises(Gone, match="can be asked other things"):
        known.check(handle, ALICE, "other key", is_live=False)
    assert known.check(handle, ALICE, "key", is_live=True) == handle


def test_a_closed_one_is_gone_and_may_be_closed_again() -> None:
    known = Handles()
    handle = known.open(ALICE, dead)
    for _ in range(2):
        known.close(handle, ALICE)
    with pytest.raises(Gone):
        known.check(handle, ALICE, "key", is_live=False)


def test_of_too_many_the_one_goes_that_was_forgotten_for_longest() -> None:
    known = Handles()
    first, second, *_ = [known.open(ALICE, dead) for _ in range(MAX_OF_ONE)]
    known.check(first, ALICE, "key", is_live=False)
    another = known.open(ALICE, live)  # the first is in use, the second never was
    assert repr(known) == f"<Handles: {MAX_OF_ONE} open>"
    with pytest.raises(Gone):
        known.check(second, ALICE, "key", is_live=False)
    for handle in (first, another):
        known.check(handle, ALICE, "key", is_live=True)


def test_one_whose_session_has_ended_gives_way_too() -> None:
    known = Handles()
    opened = [known.open(ALICE, dead) for _ in range(MAX_OF_ONE)]
    for number, handle in enumerate(opened):
        known.check(handle, ALICE, f"key {number}", is_live=False)
    known.open(ALICE, lambda key: key != "key 7")
    with pytest.raises(Gone):
        known.check(opened[7], ALICE, "key 7", is_live=False)


def test_where_all_are_in_use_there_is_no_other_but_for_somebody_else() -> None:
    known = Handles()
    for handle in [known.open(ALICE, dead) for _ in range(MAX_OF_ONE)]:
        known.check(handle, ALICE, "key", is_live=False)
    with pytest.raises(TooMany, match="close one with 'session_close' first"):
        known.open(ALICE, live)
    known.open(BOB, live)
    known.open(ELSEWHERE, live)


def test_there_is_a_bound_for_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "MAX_HANDLES", 3)
    known = Handles()
    first, second = known.open(ALICE, dead), known.open(BOB, dead)
    known.check(first, ALICE, "key", is_live=False)
    known.open(ELSEWHERE, dead)
    known.open(ELSEWHERE, dead)
    assert repr(known) == "<Handles: 3 open>"
    with pytest.raises(Gone):
        known.check(second, BOB, "key", is_live=False)
    assert known.check(first, ALICE, "key", is_live=True) == first


# What is put into a list of tools.


def anything(_: str) -> bool:
    """Whoever reads the list may use all of it."""
    return True


def injected(
    *tools: Any, first_page: bool = False, permits: Callable[[str], bool] = anything, **others: Any
) -> list[dict[str, Any]]:
    """The tools as the client gets them."""
    result = members(msgspec.json.encode({"tools": tools, **others}))
    found = with_handles(result, permits, first_page=first_page)
    listed: list[dict[str, Any]] = msgspec.json.decode(bytes(found["tools"]))
    return listed


def test_the_two_tools_stand_in_front_of_the_first_page_and_the_argument_in_every_schema() -> None:
    echo = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}
    first = injected(echo, first_page=True)
    assert [tool["name"] for tool in first] == ["session_open", "session_close", "echo"]
    assert list(first[2]["inputSchema"]["properties"]) == ["text", "gateway_session"]
    assert [tool["name"] for tool in injected(echo)] == ["echo"]
    for tool in first:
        assert find_invalid_x_mcp_header(tool["inputSchema"]) is None


def test_of_the_two_tools_nobody_sees_one_that_is_not_theirs() -> None:
    assert [tool["name"] for tool in injected(first_page=True, permits="session_open".__eq__)] == ["session_open"]


def test_a_schema_stays_as_strict_as_it_was() -> None:
    strict = {"type": "object", "properties": {}, "additionalProperties": False, "required": ["a"], "$defs": {"a": {}}}
    [tool] = injected({"name": "t", "title": "T", "inputSchema": strict})
    properties = tool["inputSchema"].pop("properties")
    assert properties["gateway_session"]["x-mcp-header"] == "Gateway-Session"
    assert tool == {"name": "t", "title": "T", "inputSchema": {k: v for k, v in strict.items() if k != "properties"}}


def test_what_else_stands_there_stays_the_bytes_that_it_was() -> None:
    result = members(b'{"tools":[{"inputSchema":{"maximum":1.0e400}}],"nextCursor":"2","ttlMs":1.50}')
    found = with_handles(result, anything, first_page=False)
    assert bytes(found["ttlMs"]) == b"1.50"
    assert b'"maximum":1.0e400' in bytes(found["tools"])


def test_tools_and_an_argument_of_the_childs_own_are_hidden_behind_ours() -> None:
    own = {"type": "object", "properties": {"gateway_session": {"type": "number"}}}
    listed = injected({"name": "session_open"}, {"name": "session_close"}, {"name": "t", "inputSchema": own})
    assert [tool["name"] for tool in listed] == ["t"]
    assert listed[0]["inputSchema"]["properties"]["gateway_session"]["type"] == "string"


@pytest.mark.parametrize("schema", [7, [], "object", None, {"properties": []}, {"properties": None}])
def test_a_schema_that_is_none_stays_as_it_is(schema: object) -> None:
    assert injected({"name": "t", "inputSchema": schema}) == [{"name": "t", "inputSchema": schema}]
    assert injected({"name": "t"}) == [{"name": "t"}]


@pytest.mark.parametrize("tools", [b"7", b"[7]", b'{"a":1}', b"[" * 100_000 + b"]" * 100_000])
def test_a_list_that_is_none_stays_as_it_is(tools: bytes) -> None:
    result = {"tools": msgspec.Raw(tools)}
    assert with_handles(result, anything, first_page=True) == result


# Calls.


def test_the_argument_is_taken_out_of_a_call_and_the_rest_stays() -> None:
    params = b'{"name":"t","arguments":{"a":1.50,"gateway_session":"h"},"_meta":{"x":1e3}}'
    assert read(params) == Call("t", "h", b'{"name":"t","arguments":{"a":1.50},"_meta":{"x":1e3}}')


def test_null_is_no_handle_and_does_not_reach_the_child_either() -> None:
    assert read(b'{"name":"t","arguments":{"gateway_session":null}}') == Call("t", None, b'{"name":"t","arguments":{}}')


@pytest.mark.parametrize(
    "params", [b'{"name":"t"}', b'{"name":"t","arguments":{ "a":1 }}', b'{"name":"t","arguments":7}']
)
def test_a_call_without_the_argument_stays_the_bytes_that_it_was(params: bytes) -> None:
    assert read(params) == Call("t", None, params)


@pytest.mark.parametrize(
    ("said", "handle"), [(b"7", "7"), (b"true", "true"), (b'{"a":1}', '{"a":1}'), (b'""', ""), (b'"\\u00e4"', "ä")]
)
def test_whatever_the_argument_holds_is_taken_as_a_header_would_repeat_it(said: bytes, handle: str) -> None:
    assert read(b'{"name":7,"arguments":{"gateway_session":%b}}' % said).handle == handle
    assert read(b'{"name":7,"arguments":{"gateway_session":%b}}' % said).tool == ""


def test_an_argument_that_goes_too_deep_is_no_fault_of_ours() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert read(b'{"name":"t","arguments":{"gateway_session":%b}}' % deep).handle is None


@pytest.mark.parametrize(
    ("handle", "headers", "right"),
    [
        ("h", ["h"], True),
        ("ä", ["=?base64?w6Q=?="], True),
        (None, [], True),
        ("h", [], False),
        ("h", ["i"], False),
        ("h", ["h", "h"], False),
        (None, ["h"], False),
        (None, [""], False),
        ("h", ["=?base64?!?="], False),
    ],
)
def test_the_header_repeats_the_argument_or_the_call_is_refused(
    handle: str | None, headers: list[str], right: bool
) -> None:
    assert agrees(Call("t", handle, b""), headers) is right


def test_what_the_model_is_told() -> None:
    assert handles.opened("h")["structuredContent"] == {"gateway_session": "h"}
    assert "isError" not in handles.closed()
    assert handles.failed(Gone("why"))["isError"] is True
    assert handles.failed(Gone("why"))["content"] == [{"type": "text", "text": "why"}]
