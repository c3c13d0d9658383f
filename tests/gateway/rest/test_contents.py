"""Which block of an answer a client gets as bytes, and as what."""

import base64
import json
from typing import Any

import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from gateway.errors import GatewayError
from gateway.rest.contents import MOST, OCTETS, Block, Quality, blocks, chosen, is_json, media_type, sent_as
from gateway.rest.decoding import PIECE, body

PNG = b"\x89PNG pixels"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answer(*content: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"content": content, **more}).encode()


def image(type_: Any = "image/png", data: bytes = PNG) -> dict[str, Any]:
    return {"type": "image", "mimeType": type_, "data": encoded(data)}


def accepting(header: str) -> Quality:
    return parse_accept_header(header, MIMEAccept).quality


TEXT = {"type": "text", "text": "a picture"}
SOUND = {"type": "audio", "mimeType": "audio/wav", "data": encoded(b"RIFF")}
PAGE = {"type": "resource", "resource": {"uri": "file:///a.html", "mimeType": "text/html", "text": "<b>"}}
BLOB = {"type": "resource", "resource": {"uri": "x://b", "blob": encoded(b"\x00\xff")}}
ALL = answer(TEXT, image(), SOUND, PAGE, BLOB)


def bytes_of(block: Block | None) -> bytes:
    assert block is not None
    found = body(block)
    data = b"".join(found.pieces)
    assert len(data) == found.length
    return data


@pytest.mark.parametrize(
    ("accept", "index"),
    [
        ("*/*", None),
        ("application/json", None),
        ("application/json, text/plain, */*", None),
        ("image/png, */*", None),
        ("image/png, */*;q=0.1", 1),
        ("image/avif,image/webp,image/*,*/*;q=0.8", 1),
        ("image/png", 1),
        ("image/*", 1),
        ("image/png;q=0.2, audio/*;q=0.9", 2),
        ("audio/*", 2),
        ("text/plain", 0),
        ("text/html", 3),
        (OCTETS, 0),
        ("image/jpeg, application/json;q=0.5", None),
    ],
)
def test_a_client_gets_what_it_likes_best_and_json_where_that_is_as_good(accept: str, index: int | None) -> None:
    block = chosen(blocks(ALL), accepting(accept))
    assert (block.index if block is not None else None) == index


def test_each_block_is_the_bytes_that_the_child_meant() -> None:
    assert [bytes_of(each) for each in blocks(ALL)] == [b"a picture", PNG, b"RIFF", b"<b>", b"\x00\xff"]
    assert [each.type for each in blocks(ALL)] == ["text/plain", "image/png", "audio/wav", "text/html", OCTETS]


def test_a_block_can_be_named_and_is_then_never_json() -> None:
    assert chosen(blocks(ALL), accepting("*/*"), 4) == blocks(ALL)[4]
    with pytest.raises(GatewayError, match="no content 9"):
        chosen(blocks(ALL), accepting("*/*"), 9)
    with pytest.raises(GatewayError, match="no content 1"):
        chosen(blocks(ALL), accepting("audio/*"), 1)


def test_what_there_is_not_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(GatewayError) as raised:
        chosen(blocks(answer(TEXT, SOUND)), accepting("image/png"))
    assert raised.value.status == 406
    assert raised.value.about["content"] == [
        {"content": 0, "type": "text", "mimeType": "text/plain"},
        {"content": 1, "type": "audio", "mimeType": "audio/wav"},
    ]


@pytest.mark.parametrize(
    "data", [b"[]", b"{", b'{"content": 1}', b"[" * 100_000, answer(image(), isError=True), answer()]
)
def test_of_an_answer_without_blocks_or_of_a_tool_that_failed_there_is_nothing(data: bytes) -> None:
    assert blocks(data) == []


def test_a_block_that_is_malformed_hides_no_other() -> None:
    odd: tuple[Any, ...] = (
        {"type": "image", "data": 1},
        {"type": []},
        {"type": "resource", "resource": 3},
        {"type": "resource_link"},
    )
    assert [each.index for each in blocks(answer(*odd, image()))] == [4]


def test_the_contents_of_a_resource_are_blocks_too() -> None:
    data = json.dumps({"contents": [{"uri": "x://a", "text": "é"}, {"uri": "x://b", "blob": encoded(PNG)}]}).encode()
    assert [bytes_of(each) for each in blocks(data)] == ["é".encode(), PNG]


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ("image/PNG", "image/png"),
        ("text/html; charset=utf-7", "text/html"),
        ("text/html\r\nSet-Cookie: a=b", OCTETS),
        ("text/html,image/png", OCTETS),
        ("image", OCTETS),
        ("", OCTETS),
        ("a/" + "b" * 200, OCTETS),
        ("im\u0430ge/png", OCTETS),
        ("*/*", OCTETS),
    ],
)
def test_a_type_is_one_or_it_is_nothing_in_particular(said: str, type_: str) -> None:
    assert media_type(said) == type_
    assert blocks(answer(image(said)))[0].type == type_


def test_bytes_of_any_type_can_be_had_as_nothing_in_particular() -> None:
    (block,) = blocks(answer(image()))
    assert sent_as(block, accepting("image/*")) == "image/png"
    assert sent_as(block, accepting(OCTETS)) == OCTETS


@pytest.mark.parametrize("size", [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 5])
@pytest.mark.parametrize("escaped", ["plain", "slashes", "pluses", "lines", "unpadded"])
def test_base64_is_decoded_in_pieces_however_a_library_writes_it(size: int, escaped: str) -> None:
    data = (b"\xfb\xef\xbe\xff\xff\xff" * (size // 6 + 1))[:size]
    text = encoded(data)
    written = {
        "plain": text,
        "slashes": text.replace("/", "\\/"),
        "pluses": text.replace("+", "\\u002B"),
        "lines": "\\r\\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
        "unpadded": text.rstrip("="),
    }[escaped]
    (block,) = blocks(b'{"content":[{"type":"image","mimeType":"image/png","data":"%b"}]}' % written.encode())
    assert bytes_of(block) == data


@pytest.mark.parametrize("data", ["a", "ab-_", "a b=", "YQ==YQ==", "Y===", "=", "é", "\\u2028abc", "YQ=", "\\\\abc"])
def test_what_is_no_base64_is_the_childs_fault(data: str) -> None:
    (block,) = blocks(b'{"content":[{"type":"image","data":"%b"}]}' % data.encode())
    with pytest.raises(GatewayError, match="no base64"):
        body(block)


def test_no_more_contents_are_looked_for_than_anybody_wants_and_none_for_who_wants_json() -> None:
    assert len(blocks(answer(*[TEXT] * (MOST + 1)))) == MOST
    assert is_json(accepting("image/*, application/json"))
    assert not is_json(accepting("image/*, application/json;q=0.9"))
    assert not is_json(accepting("application/json"), 0)
    assert not is_json(accepting("application/json"), raw=True)
