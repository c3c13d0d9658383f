"""Any bytes in any portions into lines."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.framing import LineSplitter, Oversized
from gateway.large import LargeLine
from tests.support.fuzz import ANY_BYTES, portions

LINES = st.lists(st.one_of(ANY_BYTES, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])), max_size=12).map(b"".join)


def expected(data: bytes, limit: int) -> list[bytes | Oversized]:
    """The same lines, by cutting the whole at once."""
    lines: list[bytes | Oversized] = []
    for line in data.split(b"\n")[:-1]:
        if len(line) > limit:
            lines.append(Oversized(len(line)))
        elif line.removesuffix(b"\r"):
            lines.append(line.removesuffix(b"\r"))
    return lines


def shown(line: bytes | LargeLine | Oversized) -> bytes | int:
    """A line, or the size of one that is too long."""
    return line.size if isinstance(line, Oversized) else bytes(line)


def kept(splitter: LineSplitter) -> int:
    """How many bytes of a line that is not complete it holds."""
    return sum(len(chunk) for chunk in splitter._chunks)


@given(data=LINES, limit=st.integers(0, 300), draw=st.data())
def test_any_bytes_in_any_portions_make_the_same_lines_as_the_whole(
    data: bytes, limit: int, draw: st.DataObject
) -> None:
    splitter = LineSplitter(limit)
    lines: list[bytes | LargeLine | Oversized] = []
    for portion in draw.draw(portions(data)):
        lines += splitter.feed(portion)
        assert kept(splitter) <= limit
    assert [shown(line) for line in lines] == [shown(line) for line in expected(data, limit)]
    assert splitter.rest() == len(data) - (data.rfind(b"\n") + 1)


@given(limit=st.integers(0, 40), sizes=st.lists(st.integers(0, 80), max_size=10), draw=st.data())
def test_a_line_is_oversized_exactly_where_it_is_longer_than_the_limit(
    limit: int, sizes: list[int], draw: st.DataObject
) -> None:
    splitter = LineSplitter(limit)
    data = b"".join(b"x" * size + b"\n" for size in sizes)
    lines = [line for portion in draw.draw(portions(data)) for line in splitter.feed(portion)]
    assert [shown(line) for line in lines] == [size if size > limit else b"x" * size for size in sizes if size]
