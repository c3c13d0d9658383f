"""What the commands have in common that ask a gateway: which one, who asks, and what went wrong."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest

from terminal.client import Refusal, Remote
from terminal.credentials import headers_of
from terminal.sessions import duration


def wrong(call: Any, *arguments: Any, **more: Any) -> str:
    """What a refusal says, on one line."""
    with pytest.raises(click.ClickException) as error:
        call(*arguments, **more)
    assert error.value.exit_code == 1
    assert "\n" not in error.value.message
    return error.value.message


def test_who_asks_is_what_the_environment_says() -> None:
    assert headers_of(None, (), {}) == {}
    assert headers_of(None, (), {"MCP_GATEWAY_TOKEN": "t"}) == {"Authorization": "Bearer t"}
    assert headers_of(None, (), {"MCP_GATEWAY_API_KEY": "k"}) == {"X-API-Key": "k"}
    basic = {"MCP_GATEWAY_USER": "ann", "MCP_GATEWAY_PASSWORD": "pässword"}
    assert headers_of(None, (), basic) == {"Authorization": "Basic YW5uOnDDpHNzd29yZA=="}
    assert headers_of(None, (), {"MCP_GATEWAY_TOKEN": "", "MCP_GATEWAY_API_KEY": "k"}) == {"X-API-Key": "k"}


def test_a_file_says_it_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" t\n")
    assert headers_of(file, (), {"MCP_GATEWAY_API_KEY": "k"}) == {"Authorization": "Bearer t"}
    file.write_text("\n")
    assert wrong(headers_of, file, (), {}).endswith("is empty; expected a token")
    file.write_bytes(b"\xff")
    assert wrong(headers_of, file, (), {}).endswith("is no text in UTF-8")
    assert wrong(headers_of, tmp_path / "none", (), {}).endswith("cannot be read: No such file or directory")


def test_two_who_ask_are_an_error_that_names_both_and_shows_neither() -> None:
    both = {"MCP_GATEWAY_TOKEN": "s3cret", "MCP_GATEWAY_USER": "ann"}
    said = wrong(headers_of, None, (), both)
    assert said == "MCP_GATEWAY_TOKEN and MCP_GATEWAY_USER are set; expected one of them, for it says who asks"
    assert wrong(headers_of, None, (), {"MCP_GATEWAY_USER": "ann"}) == (
        "MCP_GATEWAY_USER is set, and MCP_GATEWAY_PASSWORD is not"
    )


def test_further_headers_may_be_taken_from_the_environment() -> None:
    written = ("X-Gateway-User: ann", "X-Token:a ${SECRET} b")
    assert headers_of(None, written, {"SECRET": "s"}) == {"X-Gateway-User": "ann", "X-Token": "a s b"}
    assert "no variable SECRET" in wrong(headers_of, None, written, {})
    for bad in ("X-Gateway-User", ": x", "a b: x"):
        assert wrong(headers_of, None, (bad,), {}) == "expected a header as 'NAME: VALUE'"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX: y", "\x00", "ü"])
def test_what_cannot_stand_in_a_header_is_refused_and_not_shown(value: str) -> None:
    for said in (
        wrong(headers_of, None, (), {"MCP_GATEWAY_TOKEN": value}),
        wrong(headers_of, None, ("X-A: ${V}",), {"V": value}),
    ):
        assert "expected printable ASCII on one line" in said
        assert value not in said


@pytest.mark.parametrize("url", ["", "x", "ftp://x", "http://", "http://x:99999", "http://[", "http://x:0"])
def test_what_is_no_url_is_said_so(url: str) -> None:
    assert wrong(Remote, url) == "expected a URL such as http://127.0.0.1:3000"


def test_credentials_in_the_url_are_refused_and_not_shown() -> None:
    said = wrong(Remote, "http://ann:s3cret@x")
    assert "credentials are taken from MCP_GATEWAY_TOKEN" in said
    assert "s3cret" not in said


def test_the_configuration_says_where_the_gateway_is(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    for hostname, url in (("0.0.0.0", "http://127.0.0.1:3100"), ("::", "http://[::1]:3100"), ("gw", "http://gw:3100")):
        config.write_text(f"hostname: '{hostname}'\nport: 3100\nservers: {{x: {{command: x}}}}\n")
        with Remote.of(config) as gateway:
            assert gateway.url == url
            assert "Bearer" not in repr(gateway)
        with Remote.of(config, "https://example.org/below/") as gateway:
            assert gateway.url == "https://example.org/below"
    config.write_text("port: 0\nservers: {x: {command: x}}\n")
    assert "say with --url where the gateway is" in wrong(Remote.of, config)
    config.write_text("prot: 1\nservers: {x: {command: x}}\n")
    said = wrong(Remote.of, config)
    assert "did you mean 'port'?" in said
    assert said.endswith("with --url it is not read")


class _Strange(BaseHTTPRequestHandler):
    """Something on a port that is no gateway, or one, by the path."""

    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing."""


ANSWERS = {
    "/html": (404, b"<html>"),
    "/list": (500, b"[]"),
    "/text": (200, b"hello"),
    "/odd": (400, b'{"error": "no"}'),
    "/no": (409, b'{"error": {"code": "ambiguous_tool", "message": "\\u001b[31mno\\n", "about": {"servers": ["a"]}}}'),
}  # fmt: skip


@pytest.fixture
def strange() -> Iterator[str]:
    """A server that is none of ours."""
    with HTTPServer(("127.0.0.1", 0), _Strange) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_no_gateway_is_told_from_one_that_says_no(strange: str) -> None:
    with Remote(strange) as gateway:
        for path in ("/html", "/list", "/odd", "/text"):
            assert "is no mcp-gateway" in wrong(gateway.get, path)
        with pytest.raises(Refusal) as refusal:
            gateway.get("/no")
        assert (refusal.value.status, refusal.value.code) == (409, "ambiguous_tool")
        assert refusal.value.about == {"servers": ["a"]}
        assert "\x1b" not in refusal.value.message


def test_where_nothing_answers_it_is_said_how_to_start_it() -> None:
    with HTTPServer(("127.0.0.1", 0), _Strange) as server:
        url = f"http://127.0.0.1:{server.server_port}"
    with Remote(url, started_with=" --config my.yaml") as gateway:
        start = "start it with 'mcp-gateway serve --config my.yaml'"
        assert wrong(gateway.get, "/") == f"no gateway answers at {url}; {start}, or say with --url where it is"
    with Remote(url) as gateway:
        assert wrong(gateway.get, "/") == f"no gateway answers at {url}; say with --url where it is"


def test_a_time_is_told_in_its_largest_unit() -> None:
    times = [None, 0.2, 59.9, 60, 3599, 3600, 86399, 86400, 864000]
    assert [duration(each) for each in times] == ["", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "10 d"]
