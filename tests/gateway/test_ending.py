"""What is said of the end of a child's bridge."""

import pytest

from common.reasons import Reason
from gateway.ending import error_of
from supervisor.protocol import Exit

CERTIFICATE = "c-1"


@pytest.mark.parametrize(
    ("exit_", "about"),
    [
        (None, {}),
        (Exit(code=0), {"exitCode": 0}),
        (Exit(code=3), {"exitCode": 3}),
        (Exit(signal=9), {"signal": 9}),
        (Exit(), {}),
    ],
)
def test_how_the_child_exited_is_told_where_it_is_known(exit_: Exit | None, about: dict[str, object]) -> None:
    error = error_of(Reason.CHILD_EXITED, "light", CERTIFICATE, exit_)
    assert error.reason is Reason.CHILD_EXITED
    assert error.about == {"server": "light", "certificate": CERTIFICATE, **about}


@pytest.mark.parametrize("reason", [Reason.GATEWAY_RESTARTED, Reason.SUPERVISOR_LOST])
def test_where_the_child_lives_or_nobody_can_say_how_it_died_no_certificate_is_named(reason: Reason) -> None:
    assert error_of(reason, "light", CERTIFICATE).about == {"server": "light"}


def test_where_there_is_no_certificate_none_is_named() -> None:
    assert error_of(Reason.IDLE_TIMEOUT, "light", "").about == {"server": "light"}


@pytest.mark.parametrize("reason", [Reason.START_FAILED, Reason.START_TIMEOUT])
def test_who_never_was_served_is_told_what_to_do(reason: Reason) -> None:
    assert error_of(reason, "light", "", remedy="; do this").message.endswith("; do this")
    assert not error_of(Reason.CHILD_EXITED, "light", "", remedy="; do this").message.endswith("; do this")
