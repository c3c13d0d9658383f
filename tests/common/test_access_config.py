"""`access` and `audit`, as the file has them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from common.config.access import split_principal
from common.config.load import Settings, load
from common.config.source import ConfigError

SERVERS = "\nservers: {fs: {command: x}, time: {command: x}, github: {command: x}}\n"
PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], Settings]:
    """What is read of a `config.yaml` with this text and three servers."""

    def read(text: str) -> Settings:
        path = tmp_path / "config.yaml"
        path.write_text(text + SERVERS)
        return load(path, {})

    return read


def test_the_samples_of_the_page_load(loaded: Callable[[str], Settings]) -> None:
    settings = loaded("".join(re.findall("```yaml\n(.*?)```", PAGE, re.DOTALL))).gateway
    assert settings.access is not None
    assert [rule.to for rule in settings.access] == [("fs", "time"), ("github:*",), ("github:delete_*",)]
    assert [rule.allow for rule in settings.access] == [("*",), ("group:staff", "basic:ann"), None]
    assert settings.access[2].deny == ("user:guest*",)
    assert settings.audit is not None
    assert (settings.audit.file, settings.audit.arguments) == ("/var/log/mcp-gateway/audit.jsonl", False)


def test_without_the_keys_there_is_neither(loaded: Callable[[str], Settings]) -> None:
    settings = loaded("").gateway
    assert (settings.access, settings.audit) == (None, None)


def test_a_file_is_relative_to_the_configuration(loaded: Callable[[str], Settings], tmp_path: Path) -> None:
    for written, meant in (
        ("stderr", "stderr"),
        ("a/b.jsonl", f"{tmp_path}/a/b.jsonl"),
        ("./stderr", f"{tmp_path}/stderr"),
    ):
        audit = loaded(f"audit: {{file: {written}}}").gateway.audit
        assert audit is not None
        assert audit.file == meant


NOBODY = (
    "expected a caller: '*', 'basic:NAME', 'bearer:NAME', 'apikey:NAME', 'ISSUER:SUBJECT', 'anonymous', 'user:NAME', "
    "'group:NAME' or 'claim:NAME=VALUE'"
)
EITHER = "expected either 'allow' or 'deny', with the callers that the rule is about"
EMPTY = "expected one rule at least; without the key everybody may use everything"


@pytest.mark.parametrize(
    ("rules", "problems"),
    [
        ("access:", [f"1: access: {EMPTY}"]),
        ("access: []", [f"1: access: {EMPTY}"]),
        ("access: {a: b}", ["1: access: expected a list"]),
        (
            "access:\n- {allow: '*', to: [fs, nothing, 'no*']}\n- deny: '*'\n  to: absent:x",
            [
                "2: access[0].to[1]: there is no such server under 'servers'",
                "4: access[1].to[0]: there is no such server under 'servers'",
            ],
        ),
        ("access: [{to: fs}]", [f"1: access[0]: {EITHER}"]),
        ("access: [{allow: '*', deny: '*', to: fs}]", [f"1: access[0]: {EITHER}"]),
        ("access: [{alow: '*', to: fs}]", ["1: access[0].alow: unknown key; did you mean 'allow'?"]),
        ("access: [{allow: [], to: fs}]", ["1: access[0].allow: expected one at least"]),
        ("access: [{allow: ann, to: fs}]", [f"1: access[0].allow[0]: {NOBODY}"]),
        ("access: [{allow: 'basic:', to: fs}]", [f"1: access[0].allow[0]: {NOBODY}"]),
        ("access: [{allow: 'https://x', to: fs}]", [f"1: access[0].allow[0]: {NOBODY}"]),
        ("access: [{allow: 'https://*:x', to: fs}]", [f"1: access[0].allow[0]: {NOBODY}"]),
        ("access: [{allow: 'group:', to: fs}]", ["1: access[0].allow[0]: expected a name behind 'group:'"]),
        ("access: [{allow: 'claim:a', to: fs}]", ["1: access[0].allow[0]: expected 'claim:NAME=VALUE'"]),
        (
            "access: [{allow: '*', to: 'fs:'}]",
            ["1: access[0].to[0]: expected SERVER or SERVER:TOOL; either may hold the wildcards * and ?"],
        ),
        ("audit: {}", ["1: audit.file: this key is missing; expected a value for it"]),
        ("audit: {file: ''}", ["1: audit.file: expected a text that is not empty"]),
        ("audit: {file: x, argument: true}", ["1: audit.argument: unknown key; did you mean 'arguments'?"]),
    ],
)
def test_a_mistake_is_told_with_its_line(rules: str, problems: list[str], loaded: Callable[[str], Settings]) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(rules)
    assert [str(each).partition("config.yaml:")[2] for each in caught.value.problems] == problems


AUTH = "auth: {basic: {credentials: [{username: ann, password: p}]}, bearer: {tokens: [{name: chat, token: t}]}}\n"


@pytest.mark.parametrize("says", ["allow", "deny"])
def test_a_key_that_nobody_has_is_a_mistake(says: str, loaded: Callable[[str], Settings]) -> None:
    """Denied by a misspelt name, who was meant would be let in."""
    with pytest.raises(ConfigError) as caught:
        loaded(f"{AUTH}access: [{{{says}: ['basic:ann', 'basic:bob', 'bearer:caht', 'apikey:x'], to: fs}}]")
    assert [(each.key, each.text) for each in caught.value.problems] == [
        (f"access[0].{says}[1]", "nobody under 'auth' is called this; there is 'basic:ann'"),
        (f"access[0].{says}[2]", "nobody under 'auth' is called this; there is 'bearer:chat'"),
        (f"access[0].{says}[3]", "nobody under 'auth' is called this"),
    ]


def test_callers_whom_the_file_cannot_know_are_no_mistake(loaded: Callable[[str], Settings]) -> None:
    for caller in ("basic:a*", "user:nobody", "group:g", "https://a.example:x", "anonymous"):
        assert loaded(f"{AUTH}access: [{{allow: '{caller}', to: fs}}]").gateway.access
    nameless = "auth: {bearer: {tokens: [t]}}\naccess: [{allow: 'bearer:0123456789abcdef', to: fs}]"
    assert loaded(nameless).gateway.access


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("basic:ann", ("basic", "ann")),
        ("bearer:a:b", ("bearer", "a:b")),
        ("https://a.example:8443/x:ann", ("https://a.example:8443/x", "ann")),
        ("urn:x:y:ann", ("urn:x:y", "ann")),
        ("ann", ("", "ann")),
    ],
)
def test_an_issuers_colons_are_its_own(text: str, parts: tuple[str, str]) -> None:
    assert split_principal(text) == parts
