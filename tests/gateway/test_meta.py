"""`_meta`, read and rewritten in place."""

from msgspec import Raw

from gateway.meta import envelope_of, meta_of, put_meta, take_meta, with_meta
from gateway.rawjson import members, put_together

PREFIX = b"io.modelcontextprotocol/"


def test_a_member_is_changed_and_the_others_stay_as_they_were_written() -> None:
    params = b'{"a": 1.50, "_meta": {"x": 1e3, "progressToken": "p"}}'
    assert with_meta(params, {"progressToken": b"7"}) == b'{"a":1.50,"_meta":{"x":1e3,"progressToken":7}}'


def test_meta_is_made_where_there_is_none_and_something_to_say() -> None:
    assert with_meta(b"{}", {"x": b"1"}) == b'{"_meta":{"x":1}}'
    assert with_meta(b'{"_meta":7}', {"x": b"1"}) == b'{"_meta":{"x":1}}'
    assert with_meta(b'{"a":1}', {}) == b'{"a":1}'
    assert with_meta(b"", {}) == b"{}"


def test_what_is_no_object_has_no_meta() -> None:
    for data in (b"", b"[]", b"7", b"{", b"null"):
        assert meta_of(data) == {}


def test_of_the_envelope_only_who_asks_is_taken() -> None:
    params = b'{"_meta":{"%bprotocolVersion":"v","%blogLevel":"info","x":1,"progressToken":1}}' % (PREFIX, PREFIX)
    assert {name: bytes(value) for name, value in envelope_of(params).items()} == {
        (PREFIX + b"protocolVersion").decode(): b'"v"'
    }


def test_keys_are_taken_out_of_meta_and_meta_goes_when_it_is_empty() -> None:
    object_ = members(b'{"a":1,"_meta":{"x":1,"y":2}}')
    assert take_meta(object_, ("x", "z")) == {"x": Raw(b"1")}
    assert put_together(object_) == b'{"a":1,"_meta":{"y":2}}'
    assert take_meta(object_, ("y",)) == {"y": Raw(b"2")}
    assert put_together(object_) == b'{"a":1}'
    assert take_meta(object_, ("y",)) == {}


def test_keys_are_put_into_meta() -> None:
    object_ = members(b'{"_meta":{"x":1,"y":2}}')
    put_meta(object_, {"y": 3, "z": Raw(b"4.0")})
    assert put_together(object_) == b'{"_meta":{"x":1,"y":3,"z":4.0}}'
