"""What is checked of a request of 2026-07-28, in which order, and what its client is told."""

from typing import Any

import msgspec
import pytest

from gateway.jsonrpc import Notification, Request
from gateway.modern.envelope import (
    REMOVED,
    Headers,
    Rejected,
    check,
    check_notification,
    has_envelope,
    has_modern_header,
    read,
)

PREFIX = "io.modelcontextprotocol/"
META: dict[str, Any] = {f"{PREFIX}protocolVersion": "2026-07-28", f"{PREFIX}clientCapabilities": {}}
HEADERS: Headers = [("Mcp-Protocol-Version", "2026-07-28"), ("MCP-METHOD", "tools/call"), ("mcp-name", " t\t")]


def call(meta: object = META, method: str = "tools/call", name: str = "t") -> Request:
    """A request."""
    return Request(b'"i"', method, msgspec.json.encode({"name": name, "_meta": meta}))


def rejected(message: Request, headers: Headers) -> int:
    """The code with which a request is refused."""
    with pytest.raises(Rejected) as raised:
        check(message, headers)
    assert msgspec.json.decode(raised.value.body())["id"] == "i"
    assert raised.value.status == (404 if raised.value.code == -32601 else 400)
    return raised.value.code


def test_a_request_passes_with_blanks_and_any_spelling_of_its_headers() -> None:
    envelope = check(call(), HEADERS)
    assert envelope.value("name") == "t"
    assert envelope.value("arguments") is None
    assert envelope.capabilities == {}


@pytest.mark.parametrize(
    ("message", "headers", "code"),
    [
        (call(meta={}), [*HEADERS, HEADERS[0]], -32020),
        (call(meta={}), [], -32602),
        (call(meta=None), HEADERS, -32602),
        (call(meta={f"{PREFIX}protocolVersion": "2026-07-28"}), HEADERS, -32602),
        (call(meta={**META, f"{PREFIX}clientCapabilities": []}), HEADERS, -32602),
        (Request(b'"i"', "tools/call", b"[]"), HEADERS, -32602),
        (Request(b'"i"', "tools/call", b""), HEADERS, -32602),
        (call(), HEADERS[:2], -32020),
        (call(), HEADERS[1:], -32020),
        (call(), [HEADERS[0], HEADERS[2]], -32020),
        (call(name="T"), HEADERS, -32020),
        (call(meta={**META, f"{PREFIX}protocolVersion": "2099-01-01"}), HEADERS, -32020),
        (
            call(meta={**META, f"{PREFIX}protocolVersion": "2099-01-01"}),
            [("mcp-protocol-version", "2099-01-01"), *HEADERS[1:]],
            -32022,
        ),
        *((call(method=method), [HEADERS[0], ("mcp-method", method)], -32601) for method in sorted(REMOVED)),
    ],
)
def test_the_first_check_that_fails_says_so(message: Request, headers: Headers, code: int) -> None:
    assert rejected(message, headers) == code


def test_a_body_is_one_request_or_notification() -> None:
    assert isinstance(read(b'{"jsonrpc":"2.0","id":1,"method":"x"}'), Request)
    assert isinstance(read(b'{"jsonrpc":"2.0","method":"x"}'), Notification)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', -32600),
    ],
)
def test_any_other_body_is_refused(body: bytes, code: int) -> None:
    with pytest.raises(Rejected) as raised:
        read(body)
    assert (raised.value.code, raised.value.status) == (code, 400)
    assert msgspec.json.decode(raised.value.body())["id"] is None


def test_a_notification_needs_a_known_version_and_no_more() -> None:
    check_notification([("MCP-Protocol-Version", "2026-07-28")])
    with pytest.raises(Rejected) as raised:
        check_notification([("MCP-Protocol-Version", "2099-01-01")])
    assert raised.value.code == -32022


def test_the_era_is_in_the_header_or_in_the_body() -> None:
    assert has_modern_header(HEADERS)
    assert not has_modern_header([("mcp-protocol-version", "2025-11-25"), ("x", "2026-07-28")])
    assert has_envelope(msgspec.json.encode({"params": {"_meta": META}}))
    others: tuple[object, ...] = (
        {"params": {"name": f"{PREFIX}protocolVersion"}},
        {"params": f"{PREFIX}protocolVersion"},
        [f"{PREFIX}protocolVersion"],
        f"{PREFIX}protocolVersion",
        {"params": {"_meta": {}}},
    )
    for body in others:
        assert not has_envelope(msgspec.json.encode(body)), body
    assert not has_envelope(b'{"%bprotocolVersion"' % PREFIX.encode())
