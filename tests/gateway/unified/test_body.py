"""What the body of a call says."""

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.unified.body import Wanted, read

NO_OBJECT = "'arguments' is an object: the arguments of the tool, by their names"


def test_a_call_names_its_tool_and_perhaps_the_rest() -> None:
    assert read(b'{"tool": "add"}') == Wanted("add", b"{}")
    whole = b'{"tool": "add", "arguments": {"a": [1]}, "server": "fs", "sessionId": "gw.x"}'
    assert read(whole) == Wanted("add", b'{"a": [1]}', "fs", "gw.x")


def test_null_is_as_good_as_nothing() -> None:
    assert read(b'{"tool": "add", "arguments": null, "server": null, "sessionId": null}') == Wanted("add", b"{}")


@pytest.mark.parametrize(
    ("body", "said", "member"),
    [
        (b"{}", "'tool' is missing: the name of the tool to call", "tool"),
        (b'{"tool": null}', "'tool' is missing: the name of the tool to call", "tool"),
        (b'{"tool": ""}', "'tool' is a text that is not empty", "tool"),
        (b'{"tool": 3}', "'tool' is a text that is not empty", "tool"),
        (b'{"tool": ["a"]}', "'tool' is a text that is not empty", "tool"),
        (b'{"tool": "a", "arguments": []}', NO_OBJECT, "arguments"),
        (b'{"tool": "a", "arguments": "{}"}', NO_OBJECT, "arguments"),
        (b'{"tool": "a", "server": 1}', "'server' is a text that is not empty", "server"),
        (b'{"tool": "a", "sessionId": {}}', "'sessionId' is a text that is not empty", "sessionId"),
        (b'{"tool": "a", "args": {}}', "there is no member 'args' here; did you mean 'arguments'?", "args"),
        (b'{"Tool": "a"}', "there is no member 'Tool' here; did you mean 'tool'?", "Tool"),
        (b'{"name": "a"}', "there is no member 'name' here; expected one of arguments, server, sessionId, tool", "name"),
        (b"[]", "expected a JSON object with 'tool', and perhaps 'arguments' and 'server'", None),
        (b'"a"', "expected a JSON object with 'tool', and perhaps 'arguments' and 'server'", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: bytes, said: str, member: str | None) -> None:
    with pytest.raises(GatewayError) as error:
        read(body)
    assert (error.value.reason, error.value.message) == (Reason.BAD_REQUEST, said)
    assert error.value.about.get("member") == member


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"tool": "a"} x', b'{"tool": "\xff"}', b"\xff\xfe", b'{"tool": "\\ud800"}']
)
def test_what_is_no_json_in_utf_8_is_said_so(body: bytes) -> None:
    with pytest.raises(GatewayError) as error:
        read(body)
    assert error.value.status == 400


def test_arguments_are_read_as_at_every_other_door() -> None:
    with pytest.raises(GatewayError, match="a member stands twice"):
        read(b'{"tool": "a", "arguments": {"a": {"b": 1, "b": 2}}}')


def test_json_without_end_is_refused() -> None:
    for body in (b"[" * 100_000, b'{"tool": "a", "arguments": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001):
        with pytest.raises(GatewayError) as error:
            read(body)
        assert error.value.status == 400


def test_no_repr_shows_what_is_somebodys_own() -> None:
    told = repr(read(b'{"tool": "a", "arguments": {"password": "hush"}, "sessionId": "gw.secret"}'))
    assert "hush" not in told
    assert "secret" not in told
