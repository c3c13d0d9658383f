"""What a request bears of its user's own, and what is refused of it."""

import base64
from typing import Any

import pytest

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.who import Who
from gateway.personal import NOTHING, Personal, compare, personal, remembered

ALICE = Principal("https://issuer", "alice")
TOKEN = "header:X-Token"


def asking(*names: str) -> ServerPolicy:
    """The policy of a server with these placeholders."""
    return ServerPolicy(start_timeout=1, request_timeout=1, max_message_bytes=1, personal=names)


def bearing(*values: str, principal: Principal = ALICE, **claims: Any) -> Who:
    """Who sends the header `X-Token` so often."""
    return Who(principal, claims, lambda name: list(values) if name.lower() == "x-token" else [])


def encoded(text: str) -> str:
    """As LibreChat sends what is no Latin-1."""
    return "b64:" + base64.b64encode(text.encode()).decode()


def refusal(who: Who, name: str = TOKEN) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        personal(who, asking(name))
    return caught.value


def test_a_server_that_asks_for_nothing_is_the_same_for_everybody() -> None:
    assert personal(bearing("secret"), asking()) is NOTHING
    assert NOTHING.digest == b""


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("secret", "secret"),
        (" secret ", "secret"),
        (encoded("ключ"), "ключ"),
        ("b64", "b64"),
        ("${", "${"),
        ("{{", "{{"),
        ('{"a": {"b": {}}}', '{"a": {"b": {}}}'),
        ("x" * 8192, "x" * 8192),
        (encoded("ю" * 4096), "ю" * 4096),
        ("M\xfcller", "Müller"),
    ],
)
def test_a_header_is_taken_as_it_comes_but_for_what_is_encoded(sent: str, value: str) -> None:
    assert personal(bearing(sent), asking(TOKEN)).values == {TOKEN: value}


@pytest.mark.parametrize(
    ("sent", "reason", "message"),
    [
        ([], Reason.CREDENTIAL_MISSING, "is missing: it must come with each request to this server"),
        (["marked", "marked"], Reason.CREDENTIAL_MALFORMED, "was sent more than once"),
        ([""], Reason.CREDENTIAL_MALFORMED, "is empty"),
        (["  "], Reason.CREDENTIAL_MALFORMED, "is empty"),
        ([encoded("")], Reason.CREDENTIAL_MALFORMED, "is empty"),
        (["{{marked}}"], Reason.CREDENTIAL_MALFORMED, "still holds a placeholder in place of its value; in librechat"),
        (
            ["Bearer {{marked}}"],
            Reason.CREDENTIAL_MALFORMED,
            "still holds a placeholder in place of its value; in libre",
        ),
        (["${marked}"], Reason.CREDENTIAL_MALFORMED, "still holds a placeholder in place of its value; in librechat"),
        ([encoded("{{marked}}")], Reason.CREDENTIAL_MALFORMED, "still holds a placeholder in place of its value; in l"),
        (["b64:marked!"], Reason.CREDENTIAL_MALFORMED, "begins with 'b64:', and what follows is no base64 of UTF-8"),
        (["b64:/w=="], Reason.CREDENTIAL_MALFORMED, "begins with 'b64:', and what follows is no base64 of UTF-8"),
        (["b64:bWFya2Vk\xe9"], Reason.CREDENTIAL_MALFORMED, "begins with 'b64:', and what follows is no base64 of"),
        ([encoded("marked\0")], Reason.CREDENTIAL_MALFORMED, "holds a control character, such as a line's end"),
        ([encoded("marked\nX: y")], Reason.CREDENTIAL_MALFORMED, "holds a control character, such as a line's end"),
        (["marked\x85"], Reason.CREDENTIAL_MALFORMED, "holds a control character, such as a line's end"),
        (["marked" * 2000], Reason.CREDENTIAL_MALFORMED, "is longer than 8192 bytes"),
        ([encoded("marked" * 2000)], Reason.CREDENTIAL_MALFORMED, "is longer than 8192 bytes"),
    ],
)
def test_what_is_no_value_is_refused_by_the_name_of_the_header(sent: list[str], reason: Reason, message: str) -> None:
    error = refusal(bearing(*sent))
    assert error.message.startswith(f"the header X-Token {message}")
    assert (error.reason, error.status, error.about) == (reason, 400, {"header": "X-Token"})
    shown = error.rest_body() + error.rpc_body() + error.modern_body() + str(error).encode()
    assert b"marked" not in shown
    assert b"bWFya2Vk" not in shown


def test_all_values_together_have_a_bound() -> None:
    who = Who(ALICE, header=lambda name: ["x" * 8192])
    assert len(personal(who, asking(*(f"header:X-{n}" for n in range(8)))).values) == 8
    with pytest.raises(GatewayError) as caught:
        personal(who, asking(*(f"header:X-{n}" for n in range(9))))
    assert caught.value.reason is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    ("principal", "user"),
    [
        (Principal("bearer", "librechat", "u1"), "u1"),
        (Principal("apikey", "ci", "u1"), "u1"),
        (Principal("https://issuer", "alice"), "alice"),
        (Principal("https://issuer", "front", "alice"), "alice"),
        (Principal("basic", "alice"), "alice"),
    ],
)
def test_a_user_is_whoever_the_request_comes_for(principal: Principal, user: str) -> None:
    assert personal(bearing(principal=principal), asking("user.id")).values == {"user.id": user}


@pytest.mark.parametrize("principal", [ANONYMOUS, Principal("bearer", "librechat"), Principal("apikey", "ci")])
def test_a_key_is_no_user_and_neither_is_everybody(principal: Principal) -> None:
    error = refusal(bearing(principal=principal), "user.id")
    assert (error.reason, error.about) == (Reason.CREDENTIAL_MISSING, {"placeholder": "user.id"})


@pytest.mark.parametrize(("claim", "value"), [("x@y", "x@y"), (7, "7"), (1.5, "1.5"), (True, "true"), (False, "false")])
def test_a_claim_is_a_text_a_number_or_a_truth(claim: object, value: str) -> None:
    assert personal(bearing(mail=claim), asking("user.claim.mail")).values == {"user.claim.mail": value}


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (None, Reason.CREDENTIAL_MISSING),
        ([], Reason.CREDENTIAL_MALFORMED),
        (["a"], Reason.CREDENTIAL_MALFORMED),
        ({"a": 1}, Reason.CREDENTIAL_MALFORMED),
        ("", Reason.CREDENTIAL_MALFORMED),
        ("a\nb", Reason.CREDENTIAL_MALFORMED),
    ],
)
def test_no_other_claim_is_taken(claim: object, reason: Reason) -> None:
    assert refusal(bearing(mail=claim), "user.claim.mail").reason is reason


def test_a_claim_that_says_what_a_header_is_called_is_no_header() -> None:
    assert refusal(Who(ALICE, {"X-Token": "x"})).reason is Reason.CREDENTIAL_MISSING


# What later requests are compared with.


class Opened:
    """A session that was opened with this."""

    def __init__(self, own: Personal, policy: ServerPolicy) -> None:
        self.personal = own
        self.policy = policy
        self.heeded: list[Personal] = []

    def heed(self, own: Personal) -> None:
        self.heeded.append(own)


def test_what_is_the_same_is_not_heeded_and_what_is_not_is() -> None:
    session = Opened(personal(bearing("one"), asking(TOKEN)), asking(TOKEN))
    compare(session, bearing("one"))
    assert session.heeded == []
    compare(session, bearing("two"))
    assert [each.values for each in session.heeded] == [{TOKEN: "two"}]


def test_a_later_request_without_it_is_refused() -> None:
    session = Opened(personal(bearing("one"), asking(TOKEN)), asking(TOKEN))
    for sent in ([], ["{{T}}"], ["one", "one"]):
        with pytest.raises(GatewayError):
            compare(session, bearing(*sent))
    assert session.heeded == []


def test_a_later_gateway_compares_with_what_it_was_left() -> None:
    own = personal(bearing("one"), asking(TOKEN))
    session = Opened(remembered(bytes.fromhex(own.digest.hex())), asking(TOKEN))
    compare(session, bearing("one"))
    assert session.heeded == []
    assert session.personal.values == {TOKEN: "one"}  # known again, so that the audit log can leave it out
    compare(session, bearing("two"))
    assert len(session.heeded) == 1
    compare(Opened(remembered(b""), asking()), bearing())


def test_two_values_in_each_others_place_are_not_the_same() -> None:
    digests = {
        Personal({"a": "x", "b": "y"}).digest,
        Personal({"a": "y", "b": "x"}).digest,
        Personal({"a": "xby"}).digest,
    }
    assert len(digests) == 3


def test_no_repr_shows_a_value() -> None:
    own = personal(bearing("marked"), asking(TOKEN))
    assert "marked" not in repr(own) + repr(bearing("marked")) + repr(remembered(own.digest))
