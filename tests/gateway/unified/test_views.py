"""What is shown of servers and tools."""

from datetime import UTC, datetime

import msgspec
import pytest
from msgspec import Raw

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.catalog.offers import Listing, Offer, Tool, Welcome
from gateway.errors import GatewayError
from gateway.unified import views
from supervisor.protocol import ServerReport

POLICY = ServerPolicy(start_timeout=1, request_timeout=1, max_message_bytes=1, name="Notes", tags=("a", "b"))
OFFER = Offer(Welcome("2025-11-25"), (Tool("b"), Tool("a")), (), (), (), datetime.now(UTC), 0.25)


@pytest.mark.parametrize(
    ("offer", "reason", "report", "expected"),
    [
        (OFFER, None, "", "ready"),
        (None, None, "", "unknown"),
        (None, Reason.CHILD_EXITED, "", "failing"),
        (OFFER, Reason.CHILD_EXITED, "", "failing"),
        (OFFER, None, "it keeps dying", "failing"),
        (None, Reason.CREDENTIAL_MISSING, "", "unknown"),
        (None, Reason.MAX_SESSIONS, "", "unknown"),
        (OFFER, Reason.MAX_USER_SESSIONS, "", "ready"),
        (OFFER, Reason.CREDENTIAL_MALFORMED, "", "ready"),
    ],
)
def test_a_server_is_as_it_was_found_and_what_the_caller_lacks_is_no_fault_of_it(
    offer: Offer | None, reason: Reason | None, report: str, expected: str
) -> None:
    listing = Listing("notes", offer, GatewayError(reason, "why") if reason else None)
    state, why = views.state(listing, ServerReport(failing=report))
    assert state == expected
    assert why == (
        {"code": "server_failing", "message": report} if report else reason and {"code": reason, "message": "why"}
    )


def test_every_view_of_a_server_has_the_same_members() -> None:
    shown = [views.server(Listing("notes", offer), POLICY) for offer in (OFFER, None)]
    shown.append(views.disabled("notes"))
    assert len({frozenset(each) for each in shown}) == 1
    assert [each["toolCount"] for each in shown] == [2, None, None]
    assert [each["state"] for each in shown] == ["ready", "unknown", "disabled"]
    assert {*views.whole_server(Listing("notes", None), POLICY)} - {*shown[0]} == {
        "instructions", "capabilities", "startSeconds", "tools"
    }  # fmt: skip


def test_a_tool_is_shown_with_its_bytes_and_without_what_it_has_not() -> None:
    tool = Tool("add", output_schema=Raw(b'{"x": 1.0e3}'))
    encoded = msgspec.json.encode(views.tool(tool, "notes", POLICY))
    assert encoded == (
        b'{"server":"notes","serverId":"notes","serverName":"Notes","tags":["a","b"],"name":"add",'
        b'"inputSchema":{"type":"object"},"outputSchema":{"x": 1.0e3}}'
    )


def test_tools_are_found_by_words_and_tags() -> None:
    tool = Tool("create_issue", title="Create an Issue", description="On GitHub.")
    assert views.matches(tool, ["github", "issue"])
    assert not views.matches(tool, ["github", "gitlab"])
    assert views.matches(tool, [])
    assert views.is_tagged(POLICY, ["b", "z"])
    assert views.is_tagged(POLICY, [])
    assert not views.is_tagged(POLICY, ["z"])


def test_servers_of_which_not_all_is_known_are_named() -> None:
    known = [Listing("a", OFFER), Listing("b", OFFER, GatewayError(Reason.CHILD_EXITED, "ended")), Listing("c", None)]
    assert [(each["server"], each["code"]) for each in views.failing(known)] == [
        ("b", "child_exited"),
        ("c", "request_timeout"),
    ]
