"""What is to end with an answer, and not before."""

from gateway.hot.exchange import Body
from gateway.http.streams import EventStream, abandon, afterwards, event_stream
from gateway.outbox import Outbox


class Ends:
    """Knows what has ended, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stream(self) -> Body:
        """An event stream with one event."""
        outbox = Outbox()
        outbox.put(b"{}")
        outbox.close()
        body = event_stream(EventStream(outbox, lambda: self.seen.append("the stream"))).body
        afterwards(body, lambda: self.seen.append("what is behind it"))
        return body


async def test_an_answer_that_is_there_already_is_over() -> None:
    ends = Ends()
    afterwards(b"{}", lambda: ends.seen.append("now"))
    assert ends.seen == ["now"]


async def test_behind_a_stream_comes_its_end() -> None:
    ends = Ends()
    body = ends.stream()
    assert ends.seen == []
    assert not isinstance(body, bytes)
    async with body as chunks:
        assert [chunk async for chunk in chunks]
        assert ends.seen == []
    assert ends.seen == ["the stream", "what is behind it"]


async def test_a_stream_that_is_never_begun_ends_too() -> None:
    ends = Ends()
    abandon(ends.stream())
    assert ends.seen == ["the stream", "what is behind it"]
