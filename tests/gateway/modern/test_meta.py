"""`_meta`, read and rewritten in place."""

from gateway.modern.meta import envelope_of, members, meta_of, text, with_meta

PREFIX = b"io.modelcontextprotocol/"


def test_a_member_is_changed_and_the_others_stay_as_they_were_written() -> None:
    params = b'{"a": 1.50, "_meta": {"x": 1e3, "progressToken": "p"}}'
    assert with_meta(params, {"progressToken": b"7"}) == b'{"a":1.50,"_meta":{"x":1e3,"progressToken":7}}'


def test_meta_is_made_where_there_is_none_and_something_to_say() -> None:
    assert with_meta(b"{}", {"x": b"1"}) == b'{"_meta":{"x":1}}'
    assert with_meta(b'{"_meta":7}', {"x": b"1"}) == b'{"_meta":{"x":1}}'
    assert with_meta(b'{"a":1}', {}) == b'{"a":1}'
    assert with_meta(b"", {}) == b"{}"


def test_what_is_no_object_has_no_members() -> None:
    for data in (b"", b"[]", b"7", b"{", b"null"):
        assert members(data) == {}
        assert meta_of(data) == {}


def test_of_the_envelope_only_who_asks_is_taken() -> None:
    params = b'{"_meta":{"%bprotocolVersion":"v","%blogLevel":"info","x":1,"progressToken":1}}' % (PREFIX, PREFIX)
    assert {name: bytes(value) for name, value in envelope_of(params).items()} == {
        (PREFIX + b"protocolVersion").decode(): b'"v"'
    }


def test_a_text_is_a_text_or_none() -> None:
    assert text(b'"a"') == "a"
    assert text(b"7") is None
    assert text(b"") is None
