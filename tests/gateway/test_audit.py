"""What the audit log says."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Raw

from common.reasons import Reason
from gateway.access import EVERYTHING, NOTHING, Permission
from gateway.audit import LONGEST_ARGUMENTS, Audit, SessionAudit, outcome
from gateway.effects import Answered
from gateway.errands import Errands
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from tests.support.gateway import ROOT

ANN = Who(Principal("basic", "ann", "u1"))
NOW = datetime(2026, 11, 21, 14, 5, 6, 789_123, UTC)
CALL = Request(b"7", "tools/call", b'{"name":"echo","arguments":{"text":"t0ken-of-ann","n":[1]}}')
OK = b'{"jsonrpc":"2.0","id":7,"result":{"content":[]}}'


class Log:
    """What was written."""

    def __init__(self, *, arguments: bool = False) -> None:
        self.lines: list[bytes] = []
        self.audit = Audit(self.lines.append, arguments=arguments, now=lambda: NOW)
        self.clock = 0.0
        self.permission: Permission = EVERYTHING
        self.secrets = ["t0ken-of-ann", "no"]
        self.errands = Errands("light", lambda _: self.permission, self.of_session, now=lambda: self.clock)

    def of_session(self) -> SessionAudit:
        """As the session is now."""
        return self.audit.of_session("gw.abcdefghij", "light", "REST", lambda: 4711, self.secrets)

    @property
    def said(self) -> list[dict[str, Any]]:
        """The lines, each of which is one."""
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii() for line in self.lines)
        return [json.loads(line) for line in self.lines]


def test_a_call_is_a_line_once_it_is_over() -> None:
    log = Log()
    log.errands.begin(16777217, CALL, ANN)
    assert log.lines == []
    log.clock = 0.01234
    assert log.errands.answered(16777217, OK, None) is OK
    assert log.lines == [
        b'{"time":"2026-11-21T14:05:06.789Z","event":"call","issuer":"basic","subject":"ann","user":"u1",'
        b'"session":"gw.abcdef\\u2026","door":"REST","server":"light","method":"tools/call","tool":"echo","pid":4711,'
        b'"request":16777217,"outcome":"ok","ms":12.3}\n'
    ]
    assert repr(log.errands) == "<Errands: 0>"


def test_the_page_shows_a_line_as_it_is() -> None:
    [sample] = re.findall("```json\n(.*)```", (ROOT / "docs" / "access.md").read_text(), re.DOTALL)
    lines: list[bytes] = []
    audit = Audit(lines.append, now=lambda: NOW)
    session = audit.of_session("gw.x3Vb1abcdefg", "fs", "Streamable HTTP", lambda: 4711, [])
    message = Request(b"1", "tools/call", b'{"name":"read_file"}')
    session.called(Principal("bearer", "librechat", "u1"), message, 16777217, {"outcome": "ok"}, 12.34)
    assert lines == [sample.encode()]


@pytest.mark.parametrize(
    ("answer", "failure", "expected"),
    [
        (OK, None, {"outcome": "ok"}),
        (b'{"result":{"isError":true}}', None, {"outcome": "tool_error"}),
        (b'{"result":{"isError":false}}', None, {"outcome": "ok"}),
        (b'{"result":{"content":[{"text":"\\"isError\\":true \\"error\\""}]}}', None, {"outcome": "ok"}),
        (b'{"error":{"code":-32000,"message":"no"}}', None, {"outcome": "error", "code": -32000}),
        (b'{"error":"no"}', None, {"outcome": "error"}),
        (b'{"result":{"isError":"perhaps"}}', None, {"outcome": "error"}),
        (b"", GatewayError(Reason.CHILD_EXITED, "gone"), {"outcome": "child_exited"}),
    ],
)
def test_the_outcome_is_what_the_client_was_told(answer: bytes, failure: Any, expected: dict[str, Any]) -> None:
    assert outcome(answer, failure) == expected


def test_a_call_that_is_cancelled_is_over() -> None:
    log = Log()
    log.errands.begin(1, CALL, ANN)
    log.errands.cancelled(1)
    log.errands.cancelled(1)
    assert [each["outcome"] for each in log.said] == ["cancelled"]


def test_what_is_no_call_of_a_tool_says_its_method_alone() -> None:
    log = Log(arguments=True)
    log.errands.begin(1, Request(b"1", "prompts/get", b'{"name":"p","arguments":{}}'), ANN)
    log.errands.answered(1, OK, None)
    [line] = log.said
    assert (line["method"], "tool" in line, "arguments" in line) == ("prompts/get", False, False)


def test_whoever_may_not_is_refused() -> None:
    log = Log()
    log.permission = NOTHING
    with pytest.raises(GatewayError):
        log.errands.check(CALL, ANN)
    [line] = log.said
    assert (line["event"], line["reason"], line["tool"]) == ("refused", "server_not_found", "echo")


def test_arguments_are_there_where_they_are_asked_for_and_never_a_value_of_a_users_own() -> None:
    log = Log(arguments=True)
    log.errands.begin(1, CALL, ANN)
    log.errands.answered(1, OK, None)
    assert log.said[0]["arguments"] == {"text": "[redacted]", "n": [1]}


def test_a_value_that_changes_in_mid_session_is_not_recorded_either_before_or_after() -> None:
    log = Log(arguments=True)
    log.errands.begin(1, CALL, ANN)
    log.secrets = ["another-of-ann"]
    log.errands.begin(2, Request(b"8", "tools/call", CALL.params.replace(b"t0ken-of-ann", b"another-of-ann")), ANN)
    log.errands.answered(1, OK, None)
    log.errands.answered(2, OK, None)
    assert [each["arguments"]["text"] for each in log.said] == ["[redacted]"] * 2


def test_one_request_too_many_of_a_session_is_refused_and_a_ping_is_nothing() -> None:
    log = Log()
    error = GatewayError(Reason.MAX_IN_FLIGHT, "1000 requests of this session wait for their answers")
    log.errands.enter(None, CALL, ANN, [Answered(1, b"", 7, error)])
    log.errands.enter(None, Request(b"8", "ping", b""), ANN, [Answered(1, b"", 8)])
    [line] = log.said
    assert (line["event"], line["reason"], line["tool"]) == ("refused", "max_in_flight", "echo")


def test_long_arguments_are_the_beginning_of_their_text() -> None:
    log = Log(arguments=True)
    params = json.dumps({"name": "echo", "arguments": {"text": 'x"' * 100_000}}).encode()
    log.errands.begin(1, Request(b"1", "tools/call", params), ANN)
    log.errands.answered(1, OK, None)
    assert log.said[0]["arguments"].startswith('{"text":"x')
    assert len(log.lines[0]) < 3 * LONGEST_ARGUMENTS


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "\U0001f600" * 10_000, "\ud800" * 10_000, "\n\x00\x7f\x1b[2J" * 999, '"']
)
def test_every_text_is_bounded_and_escaped(text: str) -> None:
    log = Log()
    names = ("issuer", "subject", "user")
    log.audit.record("call", Principal(text, text, text), {**dict.fromkeys("abcdef", text), "g": 1.5, "h": None})
    [line] = log.said
    assert len(log.lines[0]) < 4096
    assert b"\x7f" not in log.lines[0]
    for name in (*names, *"abcdef"):
        assert line[name] == text or (line[name][-1] == "…" and text.startswith(line[name][:-1]))
        assert len(line[name]) > 10 or line[name] == text
    assert (line["g"], "h" in line) == (1.5, False)


def test_where_no_record_is_kept_nothing_is_remembered() -> None:
    errands = Errands()
    errands.begin(1, CALL, ANN)
    assert repr(errands) == "<Errands: 0>"
    Audit().record("call", ANN.principal, {"arguments": Raw(b"not even JSON")})
