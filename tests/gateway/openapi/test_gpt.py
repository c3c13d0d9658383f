"""The document for a custom GPT: its limits, and whether its user is asked each time."""

import pytest
from msgspec import Raw

from gateway.openapi.gpt import MOST_OPERATIONS, hindrance, is_consequential, shortened
from tests.support.openapi import check_for_a_gpt, frame, made_for_a_gpt, server, tool

LONG = "Adds a note of this session. " * 100


def test_what_is_too_long_is_cut_behind_a_word() -> None:
    assert shortened("as it is", 8) == "as it is"
    assert shortened("one word more", 9) == "one word…"
    assert shortened("one word more", 8) == "one…"
    assert shortened("one   word", 6) == "one…"
    assert shortened("unbroken", 4) == "unb…"
    assert all(len(shortened(LONG, longest)) <= longest for longest in range(1, 100))


def test_whatever_tools_say_the_form_takes_it() -> None:
    schema = {
        "type": "object",
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "description": LONG},
            "description": {"type": "object", "description": LONG, "default": {"kind": "x"}},
            "part": {"$ref": "#/$defs/Part"},
        },
        "$defs": {"Part": {"type": "object", "items": {"description": LONG}, "anyOf": [{"description": LONG}]}},
    }
    tools = [tool("add", schema, description=LONG, title=LONG), tool("list"), tool("short", description="Short.")]
    found = made_for_a_gpt(server("s", *tools), security={"bearer": {"type": "http", "scheme": "bearer"}})
    check_for_a_gpt(found)
    arguments = found["components"]["schemas"]["s__add.input"]["properties"]
    assert arguments["text"]["description"].endswith("of this session.…")
    add = found["paths"]["/api/s/add"]["post"]
    assert add["operationId"] == "s__add"
    assert add["description"].endswith("of this session. Adds a…")
    assert add["requestBody"]["required"]
    assert not found["paths"]["/api/s/list"]["post"]["requestBody"]["required"]
    assert found["paths"]["/api/s/short"]["post"]["description"] == "Short."
    assert found["paths"]["/api/sessionid"].keys() == {"get", "delete"}


@pytest.mark.parametrize(
    ("said", "is_asked"),
    [
        (b"", True),
        (b"{}", True),
        (b'{"readOnlyHint": true}', False),
        (b'{"readOnlyHint": "true"}', True),
        (b'{"readOnlyHint": true, "destructiveHint": false}', False),
        (b'{"readOnlyHint": true, "destructiveHint": true}', True),
        (b'{"readOnlyHint": false, "destructiveHint": false}', True),
        (b"[1]", True),
    ],
)
def test_its_user_is_asked_each_time_unless_the_tool_says_that_it_changes_nothing(said: bytes, is_asked: bool) -> None:
    assert is_consequential(tool("t", annotations=Raw(said))) is is_asked


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://gw.test", True),
        ("https://gw.test/mcp", True),
        ("https://gw.test:443/mcp", True),
        ("https://gw.test:8443", False),
        ("https://gw.test:99999", False),
        ("http://gw.test", False),
        ("", False),
    ],
)
def test_an_address_that_a_gpt_cannot_call_is_told_by_the_key_that_sets_it(url: str, is_fine: bool) -> None:
    one = server("s", tool("t"))
    sentence = hindrance([one], frame(one, url=url))
    assert ("'public_url'" not in sentence) is is_fine


def test_more_operations_than_the_form_takes_are_told_of() -> None:
    few, many = (server("s", *(tool(f"t{n}") for n in range(count))) for count in (28, 29))
    assert not hindrance([few], frame(few, url="https://gw.test"))
    assert "31 operations" in hindrance([many], frame(many, url="https://gw.test"))
    assert not hindrance([many], frame(many, url="https://gw.test", only=frozenset({"t1"})))
    assert MOST_OPERATIONS == 30


def test_a_server_that_needs_a_header_of_each_user_is_left_out_for_a_gpt_sends_none() -> None:
    found = made_for_a_gpt(server("s", tool("t")), server("own", tool("t"), headers=("X-Own",)))
    assert found["paths"].keys() == {"/api/sessionid", "/api/s/t"}
