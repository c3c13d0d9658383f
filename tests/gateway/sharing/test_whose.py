"""Which sessions share a child."""

from collections.abc import Mapping, Sequence

import pytest

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.who import Who
from gateway.sharing.whose import Whose, changed, key_alone, key_of, may_be_asked

ALICE, BOB = Principal("bearer", "front", "alice"), Principal("bearer", "front", "bob")


def policy(*isolation: str) -> ServerPolicy:
    return ServerPolicy(start_timeout=1, request_timeout=1, max_message_bytes=1024, isolation=isolation or ("session",))


def who(principal: Principal = ALICE, headers: Mapping[str, Sequence[str]] | None = None) -> Who:
    return Who(principal, header=lambda name: (headers or {}).get(name, ()))


def test_by_default_nobody_shares_and_the_anonymous_never_do() -> None:
    assert key_of(who(), policy()) is None
    assert key_of(who(ANONYMOUS), policy("user")) is None
    assert key_of(who(ANONYMOUS, {"X-C": ["1"]}), policy("user", "header:X-C")) is None


def test_the_key_is_the_same_for_all_and_the_principal_is_not() -> None:
    keys = {key_of(who(each), policy("user")) for each in (ALICE, BOB)}
    assert keys == {"user"}
    [key] = keys
    assert key is not None
    assert Whose(ALICE, "s", key) != Whose(BOB, "s", key)
    assert Whose(ALICE, "s", key) == Whose(Principal("bearer", "front", "alice"), "s", key)
    assert Whose(ALICE, "s", key) != Whose(ALICE, "t", key)


def test_a_header_tells_conversations_apart_and_none_is_one_too() -> None:
    of = policy("user", "header:X-C", "header:X-D")
    headers: list[dict[str, list[str]]] = [
        {},
        {"X-C": ["1"]},
        {"X-D": ["1"]},
        {"X-C": ["1"], "X-D": ["1"]},
        {"X-C": ['1","1']},
        {"X-C": ["user"]},
    ]
    keys = [key_of(who(headers=each), of) for each in headers]
    assert len(set(keys)) == len(headers)
    assert keys[0] == "user"
    assert keys[1] == key_of(who(BOB, headers[1]), of)


@pytest.mark.parametrize("values", [[""], [" "], ["{{X}}"], ["a", "a"], ["x" * 257]])
def test_a_header_that_cannot_be_meant_is_refused(values: list[str]) -> None:
    with pytest.raises(GatewayError) as caught:
        key_of(who(headers={"X-C": values}), policy("user", "header:X-C"))
    assert (caught.value.reason, caught.value.about) == (Reason.BAD_REQUEST, {"header": "X-C"})


def test_nothing_that_was_said_can_be_read_in_a_key() -> None:
    key = key_of(who(headers={"X-C": ["s3cret"]}), policy("user", "header:X-C"))
    assert key is not None
    assert "s3cret" not in key
    assert key not in repr(Whose(ALICE, "s", key, b"given"))
    assert "given" not in repr(Whose(ALICE, "s", key, b"given"))
    assert "gw.id" not in key_alone("gw.id")


@pytest.mark.parametrize(
    ("hello", "askable"),
    [
        (b"", "{}"),
        (b"[]", "{}"),
        (b'{"capabilities":5}', "{}"),
        (b'{"capabilities":{"experimental":{"x":{}}}}', "{}"),
        (b'{"capabilities":{"roots":{"listChanged":true},"sampling":{}}}', '{"roots":{},"sampling":{}}'),
        (b'{"capabilities":{"sampling":{},"roots":{}}}', '{"roots":{},"sampling":{}}'),
    ],
)
def test_what_a_client_can_be_asked(hello: bytes, askable: str) -> None:
    assert may_be_asked(hello) == askable


def test_names_are_told_of_what_has_changed_and_no_values() -> None:
    assert changed({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == "b, c"
    assert changed({}, {"header:X": "secret"}) == "header:X"
