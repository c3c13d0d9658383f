"""What the fuzz tests draw: bytes in portions, JSON that is written in odd ways, and JSON-RPC messages."""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

ODD_TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from('a1"\\/{}[]:,\r\n\t\0\x85\u2028\u2029\ufeffé☃\U0001f600'),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
)
"""Text with whatever somebody may take for the end of something."""

IDS = st.one_of(st.sampled_from([0, 1, 2, -1, "1", "2", "", "a"]), st.integers(-(2**53), 2**53), ODD_TEXT)
"""Ids as JSON-RPC has them; the first few clash often."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    ODD_TEXT,
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3), max_leaves=6
)
"""Any JSON value."""

OBJECTS = st.dictionaries(ODD_TEXT, VALUES, max_size=3)


@st.composite
def portions(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data`, cut anywhere; some portions are empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@st.composite
def written(draw: st.DrawFn, value: Any) -> bytes:
    """`value` as JSON, as one library or another would write it, line breaks between tokens included."""
    if draw(st.booleans()):
        return msgspec.json.encode(value)
    indent = draw(st.sampled_from([None, 0, 1, "\t", "\r\n", "\r"]))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent).encode()


@st.composite
def messages(
    draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES, ids: st.SearchStrategy[Any] = IDS
) -> dict[str, Any]:
    """The members of a JSON-RPC message, in any order."""
    members: dict[str, Any] = {"jsonrpc": "2.0"}
    kind = draw(st.sampled_from(["request", "notification", "result", "error"]))
    if kind != "notification":
        members["id"] = draw(ids)
    if kind in ("request", "notification"):
        members["method"] = draw(ODD_TEXT)
        if draw(st.booleans()):
            members["params"] = draw(st.one_of(OBJECTS, st.lists(values, max_size=3)))
    elif kind == "result":
        members["result"] = draw(values)
    else:
        members["error"] = {"code": draw(st.integers(-33000, 33000)), "message": draw(ODD_TEXT)}
    return dict(draw(st.permutations(list(members.items()))))


NEARLY_JSON = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b'{"jsonrpc":"2.0"',
                b',"id":',
                b"1",
                b'"1"',
                b',"method":"a"',
                b',"params":',
                b',"result":',
                b',"error":',
                b"{",
                b"}",
                b"[",
                b"]",
                b",",
                b":",
                b'"',
                b"null",
                b"true",
                b"\\",
                b"\\ud800",
                b"\n",
                b"\r",
                b"\0",
                b"\xff",
                b"\xef\xbb\xbf",
                "\u2028".encode(),
                b"1e999",
                b"-",
                b"[" * 1200,
                b"]" * 1200,
                b'{"a":' * 1200,
            ]
        ),
        st.binary(max_size=4),
    ),
    max_size=12,
).map(b"".join)
"""Bytes that look like JSON-RPC for a while."""

ANY_BYTES = st.one_of(st.binary(max_size=200), NEARLY_JSON)
