"""A tool's result on the terminal, and in files."""

import base64
import io
from pathlib import Path

import click
import pytest

from terminal.contents import safe, said, saved

PIXEL = base64.b64encode(b"pixel").decode()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_texts_are_printed_and_the_rest_is_named() -> None:
    result = {
        "content": [
            {"type": "text", "text": "hello"},
            {"type": "image", "mimeType": "image/png", "data": PIXEL},
            {"type": "resource", "resource": {"uri": "a://b", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "a://c", "mimeType": "a/b", "blob": PIXEL}},
            {"type": "resource_link", "uri": "a://d"},
            5,
        ]
    }
    assert said(result) == "hello\n[image/png]\ninside\n[a/b: a://c]\n[a://d]"


def test_structured_content_alone_is_printed_as_json() -> None:
    assert said({"content": [], "structuredContent": {"a": "é"}}) == '{\n  "a": "é"\n}'


def test_each_file_is_saved_beside_the_first(tmp_path: Path) -> None:
    image = {"type": "image", "data": PIXEL}
    blob = {"type": "resource", "resource": {"blob": base64.b64encode(b"blob").decode()}}
    written = saved({"content": [image, blob]}, tmp_path / "one.png")
    assert [path.name for path in written] == ["one.png", "one-2.png"]
    assert [path.read_bytes() for path in written] == [b"pixel", b"blob"]


def test_what_cannot_be_saved_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="no base64"):
        saved({"content": [{"type": "image", "data": "%"}]}, tmp_path / "x")
    with pytest.raises(click.ClickException, match="cannot be written: No such file"):
        saved({"content": [{"type": "image", "data": PIXEL}]}, tmp_path / "none" / "x")


def test_a_terminal_is_not_steered_by_what_a_tool_says() -> None:
    assert safe("a\x1b[2Jb\n\tc", Terminal()) == "a�[2Jb\n\tc"
    assert safe("a\x1b[2Jb", io.StringIO()) == "a\x1b[2Jb"
