"""Sessions that many users would share: who is told, of what, and how often."""

from collections.abc import Iterator

import msgspec
import pytest
from loguru import logger

from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.unnamed import LIBRECHAT, UnnamedUsers

KEY = Principal("bearer", "librechat")


def hello(client: object = LIBRECHAT, method: str = "initialize") -> Request:
    """What opens a session."""
    return Request(b"1", method, msgspec.json.encode({"clientInfo": {"name": client, "version": "1.2.3"}}))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged."""
    found: list[str] = []
    sink = logger.add(found.append, format="{message}", level="WARNING")
    yield found
    logger.remove(sink)


def test_librechat_without_a_user_is_noticed_and_both_files_are_named(lines: list[str]) -> None:
    UnnamedUsers().look(Who(KEY), "fs", hello())
    assert lines == [
        "bearer:librechat has opened a session with 'fs' and named no user, so all its users may share one child; write "
        "X-Gateway-User: '{{LIBRECHAT_USER_ID}}' under its 'headers' in librechat.yaml, and 'trust_user_header: "
        "X-Gateway-User' with the name of its key under 'trusted_fronts' here\n"
    ]


def test_a_trusted_front_is_noticed_whatever_it_calls_itself_and_the_one_line_is_named(lines: list[str]) -> None:
    UnnamedUsers().look(Who(KEY, speaks_by="X-User"), "fs", hello("another-chat"))
    assert lines[0].endswith("write X-User: '{{LIBRECHAT_USER_ID}}' under its 'headers' in librechat.yaml\n")


def test_it_is_said_once_for_each_key_and_server(lines: list[str]) -> None:
    unnamed = UnnamedUsers()
    for principal in (KEY, KEY, Principal("basic", "x"), ANONYMOUS, ANONYMOUS):
        for server in ("fs", "git", "fs"):
            unnamed.look(Who(principal), server, hello())
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (Who(Principal("bearer", "librechat", "ann"), speaks_by="X-User"), hello()),
        (Who(Principal("https://issuer.example", "ann")), hello()),
        (Who(KEY), hello("claude-ai")),
        (Who(KEY), hello(None)),
        (Who(KEY), Request(b"1", "initialize", b"[]")),
        (Who(KEY, speaks_by="X-User"), hello(method="tools/list")),
    ],
)
def test_whoever_is_one_user_or_no_front_is_left_alone(lines: list[str], who: Who, message: Request) -> None:
    UnnamedUsers().look(who, "fs", message)
    assert lines == []
