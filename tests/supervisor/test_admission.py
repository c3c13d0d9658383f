"""Who may have one more child."""

import pytest

from common.config.model import Debug, Graces, ServerSpec, SupervisorSettings
from common.reasons import Reason
from supervisor.admission import Refusal, admit


def spec(name: str, max_sessions: int | None) -> ServerSpec:
    """A server that differs from others in its limit alone."""
    return ServerSpec(
        name=name,
        as_written="x",
        command="x",
        args=(),
        path=None,
        env={},
        idle_timeout=1,
        max_lifetime=1,
        graces=Graces(stop=1, terminate=1, kill=1),
        max_sessions=max_sessions,
    )


SETTINGS = SupervisorSettings(
    debug=Debug(), max_sessions=5, servers={"free": spec("free", None), "tight": spec("tight", 2)}
)
ALL_TAKEN = Refusal(Reason.MAX_SESSIONS, "the gateway has all the 5 sessions that it may have")


@pytest.mark.parametrize(
    ("server", "children"),
    [
        ("free", {}),
        ("free", {"free": 4}),
        ("free", {"free": 2, "tight": 2}),
        ("tight", {}),
        ("tight", {"tight": 1}),
        ("tight", {"tight": 1, "free": 3}),
        ("free", {"tight": 2}),
    ],
)
def test_a_child_is_admitted_below_both_limits(server: str, children: dict[str, int]) -> None:
    assert admit(SETTINGS, server, children) is None


@pytest.mark.parametrize("children", [{"free": 5}, {"free": 6}, {"free": 3, "tight": 2}])
def test_a_child_is_refused_where_the_gateway_is_full(children: dict[str, int]) -> None:
    assert admit(SETTINGS, "free", children) == ALL_TAKEN


def test_a_gateway_that_is_full_of_others_refuses_a_server_with_room_of_its_own() -> None:
    assert admit(SETTINGS, "tight", {"free": 5}) == ALL_TAKEN


@pytest.mark.parametrize("children", [{"tight": 2}, {"tight": 3}, {"tight": 2, "free": 3}])
def test_a_child_is_refused_where_its_server_is_full(children: dict[str, int]) -> None:
    refusal = Refusal(Reason.MAX_SESSIONS, "server 'tight' has all the 2 sessions that it may have")
    assert admit(SETTINGS, "tight", children) == refusal


def test_a_server_that_is_not_configured_is_refused() -> None:
    assert admit(SETTINGS, "other", {}) == Refusal(Reason.SERVER_NOT_FOUND, "there is no server 'other'")
