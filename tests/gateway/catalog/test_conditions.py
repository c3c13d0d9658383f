"""How a server is, and when that is worth a line."""

from datetime import UTC, datetime, timedelta

from common.reasons import Reason
from gateway.catalog.conditions import Conditions, in_words
from gateway.catalog.offers import Offer, Prompt, Resource, Tool, Welcome
from gateway.errors import GatewayError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
OFFER = Offer(Welcome(), (Tool("a"), Tool("b")), (Resource("x:1"),), (), (), NOON, 0.94)
BROKEN = GatewayError(Reason.START_FAILED, "the server refused 'initialize'")


def test_only_what_changes_is_news_and_nobody_wonders_at_a_server_that_is_well() -> None:
    conditions = Conditions()
    asked = [(OFFER, None), (OFFER, None), (OFFER, BROKEN), (OFFER, BROKEN), (OFFER, None), (OFFER, None)]
    assert [conditions.note("a", *each, NOON) for each in asked] == [False, False, True, False, True, False]
    assert conditions.note("b", None, BROKEN, NOON)


def test_a_report_says_what_is_offered_and_since_when() -> None:
    conditions = Conditions()
    conditions.note("a", OFFER, None, NOON)
    conditions.note("a", OFFER, None, LATER)
    condition = conditions.of("a")
    assert condition is not None
    assert condition.report() == {
        "state": "well",
        "since": "2026-11-21T12:00:00+00:00",
        "asked": "2026-11-21T12:01:00+00:00",
        "tools": 2,
        "resources": 1,
        "prompts": 0,
        "startSeconds": 0.9,
    }


def test_a_report_of_a_failure_says_why() -> None:
    conditions = Conditions()
    conditions.note("a", OFFER, None, NOON)
    conditions.note("a", OFFER, BROKEN, LATER)
    condition = conditions.of("a")
    assert condition is not None
    assert condition.report() == {
        "state": "failing",
        "since": "2026-11-21T12:01:00+00:00",
        "asked": "2026-11-21T12:01:00+00:00",
        "code": "start_failed",
        "message": "the server refused 'initialize'",
    }


def test_a_server_that_is_gone_is_forgotten() -> None:
    conditions = Conditions()
    conditions.note("a", OFFER, None, NOON)
    conditions.retain({"b"})
    assert conditions.of("a") is None


def test_the_counts_are_said_as_a_person_would() -> None:
    none = Offer(Welcome(), (), (), (), (), NOON, 0)
    one = Offer(Welcome(), (Tool("a"),), (), (), (Prompt("p"), Prompt("q")), NOON, 0)
    assert [in_words(each) for each in (none, one, OFFER)] == ["0 tools", "1 tool, 2 prompts", "2 tools, 1 resource"]
