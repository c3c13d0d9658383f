"""What is known of the eras that servers speak: configured, seen, for how long."""

import pytest

from common.config.model import ServerPolicy
from gateway.eras import HOLDS, PROLONGED, Eras, remedy


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


def policy(era: str = "auto") -> ServerPolicy:
    """Of a server whose era is configured so."""
    return ServerPolicy.model_validate(
        {"start_timeout": 1, "request_timeout": 1, "max_message_bytes": 1024, "era": era}
    )


@pytest.mark.parametrize(
    ("era", "handshake", "modern"),
    [("auto", None, None), ("legacy", True, False), ("modern", False, True), ("dual", True, True)],
)
def test_what_is_configured_holds(era: str, handshake: bool | None, modern: bool | None) -> None:
    eras = Eras({"s": policy(era)})
    eras.saw("s", edition=0, handshake=False if handshake is None else not handshake)
    eras.forget("s")
    assert eras.handshake("s") is handshake
    assert eras.modern("s") is modern


@pytest.mark.parametrize(
    ("seen", "era"),
    [
        ({"handshake": True}, "legacy"),
        ({"handshake": True, "modern": False}, "legacy"),
        ({"handshake": True, "modern": True}, "dual"),
        ({"handshake": False, "modern": True}, "modern"),
        ({"modern": True}, "modern"),
        ({"modern": False}, "legacy"),
    ],
)
def test_what_was_seen_is_reported_with_its_date(seen: dict[str, bool], era: str) -> None:
    clock = Clock()
    eras = Eras({"s": policy(), "t": policy("dual"), "u": policy()}, clock)
    eras.saw("s", edition=0, **seen)
    assert eras.report() == {
        "s": {"era": era, "since": "2027-01-15T08:00:00+00:00"},
        "t": {"era": "dual", "since": "configured"},
    }


def test_one_sight_adds_to_another() -> None:
    eras = Eras({"s": policy()})
    eras.saw("s", edition=0, handshake=True)
    eras.saw("s", edition=0, modern=True)
    assert (eras.handshake("s"), eras.modern("s")) == (True, True)


def test_what_was_seen_holds_for_a_day() -> None:
    clock = Clock()
    eras = Eras({"s": policy()}, clock)
    eras.saw("s", edition=0, modern=True)
    clock.time += HOLDS
    assert eras.modern("s") is True
    clock.time += 1
    assert eras.modern("s") is None


def test_a_new_configuration_is_looked_at_anew() -> None:
    eras = Eras({"s": policy()})
    eras.saw("s", edition=0, modern=True)
    eras.take_over({"s": policy()})
    assert eras.modern("s") is None


def test_a_child_of_an_earlier_configuration_shows_nothing_of_this_one() -> None:
    eras = Eras({"s": policy()})
    before = eras.edition
    eras.take_over({"s": policy()})
    eras.saw("s", edition=before, modern=True)
    assert eras.modern("s") is None
    eras.saw("s", edition=eras.edition, modern=False)
    assert eras.modern("s") is False


def test_what_is_seen_later_makes_what_was_seen_before_no_younger() -> None:
    clock = Clock()
    eras = Eras({"s": policy()}, clock)
    eras.saw("s", edition=0, modern=False)
    clock.time += HOLDS
    eras.saw("s", edition=0, handshake=True)
    clock.time += 1
    assert (eras.modern("s"), eras.handshake("s")) == (None, None)


def test_a_server_that_the_configuration_no_longer_has_is_what_it_was() -> None:
    eras = Eras({"s": policy(), "t": policy("modern")})
    eras.saw("s", edition=0, modern=True)
    eras.take_over({})
    assert (eras.modern("s"), eras.handshake("t")) == (True, False)
    assert eras.report() == {}
    eras.take_over({"s": policy(), "t": policy()})
    assert (eras.modern("s"), eras.handshake("t")) == (None, None)


def test_what_is_too_old_is_believed_again_for_a_while_where_nobody_can_be_asked() -> None:
    clock = Clock()
    eras = Eras({"s": policy(), "t": policy()}, clock)
    eras.saw("s", edition=0, modern=True)
    for is_read_again in (False, True):
        clock.time += HOLDS + 1
        if is_read_again:
            eras.saw("s", edition=0, modern=True)
            eras.take_over({"s": policy()})
        assert eras.modern("s") is None
        assert eras.prolong("s")
        assert eras.modern("s") is True
        clock.time += PROLONGED + 1
        assert eras.modern("s") is None
    assert not eras.prolong("t")
    eras.saw("t", edition=eras.edition, handshake=True)
    assert not eras.prolong("t")
    eras.forget("s")
    assert not eras.prolong("s")


def test_what_to_do_about_a_wrong_era_names_the_key_and_is_silent_where_none_was_given() -> None:
    assert remedy(policy()) == ""
    assert "'era: legacy'" in remedy(policy("legacy"))
    assert "'era: auto'" in remedy(policy("legacy"))
