"""The user whom a trusted front names: the same user is the same text, and what is none is refused with the remedy."""

import base64

import pytest

from gateway.errors import GatewayError
from gateway.identity.user import MAX_USER, read_user

HEADER = "X-Gateway-User"


def encoded(text: str) -> str:
    """As LibreChat sends a text with characters above U+00FF."""
    return "b64:" + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("sent", "user"),
    [
        ("66f2a1", "66f2a1"),
        ("ann@example.org", "ann@example.org"),
        ("Ann Müller", "Ann Müller"),  # raw: one byte for each character on the wire
        (encoded("Zoë ☃"), "Zoë ☃"),
        ("Zoë", "Zoë"),
        ("b64", "b64"),
        ("x" * MAX_USER, "x" * MAX_USER),
        (encoded("☃" * MAX_USER), "☃" * MAX_USER),
    ],
)
def test_a_user_is_the_same_text_however_it_was_sent(sent: str, user: str) -> None:
    assert read_user(HEADER, [sent]) == user


def test_raw_bytes_are_never_taken_for_utf_8() -> None:
    # Whoever calls himself "Ã«" must not become "ë", whose UTF-8 looks like that.
    assert read_user(HEADER, ["Ã«"]) != read_user(HEADER, ["ë"])


@pytest.mark.parametrize(
    ("one", "other"), [("Kim", "\u212aim"), ("Zoë", "Zoe\u0308"), ("ann", "\uff41nn"), ("ann", "ANN")]
)
def test_whoever_is_called_nearly_like_somebody_else_does_not_become_them(one: str, other: str) -> None:
    # To Unicode's NFC the first two of them are equal, and a front may have a user of either name.
    assert read_user(HEADER, [one]) == one
    assert read_user(HEADER, [encoded(other)]) == other


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (["ann", "bob"], "was sent 2 times"),
        (["ann", "ann"], "was sent 2 times"),
        ([""], "is empty"),
        (["  \t"], "is empty"),
        (["\u00a0"], "is empty"),
        (["b64:"], "is empty"),
        ([encoded(" ")], "is empty"),
        (["{{LIBRECHAT_USER_ID}}"], "still holds a placeholder"),
        (["ann {{LIBRECHAT_USER_NAME"], "still holds a placeholder"),
        (["${USER}"], "still holds a placeholder"),
        ([encoded("☃{{X}}")], "still holds a placeholder"),
        (["ann\x00"], "control characters"),
        (["ann\x7f"], "control characters"),
        (["ann\x85"], "control characters"),
        ([encoded("ann\nbob")], "control characters"),
        ([encoded("ann\u2028bob")], "control characters"),
        (["x" * (MAX_USER + 1)], "has 257 characters"),
        ([encoded("☃" * (MAX_USER + 1))], "has 257 characters"),
        (["b64:%"], "not the base64 of a text in UTF-8"),
        (["b64:YQ"], "not the base64 of a text in UTF-8"),
        (["b64:/w=="], "not the base64 of a text in UTF-8"),
        (["b64:é"], "not the base64 of a text in UTF-8"),
        (["b64:7aCA"], "not the base64 of a text in UTF-8"),  # half of a pair of UTF-16
    ],
)
def test_what_is_no_user_is_refused_with_the_header_and_the_remedy(values: list[str], complaint: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_user(HEADER, values)
    error = caught.value
    assert (error.status, error.reason, error.about) == (403, "user_denied", {"header": HEADER})
    assert error.message.startswith(f"the header {HEADER} ")
    assert complaint in error.message
    assert error.message.endswith(
        f"write {HEADER}: '{{{{LIBRECHAT_USER_ID}}}}' under this server's 'headers' in librechat.yaml"
    )
    assert not any(value.strip() and value in error.message for value in values if len(value) > 3 and "{{" not in value)


def test_no_error_has_a_word_that_librechat_acts_on() -> None:
    for values in ([], ["a", "b"], [""], ["{{"], ["\x01"], ["x" * 429], ["b64:%"]):
        with pytest.raises(GatewayError) as caught:
            read_user(HEADER, values)
        assert not any(word in caught.value.message.lower() for word in ("401", "oauth", "authenticat", "rate limit"))
