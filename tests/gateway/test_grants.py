"""The pure parts of leases."""

import pytest

from gateway.grants import left_to_start
from gateway.identity.principal import ANONYMOUS, Principal


@pytest.mark.parametrize(
    ("start_timeout", "waited", "left"),
    [(24, 0, 24), (24, 10, 14), (24, 23.5, 1), (24, 24, 1), (24, 30, 1), (0.5, 0, 0.5), (0.5, 0.4, 0.5)],
)
def test_what_was_waited_is_taken_off_but_for_a_second(start_timeout: float, waited: float, left: float) -> None:
    assert left_to_start(start_timeout, waited) == left


def test_a_handle_is_stable_and_tells_principals_apart_without_naming_them() -> None:
    ann = Principal("basic", "ann")
    assert ann.handle == Principal("basic", "ann").handle
    assert len({ann.handle, Principal("basic", "bob").handle, Principal("bearer", "ann").handle}) == 3
    assert "ann" not in ann.handle


def test_the_anonymous_have_no_handle() -> None:
    assert ANONYMOUS.handle == ""
