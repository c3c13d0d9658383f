"""Which child a request is for, of what it says of whose it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.telling import MAX_VALUE
from gateway.identity.who import Who
from gateway.modern.affinity import SOURCES, Affinity, Asked, affinity, for_capabilities

ALICE = Principal("basic", "alice")
HEADER = "X-Conversation"


def asked(principal: Principal = ALICE, headers: Sequence[str] = (), **keys: Any) -> Asked:
    """A request with these values of HEADER; `keys` are of the server's policy, and `handle` and `cookie`."""
    said = {name: keys.pop(name, None) for name in ("handle", "cookie")}
    policy = ServerPolicy.model_validate({"start_timeout": 1, "request_timeout": 1, "max_message_bytes": 1024, **keys})
    return Asked(Who(principal, header=lambda name: headers if name == HEADER else ()), policy, **said)


def refusal(request: Asked) -> GatewayError:
    """Why it may have no child."""
    with pytest.raises(GatewayError) as raised:
        affinity(request)
    return raised.value


def test_whoever_has_a_name_has_one_child() -> None:
    assert affinity(asked()) == Affinity("principal")
    assert affinity(asked(cookie="c", headers=["h"])) == Affinity("principal")
    assert affinity(asked(anonymous="reject")) == Affinity("principal")


def test_the_first_source_that_knows_decides() -> None:
    everything: dict[str, Any] = {
        "handle": "h",
        "headers": ["v"],
        "affinity_header": HEADER,
        "cookie": "c",
        "anonymous": "ephemeral",
    }
    assert affinity(asked(**everything)).key.startswith("handle:")
    del everything["handle"]
    assert affinity(asked(**everything)).key.startswith("header:")
    assert affinity(asked(ANONYMOUS, **everything)).key.startswith("header:")
    del everything["headers"]
    assert affinity(asked(**everything)) == Affinity("principal")
    assert affinity(asked(ANONYMOUS, **everything)).key.startswith("cookie:")
    del everything["cookie"]
    assert affinity(asked(ANONYMOUS, **everything)) == Affinity("", ephemeral=True)


def test_a_handle_is_of_whom_the_header_names() -> None:
    keys = {affinity(asked(headers=values, affinity_header=HEADER, handle="h")).key for values in ([], ["a"], ["b"])}
    assert len(keys) == 3
    assert refusal(asked(headers=["{{a}}"], affinity_header=HEADER, handle="h")).reason is Reason.BAD_REQUEST


def test_another_source_is_another_line_in_the_list() -> None:
    sources = {"moon": lambda _: "full", **SOURCES}
    assert affinity(asked(handle="h"), sources).key.startswith("moon:")


def test_no_source_can_speak_for_another_and_no_value_for_another() -> None:
    keys = {
        affinity(each).key
        for value in ("v", "w", "principal", "cookie:v", "v principal")
        for each in (
            asked(ANONYMOUS, handle=value),
            asked(ANONYMOUS, [value], affinity_header=HEADER),
            asked(ANONYMOUS, cookie=value),
        )
    }
    assert len(keys) == 15
    assert not keys & {"principal", "anonymous", ""}


def test_nothing_that_was_said_can_be_read_in_a_key_or_a_repr() -> None:
    request = asked(ANONYMOUS, ["s3cret"], affinity_header=HEADER, cookie="s3cret", handle="s3cret")
    assert "s3cret" not in repr(request)
    found = affinity(request)
    assert "s3cret" not in found.key
    assert found.key not in repr(found)


@pytest.mark.parametrize(
    "values", [[""], ["  "], ["{{LIBRECHAT_USER_ID}}"], ["a{{b"], ["x" * (MAX_VALUE + 1)], ["a", "a"], ["a", "b"]]
)
@pytest.mark.parametrize("principal", [ALICE, ANONYMOUS])
def test_a_header_that_cannot_be_trusted_is_refused(values: list[str], principal: Principal) -> None:
    error = refusal(asked(principal, values, affinity_header=HEADER))
    assert (error.reason, error.about) == (Reason.BAD_REQUEST, {"header": HEADER})
    assert not any(value.strip() and value in error.message for value in values if len(value) > 1)


def test_a_header_of_the_longest_kind_is_a_key_and_one_that_nobody_named_is_none() -> None:
    assert affinity(asked(headers=["x" * MAX_VALUE], affinity_header=HEADER)).key.startswith("header:")
    assert affinity(asked(headers=["x"])) == Affinity("principal")


def test_cookies_are_for_the_anonymous_whom_nothing_else_tells_apart() -> None:
    assert affinity(asked(ANONYMOUS, cookie="c", affinity_cookie=False)).ephemeral
    assert affinity(asked(ANONYMOUS, cookie="c", anonymous="shared")) == Affinity("anonymous")
    assert refusal(asked(ANONYMOUS, cookie="c", anonymous="reject")).reason is Reason.UNAUTHENTICATED


def test_the_anonymous_share_a_child_or_have_none_if_the_operator_says_so() -> None:
    assert affinity(asked(ANONYMOUS, anonymous="shared")) == Affinity("anonymous")
    error = refusal(asked(ANONYMOUS, anonymous="reject"))
    assert (error.reason, error.status) == (Reason.UNAUTHENTICATED, 401)
    assert affinity(asked(ANONYMOUS, handle="h", anonymous="reject")).key.startswith("handle:")


def test_what_can_be_asked_of_a_client_is_part_of_the_key_of_a_child_that_is_told_once() -> None:
    keys = {for_capabilities(key, said) for key in ("principal", "anonymous") for said in (b"{}", b'{"roots":{}}')}
    assert len(keys) == 4


def test_the_headers_that_tell_sessions_apart_tell_modern_clients_apart_too() -> None:
    isolation = ("user", f"header:{HEADER}")
    one, two = (affinity(asked(headers=[value], isolation=isolation)).key for value in ("one", "two"))
    assert one.startswith("header:")
    assert one != two
    assert affinity(asked(isolation=isolation)) == Affinity("principal")
    both = affinity(asked(headers=["one"], isolation=isolation, affinity_header=HEADER)).key
    assert both not in (one, affinity(asked(headers=["one"], affinity_header=HEADER)).key)
    assert refusal(asked(headers=["{{a}}"], isolation=isolation)).reason is Reason.BAD_REQUEST


def test_whoever_bears_something_else_of_their_own_has_another_child() -> None:
    def bearing(token: str, **keys: Any) -> Asked:
        who = Who(ALICE, header=lambda name: [token] if name == "X-Token" else [])
        return replace(asked(personal=("header:X-Token",), **keys), who=who)

    one, same, other = (affinity(bearing(token)) for token in ("one", "one", "other"))
    assert one == same != other
    assert not one.ephemeral
    assert "one" not in one.key
    assert affinity(bearing("one", handle="h")).key != affinity(bearing("other", handle="h")).key
    assert refusal(asked(personal=("header:X-Token",))).reason is Reason.CREDENTIAL_MISSING
