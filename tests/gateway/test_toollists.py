"""Of calls and lists of tools as much is read as it takes to know whose they are."""

import msgspec
import pytest

from common.config.access import AccessRule
from common.reasons import Reason
from gateway.access import EVERYTHING, NOTHING, Access, Permission
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.toollists import UnknownTool, called, filtered, permitted

HEAD = b'{"jsonrpc":"2.0","id":"a",'


def only(*tools: str) -> Permission:
    """For these tools of `fs`."""
    return Access([AccessRule(allow=("*",), to=tuple(f"fs:{tool}" for tool in tools))]).permission(Who(), "fs")


def seen(result: bytes, *tools: str) -> bytes:
    """The result as somebody gets it who may use these tools."""
    answer = filtered(HEAD + b'"result":' + result + b"}", b'"a"', only(*tools).tool)
    assert answer.startswith(HEAD), answer
    return answer.removeprefix(HEAD + b'"result":')[:-1]


def test_the_tools_that_stay_are_the_bytes_that_they_were_in_their_order() -> None:
    c, a = b'{"x":1.50,"name":"c","inputSchema":{"b":1, "a":2}}', b'{"name":"\\u0061","y":[ ]}'
    result = b'{"nextCursor":"n","tools":[' + c + b',{"name":"b"},' + a + b'],"ttlMs":1.0,"_meta":{"z":1,"a":2}}'
    expected = b'{"nextCursor":"n","tools":[' + c + b"," + a + b'],"ttlMs":1.0,"_meta":{"z":1,"a":2}}'
    assert seen(result, "a", "c") == expected


@pytest.mark.parametrize(
    "tools", [b"7", b"null", b'{"a":1}', b'["a"]', b"[7,null]", b'[{"name":7}]', b'[{"title":"a"}]', b"[[]]"]
)
def test_what_has_no_name_is_nobodys(tools: bytes) -> None:
    assert seen(b'{"tools":%b}' % tools, "*") == b'{"tools":[]}'


@pytest.mark.parametrize("deep", [300, 900, 5000, 100_000])
def test_what_is_nested_too_deeply_is_nobodys(deep: int) -> None:
    nested = b'{"a":' * deep + b"1" + b"}" * deep
    answer = HEAD + b'"result":{"tools":[{"name":"secret","x":%b}]}}' % nested
    got = filtered(answer, b'"a"', only("a").tool)
    assert got.startswith(HEAD)
    assert b"secret" not in got


def test_a_list_for_one_is_kept_for_nobody_else() -> None:
    assert seen(b'{"tools":[],"cacheScope":"public","ttlMs":5}') == b'{"tools":[],"cacheScope":"private","ttlMs":5}'


def test_an_error_and_a_result_without_tools_stay_what_they_are() -> None:
    error = HEAD + b'"error":{"code":-32601,"message":"none"}}'
    assert filtered(error, b'"a"', only("a").tool) == error
    assert seen(b'{"a": 1}') == b'{"a":1}'


def test_a_call_names_its_tool_once() -> None:
    assert called(b'{"name":"a","arguments":{"b":1.0},"name":"c"}') == ("c", b'{"name":"c","arguments":{"b":1.0}}')
    assert called(b'{"Name":"a","name":"c"}')[0] is None
    assert called(b'{"\\u004eAME":"a","name":"c"}')[0] is None
    for params in (b"", b"[]", b"{}", b'{"name":7}', b'{"name":null}', b'{"name":["a"]}'):
        assert called(params)[0] is None


def test_a_call_is_passed_on_or_is_of_no_tool() -> None:
    message = Request(b"1", "tools/call", b'{"name":"a", "name":"b"}')
    assert permitted(message, EVERYTHING, "fs") is message
    assert permitted(message, only("b"), "fs") == Request(b"1", "tools/call", b'{"name":"b"}')
    with pytest.raises(UnknownTool) as unknown:
        permitted(message, only("a"), "fs")
    error = {"code": -32602, "message": "Unknown tool: b"}
    assert msgspec.json.decode(unknown.value.rpc_body(b"1")) == {"jsonrpc": "2.0", "id": 1, "error": error}
    assert msgspec.json.decode(unknown.value.modern_body(b"1"))["error"] == error


def test_what_is_no_call_needs_the_server_alone() -> None:
    message = Request(b"1", "resources/read", b'{"name":"b"}')
    assert permitted(message, only("a"), "fs") is message
    with pytest.raises(GatewayError) as denied:
        permitted(message, NOTHING, "fs")
    assert (denied.value.reason, denied.value.status) == (Reason.SERVER_NOT_FOUND, 404)


def test_a_name_is_repeated_as_far_as_is_good() -> None:
    assert len(UnknownTool("x" * 10_000).message) < 200
