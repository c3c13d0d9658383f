"""Headers that repeat the body: what is refused here is what the SDK's servers refuse, which have it from one hand."""

from typing import Any

import mcp.shared.inbound as sdk
import msgspec
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers as FoldedHeaders

from gateway.jsonrpc import Request
from gateway.modern.envelope import REMOVED, Rejected, check
from gateway.modern.repeated import annotations, decoded, disagreement
from tests.support.fuzz import ODD_TEXT, SCALARS

PREFIX = "io.modelcontextprotocol/"

NAMES = st.sampled_from(["a", "b", "c d"])
TOKENS = st.sampled_from(["A", "a", "B", "no token", "", 7])
TYPES = st.sampled_from(["string", "integer", "boolean", "number", ["string"], None])
KEYWORDS = st.sampled_from(["items", "not", "anyOf", "$defs", "properties", "enum", "default"])

LEAVES = st.fixed_dictionaries({"type": TYPES}, optional={"x-mcp-header": TOKENS})
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"properties": st.dictionaries(NAMES, inner, max_size=3)}),
        st.dictionaries(KEYWORDS, st.one_of(inner, st.lists(inner, max_size=2), st.dictionaries(NAMES, inner))),
    ),
    max_leaves=6,
)
VALUES = st.one_of(SCALARS, st.integers(-3, 3), st.sampled_from([1.0, -0.0, 2.5, 1e300, "1", "1.0", "=?base64?MQ==?="]))
ARGUMENTS = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=4)


@st.composite
def header(draw: st.DrawFn, value: object) -> str:
    """What repeats `value`, or nearly so."""
    text = str(value).lower() if isinstance(value, bool) else str(value) if not isinstance(value, int) else f"{value:x}"
    texts = [text, sdk.encode_header_value(text), f"{text}.0", f"0{text}", f"=?base64?{text}?="]
    return draw(st.one_of(st.sampled_from(texts), ODD_TEXT, st.just("1" * 4400)))


@given(st.one_of(ODD_TEXT, ODD_TEXT.map(sdk.encode_header_value), ODD_TEXT.map("=?base64?{}?=".format)))
def test_a_value_is_decoded_alike(value: str) -> None:
    try:
        theirs = sdk.decode_header_value(value)
    except ValueError:  # of letters that are no base64
        theirs = None
    assert decoded(value) == theirs


@given(SCHEMAS, ARGUMENTS, st.data())
def test_arguments_and_headers_agree_alike(schema: Any, arguments: Any, data: st.DataObject) -> None:
    is_valid = sdk.find_invalid_x_mcp_header(schema) is None
    known = annotations(schema)
    assert {path: each.header for path, each in known.items()} == (sdk.x_mcp_header_map(schema) if is_valid else {})
    arguments = arguments if isinstance(arguments, dict) else {}
    sent: list[tuple[str, str]] = []
    for path, each in known.items():
        value: Any = arguments
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        values = data.draw(st.lists(header(value), max_size=2))
        # Of letters that are no base64 the SDK makes an error of its own.
        sent += [(f"Mcp-Param-{each.header}", value) for value in values if value.isascii() and value.isprintable()]
    theirs = sdk.validate_mcp_param_headers(schema, arguments, FoldedHeaders(sent))  # type: ignore[arg-type]
    assert (disagreement(known, arguments, sent) is None) == (theirs is None)


VERSIONS = st.sampled_from(["2026-07-28", "2099-01-01", "", 7, None])
METHODS = st.sampled_from(["tools/call", "prompts/get", "resources/read", "tools/list", "x", *REMOVED])
TEXTS = st.one_of(st.sampled_from(["t", "é", "=?base64?dA==?=", ""]), st.none(), st.integers(0, 1))


@given(
    method=METHODS,
    meta=st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {},
            optional={
                f"{PREFIX}protocolVersion": VERSIONS,
                f"{PREFIX}clientCapabilities": st.one_of(st.just({}), st.just([])),
            },
        ),
    ),
    members=st.dictionaries(st.sampled_from(["name", "uri", ""]), TEXTS),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["Mcp-Protocol-Version", "Mcp-Method", "mcp-name", "MCP-NAME", "x"]),
            st.one_of(st.sampled_from(["2026-07-28", "2099-01-01", "tools/call", "t", "=?base64?w6k=?="]), METHODS),
        ),
        max_size=4,
    ),
)
def test_requests_are_refused_alike(method: str, meta: Any, members: Any, headers: list[tuple[str, str]]) -> None:
    params = {**members, "_meta": meta}
    ours = 0
    try:
        check(Request(b"1", method, msgspec.json.encode(params)), headers)
    except Rejected as error:
        ours = error.code
    assert ours == _theirs(method, params, headers)


def _theirs(method: str, params: Any, headers: list[tuple[str, str]]) -> int:
    """The code with which the SDK's checks refuse it; then those that are the gateway's own."""
    if sdk.find_duplicated_routing_header(headers) is not None:
        return -32020
    body = {"method": method, "params": params}
    verdict = sdk.classify_inbound_request(body, headers={name.lower(): value for name, value in headers})
    if isinstance(verdict, sdk.InboundLadderRejection):
        return verdict.code
    if not isinstance(verdict.client_capabilities, dict):
        return -32602
    return -32601 if method in REMOVED else 0
