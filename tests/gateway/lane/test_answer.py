"""Answers as bytes."""

import h11
import pytest

from gateway.lane.answer import LAST_CHUNK, BadHeader, Dates, chunk, head

DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def understood(data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body as a client has them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    answer, body = client.next_event(), b""
    assert isinstance(answer, h11.Response)
    while isinstance(part := client.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage)
    return answer.status_code, dict(answer.headers), body


def test_a_body_has_its_length() -> None:
    status, headers, body = understood(head(200, [("A", "b")], 2, DATE, last=False) + b"{}")
    assert (status, body) == (200, b"{}")
    assert headers == {b"a": b"b", b"content-length": b"2", b"date": DATE.encode()}


def test_parts_are_chunks() -> None:
    data = head(200, [], None, DATE, last=True) + chunk(b"a" * 17) + chunk(b"b") + LAST_CHUNK
    _, headers, body = understood(data)
    assert body == b"a" * 17 + b"b"
    assert (headers[b"transfer-encoding"], headers[b"connection"]) == (b"chunked", b"close")


def test_no_content_has_no_length() -> None:
    assert b"content-length" not in understood(head(204, [], 0, DATE, last=False))[1]


def test_it_says_once_that_the_connection_is_closed() -> None:
    assert head(200, [("connection", "Close")], 0, DATE, last=True).lower().count(b"connection") == 1


SECRET = "hunter2"


@pytest.mark.parametrize(
    "header",
    [("A", f"{SECRET}\r\nC: d"), ("A", f"{SECRET}\n"), ("A\r", SECRET), ("A", f"{SECRET}\0"), ("A", f"{SECRET}\u20ac")],
)
def test_a_header_cannot_end_the_head(header: tuple[str, str]) -> None:
    with pytest.raises(BadHeader) as refused:
        head(200, [header], 0, DATE, last=False)
    assert SECRET not in str(refused.value)


def test_the_date_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    dates = Dates()
    for now in (3600.5, 3601.0, 3601.9, 7200.0):
        monkeypatch.setattr("time.time", lambda now=now: now)
        assert dates.now() == f"Thu, 01 Jan 1970 0{int(now) // 3600}:00:0{int(now) % 60} GMT"
