"""Rules say who may use what."""

from typing import Any

import pytest

from common.config.access import AccessRule
from gateway.access import EVERYTHING, NOTHING, Access
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.who import Who

ISSUER = "https://idp.example:8443/realm"
ANN = Who(Principal("basic", "ann"))
CHAT = Who(Principal("bearer", "librechat", "u1"))
STAFF = Who(Principal(ISSUER, "s1"), {"groups": ["staff", "ops"], "role": "admin", "level": 3, "ok": True})


def access(*rules: dict[str, Any]) -> Access:
    """These rules, as the file has them."""
    return Access([AccessRule.model_validate(rule) for rule in rules])


def allow(who: Any, *to: str) -> dict[str, Any]:
    return {"allow": who, "to": list(to)}


def deny(who: Any, *to: str) -> dict[str, Any]:
    return {"deny": who, "to": list(to)}


def test_without_rules_everybody_may_use_everything() -> None:
    assert Access().permission(Who(), "any") is EVERYTHING
    assert Access().allows_tool(ANN, "any", "any")


def test_what_no_rule_allows_is_denied() -> None:
    rules = access(allow("basic:ann", "fs"))
    assert rules.permission(ANN, "fs").every_tool
    assert rules.permission(ANN, "other") is NOTHING
    assert rules.permission(CHAT, "fs") is NOTHING
    assert not rules.allows_tool(CHAT, "fs", "read")


@pytest.mark.parametrize("order", [1, -1])
def test_what_any_rule_denies_is_denied_whatever_the_order(order: int) -> None:
    rules = access(*[allow("*", "*"), deny("user:u*", "fs"), deny("*", "github:delete_*")][::order])
    assert not rules.allows_server(CHAT, "fs")
    assert rules.allows_server(ANN, "fs")
    assert not rules.allows_tool(ANN, "github", "delete_repo")
    assert rules.allows_tool(ANN, "github", "get_repo")
    assert not rules.permission(ANN, "github").every_tool


def test_a_rule_about_tools_allows_their_server_and_nothing_else_of_it() -> None:
    rules = access(allow("*", "github:get_*", "gitlab:get_*"))
    assert rules.allows_server(ANN, "github")
    assert rules.allows_tool(ANN, "github", "get_repo")
    assert not rules.allows_tool(ANN, "github", "forget_repo")
    assert not rules.allows_server(ANN, "fs")


def test_a_rule_that_denies_all_tools_leaves_their_server() -> None:
    rules = access(allow("*", "fs"), deny("basic:ann", "fs:*"))
    assert rules.allows_server(ANN, "fs")
    assert not rules.allows_tool(ANN, "fs", "read")
    assert rules.permission(CHAT, "fs").every_tool


@pytest.mark.parametrize(
    ("caller", "meant"),
    [
        ("*", [ANN, CHAT, STAFF, Who()]),
        ("anonymous", [Who()]),
        ("basic:ann", [ANN]),
        ("basic:*", [ANN]),
        ("basic:a?n", [ANN]),
        ("bearer:librechat", [CHAT]),
        ("user:u1", [CHAT]),
        ("user:*", [CHAT]),
        ("user:ann", []),
        ("group:staff", [STAFF]),
        ("group:sta*", [STAFF]),
        ("group:Staff", []),
        ("claim:role=admin", [STAFF]),
        ("claim:groups=ops", [STAFF]),
        ("claim:level=3", [STAFF]),
        ("claim:ok=true", [STAFF]),
        ("claim:ok=True", []),
        ("claim:absent=*", []),
        (f"{ISSUER}:s1", [STAFF]),
        (f"{ISSUER}:*", [STAFF]),
        ("https://idp.example:*", []),
        ("https://idp.example:8443/realm/:s1", []),
        (["basic:ann", "group:staff"], [ANN, STAFF]),
    ],
)
def test_a_caller_is_who_is_meant(caller: Any, meant: list[Who]) -> None:
    rules = access(allow(caller, "fs"))
    assert [who for who in (ANN, CHAT, STAFF, Who()) if rules.allows_server(who, "fs")] == meant


@pytest.mark.parametrize(
    ("claims", "caller", "is_meant"),
    [
        ({"groups": "staff"}, "group:staff", True),
        ({"groups": "staff ops"}, "group:staff", False),
        ({"groups": [["staff"], None, {"staff": 1}]}, "group:staff", False),
        ({"groups": {"staff": True}}, "group:staff", False),
        ({"realm_access": {"roles": ["admin"]}}, "claim:realm_access.roles=admin", True),
        ({"https://x.example/roles": ["admin"]}, "claim:https://x.example/roles=admin", True),
        ({"a": "x"}, "claim:a.b=x", False),
        ({"a": {"b": "x"}, "a.b": "y"}, "claim:a.b=x", False),
        ({"role": "a=b"}, "claim:role=a=b", True),
        ({"role": None}, "claim:role=*", False),
        ({"role": "admin\nuser"}, "claim:role=admin", False),
    ],
)
def test_a_claim_is_a_text_or_a_list_of_them(claims: dict[str, Any], caller: str, is_meant: bool) -> None:
    assert access(allow(caller, "fs")).allows_server(Who(Principal(ISSUER, "x"), claims), "fs") == is_meant


def test_each_issuer_may_have_a_claim_of_its_own_for_groups() -> None:
    rules = Access([AccessRule.model_validate(allow("group:ops", "fs"))], {ISSUER: "realm_access.roles"})
    claims = {"realm_access": {"roles": ["ops"]}, "groups": ["none"]}
    assert rules.allows_server(Who(Principal(ISSUER, "s1"), claims), "fs")
    assert not rules.allows_server(Who(Principal("https://other.example", "s1"), claims), "fs")


def test_each_request_is_judged_by_its_own_claims() -> None:
    rules, same = access(allow("group:staff", "fs")), Principal(ISSUER, "s1")
    assert rules.allows_server(Who(same, {"groups": ["staff"]}), "fs")
    assert not rules.allows_server(Who(same, {"groups": []}), "fs")


def test_names_that_look_like_patterns_are_names() -> None:
    rules = access(allow("basic:a", "fs:read"))
    assert not rules.allows_server(Who(Principal("basic", "*")), "fs")
    assert not rules.allows_tool(Who(Principal("basic", "a")), "fs", "*")
    assert not rules.allows_tool(Who(Principal("basic", "a")), "fs", "read\n")


def test_an_issuer_says_nothing_of_another_ones_subjects() -> None:
    rules = access(allow("https://a.example:8443/x:ann", "fs"))
    assert rules.allows_server(Who(Principal("https://a.example:8443/x", "ann")), "fs")
    assert not rules.allows_server(Who(Principal("https://a.example", "8443/x:ann")), "fs")
    assert not rules.allows_server(Who(ANONYMOUS), "fs")
