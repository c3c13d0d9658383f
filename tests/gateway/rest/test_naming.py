"""How bytes of a child are labelled, whatever the child says of them."""

import pytest
from msgspec import Raw

from gateway.rest.contents import Block
from gateway.rest.naming import SANDBOX, disposition, file_name, headers


def block(uri: str = "", type_: str = "image/png", *, is_base64: bool = True) -> Block:
    return Block(3, "resource", type_, Raw(b'""'), is_base64=is_base64, uri=uri)


@pytest.mark.parametrize("type_", ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "audio/wav"])
def test_pictures_and_sounds_are_shown(type_: str) -> None:
    assert "Content-Disposition" not in headers(block(type_=type_), type_)


@pytest.mark.parametrize("type_", ["image/svg+xml", "text/html", "text/plain", "application/pdf", "video/mp4"])
def test_everything_else_is_to_be_saved(type_: str) -> None:
    assert headers(block(type_=type_), type_)["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize("type_", ["image/png", "text/html", "image/svg+xml"])
def test_whatever_it_is_no_browser_runs_it(type_: str) -> None:
    found = headers(block(type_=type_), type_)
    assert found["Content-Security-Policy"] == SANDBOX == "sandbox; default-src 'none'; frame-ancestors 'none'"
    assert (found["X-Content-Type-Options"], found["Cache-Control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("type_", ["text/javascript", "application/x-ecmascript", "text/jscript", "text/css"])
def test_nothing_is_a_part_of_a_page(type_: str) -> None:
    assert headers(block(type_=type_, is_base64=False), type_)["Content-Type"] == "application/octet-stream"


def test_text_is_utf_8_and_bytes_are_what_the_child_had() -> None:
    assert headers(block(is_base64=False), "text/html")["Content-Type"] == "text/html; charset=utf-8"
    assert headers(block(), "text/html")["Content-Type"] == "text/html"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///a/b.pdf", "b.pdf"),
        ("https://example.com/a/b%20c.pdf?x=1#y", "b c.pdf"),
        ("note://todo", "todo"),
        ("file:///a/..%2f..%2fetc%2fpasswd", "_.._etc_passwd"),
        ("file:///a/...", "content-3.png"),
        ("", "content-3.png"),
        ("http://[", "content-3.png"),
        ("file:///" + "x" * 500, "x" * 100),
        ("file:///gpj.%e2%80%aeexe", "gpj._exe"),
        ("file:///gpj.%d8%9cexe", "gpj._exe"),
    ],
)
def test_a_file_is_called_as_its_uri_ends_where_that_is_a_name(uri: str, name: str) -> None:
    assert file_name(block(uri)) == name


@pytest.mark.parametrize("uri", ['file:///a"; filename="evil.exe', "file:///a%0d%0aSet-Cookie:%20b=c", "file:///a\\b"])
def test_no_name_ends_its_header_or_begins_another(uri: str) -> None:
    value = headers(block(uri), "text/html")["Content-Disposition"]
    assert value.count('"') == 2
    assert not set(value) & set("\r\n\\")


def test_a_name_beyond_ascii_is_told_in_both_ways() -> None:
    assert disposition("grün.txt") == "attachment; filename=\"gr_n.txt\"; filename*=UTF-8''gr%C3%BCn.txt"
