"""Any list of tools, and any call of one: nobody gets what is not theirs, and nothing breaks."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from common.config.access import AccessRule
from gateway.access import Access
from gateway.errors import GatewayError
from gateway.identity.who import Who
from gateway.jsonrpc import Request, Response, decode
from gateway.toollists import filtered, permitted
from tests.support.fuzz import OBJECTS, VALUES, written

NAMES = st.sampled_from(["mine", "Mine", "min", "mine\n", "theirs", "mine\0", ""]) | VALUES
TOOLS = st.builds(lambda tool, name: {**tool, "name": name}, OBJECTS, NAMES)
RESULTS = st.builds(lambda rest, tools: {**rest, "tools": tools}, OBJECTS, st.lists(TOOLS | VALUES) | VALUES)
KEYS = st.sampled_from(["name", "Name", "NAME", "arguments", "n\u0430me"])
MINE = Access([AccessRule(allow=("*",), to=("fs:mine",))]).permission(Who(), "fs")


def names(tools: Any) -> list[Any]:
    """Whatever anybody could take for the name of a tool in there."""
    return [each["name"] for each in tools if isinstance(each, dict) and "name" in each]


@given(RESULTS, st.data())
def test_a_list_holds_no_tool_that_is_not_ones_own_and_all_that_are(
    result: dict[str, Any], data: st.DataObject
) -> None:
    answer = b'{"jsonrpc":"2.0","id":7,"result":%b}' % data.draw(written(result))
    message = decode(filtered(answer, b"7", MINE.tool))
    assert isinstance(message, Response)
    seen = msgspec.json.decode(message.result)
    tools = result["tools"] if isinstance(result["tools"], list) else []
    assert seen["tools"] == [each for each in tools if isinstance(each, dict) and each.get("name") == "mine"]
    assert {**seen, "tools": 0, "cacheScope": 0} == {**result, "tools": 0, "cacheScope": 0}


@given(st.lists(st.tuples(KEYS, NAMES), max_size=4))
def test_a_call_that_is_passed_on_has_one_name_and_that_is_ones_own(parts: list[tuple[str, Any]]) -> None:
    members = b",".join(b"%b:%b" % (msgspec.json.encode(key), msgspec.json.encode(value)) for key, value in parts)
    try:
        message = permitted(Request(b"1", "tools/call", b"{%b}" % members), MINE, "fs")
    except GatewayError:
        return
    passed = msgspec.json.decode(message.params)
    assert [value for key, value in passed.items() if key.lower() == "name"] == ["mine"]
    assert message.params.lower().count(b'"name":') == 1 or "arguments" in passed
