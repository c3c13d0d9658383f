"""The cookies of one run of the gateway: which are believed."""

import pytest

from gateway.modern.cookies import Cookies


def test_a_cookie_that_was_given_out_is_known_and_each_is_another() -> None:
    cookies = Cookies()
    one, two = cookies.new("s"), cookies.new("s")
    assert cookies.known("s", one) == cookies.known("s", one) is not None
    assert cookies.known("s", one) != cookies.known("s", two)


def test_another_servers_cookie_and_another_runs_are_not_known() -> None:
    cookies = Cookies()
    assert cookies.known("t", cookies.new("s")) is None
    assert Cookies().known("s", cookies.new("s")) is None


@pytest.mark.parametrize("end", [0, 1, 5, 31, 32, 33, 96])
def test_a_cookie_that_was_changed_anywhere_is_not_known(end: int) -> None:
    cookies = Cookies()
    value = cookies.new("s")
    other = "A" if value[end] != "A" else "B"
    assert cookies.known("s", value[:end] + other + value[end + 1 :]) is None


@pytest.mark.parametrize(
    "value", [None, "", ".", "a.b", "x" * 10_000, f"{'a' * 32}.{'0' * 64}", f"{'ä' * 32}.{'0' * 64}"]
)
def test_what_is_no_cookie_of_ours_is_not_known(value: str | None) -> None:
    assert Cookies().known("s", value) is None


@pytest.mark.parametrize("spoil", ["{}\n", " {}", "{}0", "{}.{}"])
def test_a_cookie_is_known_whole(spoil: str) -> None:
    cookies = Cookies()
    value = cookies.new("s")
    assert cookies.known("s", spoil.format(value, value)) is None


def test_the_key_is_not_shown() -> None:
    assert repr(Cookies()) == "<Cookies>"
