"""Who is believed about on whose behalf it asks."""

from collections.abc import Callable, Sequence

import pytest
from loguru import logger

from common.config.users import Users
from common.once import Once
from gateway.errors import GatewayError
from gateway.identity.fronts import Fronts
from gateway.identity.principal import ANONYMOUS, Principal

HEADER = "X-Gateway-User"
USERS = Users(trust_user_header=HEADER, trusted_fronts=("librechat", "chat"))
STRICT = USERS.model_copy(update={"require_user": True})
LIBRECHAT = Principal("bearer", "librechat")
OTHER = Principal("bearer", "ci")


def sent(*values: str) -> Callable[[str], Sequence[str]]:
    """The headers of a request."""
    return lambda name: values if name == HEADER else ()


@pytest.mark.parametrize("issuer", ["basic", "bearer", "apikey"])
def test_a_trusted_front_speaks_for_the_user_that_it_names(issuer: str) -> None:
    front = Principal(issuer, "librechat")
    assert Fronts(USERS).speaking(front, sent("ann")) == Principal(issuer, "librechat", "ann")


def test_a_user_of_one_front_is_not_the_same_user_of_another() -> None:
    fronts = Fronts(USERS)
    assert fronts.speaking(LIBRECHAT, sent("ann")) != fronts.speaking(Principal("bearer", "chat"), sent("ann"))


def test_a_key_that_is_no_front_any_more_has_no_users() -> None:
    fronts = Fronts(USERS.model_copy(update={"trusted_fronts": ("chat",)}))
    assert not fronts.still_believe(Principal("bearer", "librechat", "ann"))
    assert fronts.still_believe(Principal("bearer", "chat", "ann"))
    assert fronts.still_believe(LIBRECHAT)
    assert not Fronts(Users()).still_believe(Principal("bearer", "chat", "ann"))


@pytest.mark.parametrize(
    "principal",
    [OTHER, ANONYMOUS, Principal("bearer", ""), Principal("https://issuer.example", "librechat")],
)
def test_nobody_else_becomes_a_user_and_the_log_says_so_once(principal: Principal) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    fronts = Fronts(USERS)
    assert [fronts.speaking(principal, sent("ann")) for _ in range(3)] == [principal] * 3
    logger.remove(sink)
    assert len(lines) == 1
    assert "sent X-Gateway-User, which is not heeded" in lines[0]
    assert "ann" not in lines[0]


def test_without_the_key_in_the_configuration_the_header_means_nothing() -> None:
    assert Fronts(Users()).speaking(LIBRECHAT, sent("ann", "bob")) == LIBRECHAT


def test_a_front_that_names_nobody_asks_for_itself() -> None:
    assert Fronts(USERS).speaking(LIBRECHAT, sent()) == LIBRECHAT


def test_where_a_user_is_required_a_front_has_to_name_one() -> None:
    fronts = Fronts(STRICT)
    with pytest.raises(GatewayError, match="X-Gateway-User is missing, and 'require_user' is on; write") as caught:
        fronts.speaking(LIBRECHAT, sent())
    assert (caught.value.status, caught.value.reason) == (403, "user_denied")
    assert fronts.speaking(LIBRECHAT, sent("ann")).user == "ann"


def test_where_a_user_is_required_a_key_that_is_no_front_is_its_own_user() -> None:
    fronts = Fronts(STRICT)
    assert fronts.speaking(OTHER, sent()) == OTHER
    with pytest.raises(GatewayError, match="name the key in 'trusted_fronts'"):
        fronts.speaking(OTHER, sent("ann"))


def test_what_is_said_once_is_remembered_within_a_bound() -> None:
    once = Once(2)
    assert [once.is_first(each) for each in "aabbac"] == [True, False, True, False, False, True]
    assert once.is_first("b")
    assert repr(once) == "<Once: 2 seen>"
