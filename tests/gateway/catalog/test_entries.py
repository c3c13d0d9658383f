"""When a server is asked again, and what is forgotten."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from common.bucket import Bucket
from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.catalog.entries import (
    BURST,
    FIRST_REST,
    INTERVAL,
    LONGEST_REST,
    MAX_PERSONAL,
    MAX_PERSONAL_BYTES,
    Entries,
    Entry,
    is_its_own,
)
from gateway.catalog.offers import Offer, Welcome
from gateway.errors import GatewayError, refused
from gateway.identity.principal import ANONYMOUS, Principal

POLICY = ServerPolicy(start_timeout=1, request_timeout=1, max_message_bytes=1 << 20)
PERSONAL = POLICY.model_copy(update={"personal": ("header:X-T",)})
ANN, BOB = Principal("bearer", "front", "ann"), Principal("bearer", "front", "bob")
BROKEN = GatewayError(Reason.START_FAILED, "no")
FULL = refused(Reason.MAX_SESSIONS, "full", 5)


def offer(size: int = 0) -> Offer:
    return Offer(Welcome(), (), (), (), (), datetime.now(UTC), 0.1, size)


@pytest.fixture
def entry() -> Entry:
    """One that nobody has asked yet."""
    return Entry(POLICY, Bucket(BURST, 1 / INTERVAL, 0.0))


def asked(entry: Entry, now: float, then: Callable[[], None]) -> None:
    assert entry.begin(now)
    then()


def test_a_server_is_asked_once_and_again_when_somebody_wants_it(entry: Entry) -> None:
    assert entry.is_due(0, fresh=False)
    asked(entry, 0, lambda: entry.told(offer()))
    assert not entry.is_due(1e9, fresh=False)
    assert entry.is_due(0, fresh=True)


def test_a_child_that_says_a_hundred_times_that_it_changed_is_asked_once(entry: Entry) -> None:
    asked(entry, 0, lambda: entry.told(offer()))
    for _ in range(100):
        entry.changed()
    assert entry.is_due(0, fresh=False)
    asked(entry, 0, lambda: entry.told(offer()))
    assert not entry.is_due(0, fresh=False)


def test_a_change_while_the_server_is_asked_is_asked_for_again(entry: Entry) -> None:
    assert entry.begin(0)
    entry.changed()
    entry.told(offer())
    assert entry.is_due(0, fresh=False)


def test_nobody_can_have_a_server_asked_without_end(entry: Entry) -> None:
    for _ in range(BURST):
        asked(entry, 0, lambda: entry.told(offer()))
    assert not entry.begin(0)
    assert not entry.begin(INTERVAL - 1)
    assert entry.begin(INTERVAL + 1)


def test_a_question_that_was_not_asked_to_the_end_does_not_count(entry: Entry) -> None:
    for _ in range(10 * BURST):
        asked(entry, 0, entry.give_up)
    assert entry.is_due(0, fresh=False)


def test_a_failure_is_remembered_for_a_while_and_longer_each_time(entry: Entry) -> None:
    now, rests = 0.0, []
    for _ in range(8):
        entry.failed(BROKEN, now)
        rest = FIRST_REST
        while not entry.is_due(now + rest, fresh=False):
            rest *= 2
        rests.append(rest)
        now += 1000
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert entry.is_due(now + LONGEST_REST, fresh=False)
    assert entry.is_due(now, fresh=True)


def test_the_rest_is_as_long_as_the_supervisor_says(entry: Entry) -> None:
    entry.failed(refused(Reason.SERVER_FAILING, "resting", 40), 0)
    assert not entry.is_due(39, fresh=False)
    assert entry.is_due(40, fresh=False)


def test_the_last_good_offer_is_kept_beside_a_failure(entry: Entry) -> None:
    told = offer()
    entry.told(told)
    entry.failed(BROKEN, 0)
    assert (entry.offer, entry.failure) == (told, BROKEN)
    entry.told(told)
    assert entry.failure is None


def test_the_want_of_a_place_is_not_the_servers_fault(entry: Entry) -> None:
    entry.failed(FULL, 0)
    assert entry.failure is FULL
    entry.told(offer())
    entry.failed(FULL, 0)
    assert entry.failure is None
    assert is_its_own(BROKEN)
    assert not is_its_own(FULL)
    assert not is_its_own(GatewayError(Reason.SHUTDOWN, ""))


def test_a_server_that_is_started_otherwise_is_another() -> None:
    entries, other = Entries(), POLICY.model_copy(update={"generation": 1})
    first = entries.get("a", b"", POLICY, ANONYMOUS, 0)
    assert entries.get("a", b"", POLICY, ANN, 0) is first
    assert entries.get("a", b"", other, ANN, 0) is not first


def test_a_reload_forgets_servers_that_are_gone_or_others() -> None:
    entries, other = Entries(), POLICY.model_copy(update={"generation": 1})
    stays = entries.get("stays", b"", POLICY, ANONYMOUS, 0)
    for name in ("goes", "changes"):
        entries.get(name, b"", POLICY, ANONYMOUS, 0)
    entries.get("mine", b"x", PERSONAL, ANN, 0)
    entries.retain({"stays": POLICY, "changes": other})
    assert entries.find("stays", b"") is stays
    assert repr(entries) == "<Entries: 1 for all, 0 personal>"


def test_each_users_own_offers_are_kept_for_the_last_users_only() -> None:
    entries = Entries()
    for number in range(MAX_PERSONAL + 10):
        entries.get("mine", b"%d" % number, PERSONAL, ANN, 0)
        entries.get("mine", b"0", PERSONAL, ANN, 0)  # is asked for all the time
    assert repr(entries) == f"<Entries: 0 for all, {MAX_PERSONAL} personal>"
    assert entries.find("mine", b"0") is not None
    assert entries.find("mine", b"1") is None


def test_each_users_own_offers_are_bounded_in_bytes_too() -> None:
    entries = Entries()
    for number in range(10):
        entries.get("mine", b"%d" % number, PERSONAL, ANN, 0).told(offer(MAX_PERSONAL_BYTES // 4))
        entries.make_room()
    assert repr(entries) == "<Entries: 0 for all, 4 personal>"
    assert entries.find("mine", b"9") is not None


def test_one_user_with_ever_new_values_has_no_more_children_than_one_with_the_same() -> None:
    entries = Entries()
    begun = [entries.get("mine", b"%d" % number, PERSONAL, ANN, 0).begin(0) for number in range(10)]
    assert begun == [True] * BURST + [False] * (10 - BURST)
    assert entries.get("mine", b"of bob", PERSONAL, BOB, 0).begin(0)
