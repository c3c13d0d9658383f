"""Lines that are not put together: what is an answer, and what is none."""

import json
import tracemalloc

import msgspec
import pytest

from gateway.framing import LineSplitter, Oversized
from gateway.jsonrpc import Malformed, Response, decode, encode
from gateway.large import LARGE, PIECE, LargeAnswer, LargeLine, pieces
from gateway.outline import Outline

LONG = 2 * LARGE
TEXT = b"x" * LONG
MIB = 1024 * 1024


def lines_in(data: bytes, portion: int = 65536, limit: int = 64 * MIB) -> list[bytes | LargeLine | Oversized]:
    """The lines in `data`, which comes in portions."""
    splitter = LineSplitter(limit)
    return [line for at in range(0, len(data), portion) for line in splitter.feed(data[at : at + portion])]


def read(message: bytes, portion: int = 65536) -> LargeLine:
    """`message` as the large line that it is."""
    [line] = lines_in(message + b"\n", portion)
    assert isinstance(line, LargeLine)
    return line


def answer_in(message: bytes, portion: int = 65536) -> LargeAnswer:
    """The answer that `message` is, which was not put together."""
    answer = read(message, portion).answer()
    assert answer is not None
    return answer


def result(text: bytes = TEXT, more: bytes = b"") -> bytes:
    return b'{"content":[{"type":"text","text":"%b"}]%b}' % (text, more)


USUAL = [
    b'{"jsonrpc":"2.0","id":7,"result":%b}',
    b'{"id":7,"jsonrpc":"2.0","result":%b}',
    b'{"result":%b,"jsonrpc":"2.0","id":7}',
    b'{"result":%b,"id":7,"jsonrpc":"2.0"}',
    b'{"jsonrpc":"2.0","result":%b,"id":7}',
    b'{"id":7,"result":%b,"jsonrpc":"2.0"}',
    b' { "jsonrpc" : "2.0" ,\t"id" : 7 , "result" : %b } ',
    b'{ "result" : %b , "id" : 7 , "jsonrpc" : "2.0" }\r',
]


@pytest.mark.parametrize("envelope", USUAL)
def test_an_answer_is_found_between_its_ends_and_gets_the_clients_id(envelope: bytes) -> None:
    answer = answer_in(envelope % result())
    assert (answer.id, answer.is_error, bytes(answer.body)) == (b"7", False, result())
    ours = answer.under(b'"theirs"')
    assert bytes(ours) == encode(Response(b'"theirs"', result(), b""))
    assert len(ours) == len(bytes(ours)) == sum(map(len, pieces(ours)))


def test_an_error_may_be_long_too() -> None:
    error = b'{"code":-32000,"message":"%b"}' % TEXT
    answer = answer_in(b'{"jsonrpc":"2.0","id":7,"error":%b}' % error)
    assert answer.is_error
    assert bytes(answer) == encode(Response(b"7", b"", error))


@pytest.mark.parametrize(
    "message",
    [
        b'{"jsonrpc":"2.0","id":"7","result":%b}' % result(),
        b'{"jsonrpc":"2.0","id":7,"id":8,"result":%b}' % result(),
        b'{"jsonrpc":"2.0","id":7,"result":%b,"id":8}' % result(),
        b'{"jsonrpc":"2.0","result":1,"id":7,"result":%b}' % result(),
        b'{"jsonrpc":"2.0","id":7,"result":%b,"result":1}' % result(),
        b'{"jsonrpc":"2.0","id":7,"result":%b,"more":1}' % result(),
        b'{"jsonrpc":"2.0","id":7,"result":%b,"more":1,"id":8,"more":1}' % result(),
        b'{"jsonrpc":"2.0","id":7,"result":%b,"result":%b}' % (result(), result()),
        b'{"jsonrpc":"2.0","id":7,"result":1,"more":%b}' % result(),
        b'{"jsonrpc":"2.0","id":7,"more":%b,"result":1}' % result(),
        b'{"jsonrpc":"2.0","id":7,"result":null,"error":%b}' % result(),
        b'{"id":7,"result":%b}' % result(),
        b'{"jsonrpc":"1.0","id":7,"result":%b}' % result(),
        b'{"jsonrpc":"2.0","id":7,"method":"ask","params":%b}' % result(),
        b'{"jsonrpc":"2.0","method":"notifications/message","params":%b}' % result(),
        b"[%b]" % result(),
        b'"%b"' % TEXT,
    ],
)
def test_what_is_written_in_no_usual_way_is_read_as_a_whole(message: bytes) -> None:
    line = read(message)
    assert line.fault is None
    assert line.answer() is None
    assert bytes(line) == message


@pytest.mark.parametrize("behind", [b',"id":7,"jsonrpc":"2.0"}', b',"result":{},"jsonrpc":"2.0"}'])
def test_a_child_cannot_hide_a_part_of_the_envelope_among_many_members(behind: bytes) -> None:
    # A run of them is left out of the outline, so white space makes its size any that is looked for.
    more = b',"x":1'
    for spaces in range(64):
        before = b'{"id":5,' + b" " * spaces + b'"result":0'
        count, rest = divmod(PIECE - len(before), len(more))
        message = before + b" " * rest + more * count + behind
        assert read(message).answer() is None, spaces


def test_what_looks_like_an_envelope_within_a_text_is_none() -> None:
    text = json.dumps('","id":8}' + "x" * LONG + ',"id":9}').encode()
    answer = answer_in(b'{"jsonrpc":"2.0","id":7,"result":{"a":%b,"id":5}}' % text)
    assert (answer.id, bytes(answer.body)) == (b"7", b'{"a":%b,"id":5}' % text)
    unusual = read(b'{"jsonrpc":"2.0","result":{"a":%b,"id":5}}' % text)
    assert unusual.answer() is None


@pytest.mark.parametrize("portion", [1000, 4096, 65536, 10 * MIB])
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "é€😀".encode() * (LONG // 9),
        rb"\\" * (LONG // 2),
        rb"\"" * (LONG // 2),
        rb"\u00e9\ud83d\ude00" * (LONG // 18),
        b"a" * 2047 + rb"\ud83d\ude00" * (LONG // 12),
    ],
    ids=["letters", "characters", "backslashes", "quotation marks", "escapes", "pairs"],
)
def test_nothing_of_a_text_is_changed_however_it_is_cut(text: bytes, portion: int) -> None:
    assert bytes(answer_in(b'{"jsonrpc":"2.0","id":7,"result":%b}' % result(text), portion).body) == result(text)


def test_an_answer_of_many_small_values_passes_too() -> None:
    many = msgspec.json.encode([{"a": number, "b": ["x", None, True, 1.5]} for number in range(20_000)])
    assert bytes(answer_in(b'{"jsonrpc":"2.0","id":7,"result":{"rows":%b}}' % many).body) == b'{"rows":%b}' % many


@pytest.mark.parametrize(
    "many",
    [
        msgspec.json.encode([{"a": number, "b": ["x", None, True, 1.5]} for number in range(100_000)]),
        msgspec.json.encode([[number, "a, b", [{"c": number}, {"d": 1}]] for number in range(100_000)]),
        msgspec.json.encode({str(number): {"a": number} for number in range(200_000)}),
        msgspec.json.encode([1.5] * 1_000_000),
        msgspec.json.encode(["x, y", 'say "z"'] * 200_000),
        msgspec.json.format(msgspec.json.encode([{"a": number, "b": [1, 2]} for number in range(60_000)]), indent=2),
    ],
    ids=["objects", "nested", "members", "numbers", "strings", "indented"],
)
def test_little_of_a_long_table_is_left_to_be_checked_at_its_end(many: bytes) -> None:
    outline, size = Outline(), 65_536
    assert len(many) > 3_000_000
    for at in range(0, len(many), size):
        outline.add(many[at : at + size])
    assert len(outline.kept) < 65_536 + len(many) // 50


@pytest.mark.parametrize(
    "wrong",
    [b"\xff", b"\xed\xa0\x80", b"\x00", b"\t", b"\r", rb"\q", rb"\u12g4", rb"\ud83d", rb"\ude00", b'"', b'":', b"\xc3"],
)
@pytest.mark.parametrize("before", [10, 65_530, LONG - 3, LONG])
def test_one_wrong_byte_anywhere_makes_all_of_it_noise(wrong: bytes, before: int) -> None:
    text = b"x" * before + wrong + b"x" * (LONG - before)
    message = b'{"jsonrpc":"2.0","id":7,"result":%b}' % result(text)
    line = read(message)
    assert isinstance(line.fault, Malformed)
    with pytest.raises(Malformed, match=str(line.fault)):
        decode(message)
    assert (line.size, line.head, line.tail) == (len(message), message[:256], message[-256:])


@pytest.mark.parametrize("end", [b"", b"}", b"]}", b'"}]}', b'"}]}}}', b'"}]}} x', b'"}]},"id":}'])
def test_a_line_that_is_cut_off_or_goes_on_is_noise(end: bytes) -> None:
    assert read(b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"text":"' + TEXT + end).fault is not None


def test_a_backslash_outside_a_text_is_noise() -> None:
    assert read(rb'{"jsonrpc":"2.0","id":7,"result":{\"a":"' + TEXT + b'"}}').fault is not None


def test_line_breaks_between_the_parts_of_a_large_answer_go() -> None:
    answer = answer_in(b'{"jsonrpc":"2.0","id":7,"result":%b}' % result(more=b',\r"a":\r1'))
    assert bytes(answer.body) == result(more=b', "a": 1')


def test_what_a_result_says_of_itself_is_known_without_reading_it() -> None:
    envelope = b'{"jsonrpc":"2.0","id":7,"result":%b}'
    assert not answer_in(envelope % result()).tool_failed
    assert answer_in(envelope % result(more=b',"isError":true')).tool_failed
    assert not answer_in(envelope % result(more=b',"isError":false')).tool_failed
    assert not answer_in(envelope % result()).asks
    assert answer_in(envelope % result(more=b',"resultType":"input_required"')).asks
    assert not answer_in(envelope % (b'["%b"]' % TEXT)).asks
    # Of what is not what it should be, nobody can say so.
    assert answer_in(envelope % result(more=b',"resultType":1')).asks


@pytest.mark.parametrize("shift", range(3))
def test_a_long_text_where_a_short_one_is_looked_for_does_no_harm(shift: int) -> None:
    odd = result(more=b',"resultType":"%b"' % (b"x" * shift + "€".encode() * LONG))
    assert bytes(answer_in(b'{"jsonrpc":"2.0","id":7,"result":%b}' % odd).body) == odd


def test_lines_before_and_behind_a_large_one_are_what_they_were() -> None:
    large = b'{"jsonrpc":"2.0","id":7,"result":%b}' % result()
    before, found, behind = lines_in(b"before\n" + large + b"\r\nbehind\n", portion=1000)
    assert (before, behind) == (b"before", b"behind")
    assert isinstance(found, LargeLine)
    assert bytes(found.answer() or b"") == large


def test_a_large_line_over_the_limit_is_let_go_and_both_its_ends_are_known() -> None:
    large = b'{"jsonrpc":"2.0","id":7,"result":%b}' % result()
    splitter = LineSplitter(len(large) - 1)
    lines = [line for at in range(0, len(large), 1000) for line in splitter.feed(large[at : at + 1000])]
    lines += splitter.feed(b"\nnext\n")
    [oversized, following] = lines
    assert oversized == Oversized(len(large))
    assert isinstance(oversized, Oversized)
    assert oversized.head == large[:256]
    assert oversized.tail.endswith(large[-200:])
    assert following == b"next"


@pytest.mark.parametrize("portion", [100, 4096, 65536])
def test_a_large_answer_is_held_once(portion: int) -> None:
    """Bytes, as the interpreter counts them: what there is at most, from the first portion to the last piece sent."""
    size = 8 * MIB
    envelope = b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"', b'"}]}}\n'
    splitter = LineSplitter(64 * MIB)
    tracemalloc.start()
    try:
        assert not list(splitter.feed(envelope[0]))
        for _ in range(size // portion):
            assert not list(splitter.feed(b"x" * portion))
        [line] = splitter.feed(envelope[1])
        assert isinstance(line, LargeLine)
        answer = line.answer()
        del line
        assert answer is not None
        sent = sum(len(piece) for piece in pieces(answer.under(b'"theirs"')))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent > size // portion * portion
    assert peak < 1.2 * size
