"""The heads that the lane takes: never one that h11 would refuse, or would read another way."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lane.request import MAX_BODY, MAX_HEAD, Request, Unread, look

HERE = "127.0.0.1"


def post(*lines: str, target: str = "/a/mcp", body: bytes = b"") -> bytes:
    return "\r\n".join((f"POST {target} HTTP/1.1", "Host: a", *lines, "", "")).encode("latin-1") + body


def read(data: bytes) -> Request:
    found = look(data, HERE)
    assert isinstance(found, Request)
    return found


def by_h11(data: bytes) -> tuple[h11.Request, bytes]:
    """The request that `data` begins with, and the body of it that is there. Raises RemoteProtocolError."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, body = connection.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(part := connection.next_event(), h11.Data):
        body += part.data
    return request, body


def test_a_head_is_read_whole() -> None:
    data = post("Content-Length: 2", "Accept:  a, b ", "X-Empty:", target="/a%20b/c?d=%20&e", body=b"{}POST")
    found = read(data)
    assert (found.head.method, found.head.path, found.head.query) == ("POST", "/a b/c", "d=%20&e")
    assert found.head.headers == (("host", "a"), ("content-length", "2"), ("accept", "a, b"), ("x-empty", ""))
    assert (data[found.begin : found.end], found.last) == (b"{}", False)
    assert (found.head.remote_addr, found.head.http_version) == (HERE, "1.1")


@pytest.mark.parametrize(("value", "last"), [("close", True), ("Close", True), ("keep-alive", False)])
def test_a_client_may_want_the_connection_closed(value: str, last: bool) -> None:
    assert read(post(f"Connection: {value}")).last is last


DOUBTFUL = {
    "two lengths": post("Content-Length: 1", "Content-Length: 1", body=b"x"),
    "two other lengths": post("Content-Length: 1", "Content-Length: 2", body=b"xx"),
    "a length and chunks": post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks": post("Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "a length with a sign": post("Content-Length: +1", body=b"x"),
    "a length with a zero before it": post("Content-Length: 01", body=b"x"),
    "a list of lengths": post("Content-Length: 1, 1", body=b"x"),
    "no length": post("Content-Length:"),
    "an Arabic digit": post("Content-Length: \xb2", body=b"xx"),
    "a large body": post(f"Content-Length: {MAX_BODY + 1}"),
    "a folded line": post("A: b", " c"),
    "a line of nothing": post("A"),
    "a common name without a value": post("Accept"),
    "a space before the colon": post("A : b"),
    "no name": post(": b"),
    "a tab": post("A: b\tc"),
    "a NUL": post("A: b\0c"),
    "another control character": post("A: b\x7fc"),
    "a bare line feed": post("A: b\nC: d"),
    "a bare carriage return": post("A: b\rC: d"),
    "a letter beyond ASCII": post("A: \xe4"),
    "two hosts": post("Host: b"),
    "no host": b"POST /a HTTP/1.1\r\nA: b\r\n\r\n",
    "no header at all": b"POST /a HTTP/1.1\r\n\r\n",
    "an absolute target": post(target="http://b/a"),
    "an asterisk": post(target="*"),
    "half a percent sign": post(target="/a%2"),
    "a percent sign without digits": post(target="/a%zz"),
    "a fragment": post(target="/a#b"),
    "a backslash": post(target="/a\\b"),
    "two spaces": b"POST  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "an older version": b"POST /a HTTP/1.0\r\nHost: a\r\n\r\n",
    "a version that is not": b"POST /a HTTP/1.10\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the beginning of TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "a method in lower case": b"post /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "another method": b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty line before": b"\r\n" + post(),
    "an upgrade": post("Connection: upgrade", "Upgrade: websocket"),
    "an upgrade and more": post("Connection: keep-alive, Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    "two wishes for the connection": post("Connection: close", "Connection: keep-alive"),
    "a client that waits for a word": post("Expect: 100-continue", "Content-Length: 1"),
    "only line feeds": b"POST /a HTTP/1.1\nHost: a\n\n",
    "too long": post("A: " + "b" * MAX_HEAD),
    "too long, and not whole": post("A: " + "b" * MAX_HEAD)[:-2],
}


@pytest.mark.parametrize("data", DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_what_is_doubtful_is_not_read(data: bytes) -> None:
    assert look(data, HERE) is Unread.OTHER


def test_the_largest_body_is_collected() -> None:
    assert read(post(f"Content-Length: {MAX_BODY}")).length == MAX_BODY


def test_each_beginning_of_a_request_may_become_one() -> None:
    for data in (
        post("Content-Length: 2"),
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        assert {look(data[:end], HERE) for end in range(len(data))} == {Unread.PARTIAL}


HEADERS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Host: a",
                "host:b",
                "Content-Length: 3",
                "content-length:3",
                "Connection: close",
                "Transfer-Encoding: chunked",
            ]
        ),
        st.text(st.characters(max_codepoint=255), max_size=12),
        st.builds("{}:{}".format, st.text(st.characters(max_codepoint=127), max_size=6), st.text(max_size=6)),
    ),
    max_size=4,
)
TARGETS = st.one_of(st.just("/a"), st.text(st.characters(max_codepoint=127), max_size=8).map("/".__add__))


@given(HEADERS, TARGETS, st.sampled_from(["POST", "GET", "DELETE", "PUT"]), st.binary(max_size=8))
def test_what_is_taken_h11_takes_the_same(lines: list[str], target: str, method: str, body: bytes) -> None:
    head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", *lines, "", ""))
    data = head.encode("latin-1", "ignore") + body
    found = look(data, HERE)
    if not isinstance(found, Request):
        return
    request, rest = by_h11(data)
    path, _, query = request.target.decode().partition("?")
    assert (found.head.method.encode(), found.head.query) == (request.method, query)
    assert path == found.head.path or "%" in path
    assert [(name.decode(), value.decode()) for name, value in request.headers] == list(found.head.headers)
    assert data[found.begin : found.end] == rest


@given(st.lists(st.sampled_from([b"", b"{}", b"\r\n\r\n", b"POST / HTTP/1.1\r\n"]), min_size=1, max_size=4), st.data())
def test_however_the_bytes_are_cut_they_are_the_same_requests(bodies: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(post(f"Content-Length: {len(body)}", body=body) for body in bodies)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    seen, unread = [], b""
    for begin, end in pairwise([0, *cuts, len(whole)]):
        unread += whole[begin:end]
        while unread and isinstance(found := look(unread, HERE), Request) and found.end <= len(unread):
            seen.append(unread[found.begin : found.end])
            unread = unread[found.end :]
        assert not unread or look(unread, HERE) is not Unread.OTHER
    assert (seen, unread) == (bodies, b"")
