"""Servers as other programs write them."""

from typing import Any

import pytest

from common.hashes import sha256_of
from terminal.foreign import AlreadyOurs, How, Taken, Untakable, allowed_name, take

TOKEN = "ghp_0123456789abcdefghij0123"


def taken(document: object, **how: bool) -> Taken:
    return take(document, How(**how))


def entry(**keys: Any) -> dict[str, Any]:
    """What is made of one server."""
    return taken({"mcpServers": {"one": {"command": "run", **keys}}}).servers["one"]


@pytest.mark.parametrize(
    "document",
    [
        {"mcpServers": {"a": {"command": "x"}}},  # Claude Desktop, Cursor, mcpo, mcp-proxy
        {"mcpServers": {"a": {"command": "x", "type": "stdio"}}},  # mcphub, MetaMCP
        {"inputs": [], "servers": {"a": {"command": "x"}}},  # VS Code
        {"servers": {"a": {"type": "stdio", "command": "x"}}},
        {"mcp": {"servers": {"a": {"type": "stdio", "command": "x"}}}},  # its settings.json
        {"a": {"type": "stdio", "command": "x"}},  # trtyr's
        {"a": {"workspace": "", "command": "x"}},  # lucky-aeon's mcp_servers.json
        {"servers": [{"id": "a", "name": "a", "command": "x", "transport": "stdio"}]},  # HarrisonCN's
    ],
)
def test_each_kind_of_file_is_known(document: object) -> None:
    assert taken(document).servers["a"]["command"] == "x"


def test_a_file_of_ours_needs_no_taking_over() -> None:
    with pytest.raises(AlreadyOurs):
        taken({"hostname": "0.0.0.0", "servers": {"a": {"command": "x", "args": ["y"], "path": "/"}}})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected a map"),
        ({}, "expected servers in it"),
        ({"port": 1}, "expected servers in it"),
        ({"WorkspacePath": "./vm", "Bind": "x"}, "give mcp_servers.json of its 'WorkspacePath'"),
        (
            {"mcpServers": {"a": {"url": "https://x"}}},
            "none of its servers can be taken over\na: it is elsewhere at https://x",
        ),
        ({"servers": [{"id": "a", "command": "x", "cwd": "/"}]}, "servers[0].cwd: this key of a server"),
        ({"servers": [{"id": "a", "command": "x"}], "policy": {"a": 1}}, "policy: it says which calls"),
    ],
)
def test_what_cannot_be_taken_over_says_why(document: object, said: str) -> None:
    with pytest.raises(Untakable) as caught:
        taken(document)
    assert said in str(caught.value)


def test_what_is_elsewhere_is_left_out_without_its_secrets() -> None:
    servers = {"far": {"url": "https://bob:pass-word-1@far.example/x?key=123456"}, "near": {"command": "x"}, "odd": 5}
    result = taken({"mcpServers": servers})
    assert list(result.servers) == ["near"]
    assert [each.partition(":")[0] for each in result.left_out] == ["far", "odd"]
    assert "pass-word-1" not in str(result.left_out)
    assert "123456" not in str(result.left_out)


def test_secrets_become_variables_and_are_in_no_repr() -> None:
    servers = {
        "one": {"command": "x", "env": {"TOKEN": TOKEN, "LEVEL": "debug"}},
        "two": {"command": "x", "env": {"TOKEN": TOKEN}},
        "three": {
            "command": "x",
            "env": {"TOKEN": "another-secret"},
            "args": ["--api-key", "sk-0123456789abcdef", "x"],
        },
        "four": {"command": "x", "args": ["postgres://bob:hunter2hunter@db/x", f"--token={TOKEN}"]},
    }
    result = taken({"mcpServers": servers})
    assert result.servers["one"]["env"] == {"TOKEN": "${TOKEN}", "LEVEL": "debug"}
    assert result.servers["three"]["env"] == {"TOKEN": "${THREE_TOKEN}"}
    assert result.servers["three"]["args"] == ["--api-key", "${API_KEY}", "x"]
    assert result.servers["four"]["args"] == ["${SECRET}", "--token=${TOKEN}"]
    assert result.variables["TOKEN"] == "one, two, four"
    assert TOKEN not in f"{result!r} {result.servers}"


def test_secrets_are_copied_for_who_says_so() -> None:
    result = taken({"mcpServers": {"a": {"command": "x", "env": {"TOKEN": TOKEN}}}}, keep_secrets=True)
    assert result.servers["a"]["env"] == {"TOKEN": TOKEN}


def test_what_vs_code_asks_for_is_a_variable_or_each_users_own() -> None:
    env = {"GITHUB_TOKEN": "${input:gh-token}", "URL": "https://${input:host}/", "USER": "${env:USER}"}
    document = {"servers": {"a": {"command": "x", "env": env, "args": ["${userHome}/a", "${input:host}"]}}}
    for_one, for_many = taken(document), taken(document, each_users_own=True)
    assert for_one.servers["a"]["env"] == {"GITHUB_TOKEN": "${GH_TOKEN}", "URL": "https://${HOST}/", "USER": "${USER}"}
    assert for_one.servers["a"]["args"] == ["${HOME}/a", "${HOST}"]
    assert set(for_one.variables) == {"GH_TOKEN", "HOST", "USER", "HOME"}
    assert for_many.servers["a"]["env"]["GITHUB_TOKEN"] == "${header:X-Gh-Token}"
    assert for_many.servers["a"]["headers"] == ["X-Gh-Token"]


def test_what_librechat_fills_in_is_each_users_own() -> None:
    env = {"TOKEN": "{{GITHUB_TOKEN}}", "WHO": "{{LIBRECHAT_USER_ID}}", "URL": "https://{{HOST}}/"}
    document = {"mcpServers": {"a": {"type": "stdio", "command": "x", "env": env}}}
    assert taken(document, each_users_own=True).servers["a"] == {
        "command": "x",
        "env": {"TOKEN": "${header:X-Github-Token}", "WHO": "${user.id}", "URL": "https://${HOST}/"},
        "headers": ["X-Github-Token"],
    }
    assert taken(document).servers["a"]["env"]["TOKEN"] == "${GITHUB_TOKEN}"


def test_a_variable_that_says_what_is_loaded_is_no_users_own() -> None:
    document = {"inputs": [], "servers": {"a": {"command": "x", "env": {"NODE_OPTIONS": "${input:o}"}}}}
    assert taken(document, each_users_own=True).servers["a"]["env"] == {"NODE_OPTIONS": "${O}"}


def test_other_placeholders_are_the_text_that_they_are() -> None:
    env = {"A": "${A:-b}", "B": "${config:x.y}", "C": "a${/}b", "D": None, "E": 5, "F": True}
    assert entry(env=env)["env"] == {"A": "${A}", "B": "$${config:x.y}", "C": "a/b", "E": "5", "F": "true"}


def test_entries_are_brought_into_our_form() -> None:
    assert entry(cwd="/srv", disabled=True) == {"command": "run", "path": "/srv", "enabled": False}
    assert entry(command="npx -y thing") == {"command": "npx", "args": ["-y", "thing"]}
    assert entry(command="cmd", args=["/c", "npx", "x"]) == {"command": "npx", "args": ["x"]}
    assert entry(tags=["a"], name="One") == {"name": "One", "tags": ["a"], "command": "run"}
    result = taken({"mcpServers": {"a": {"command": "x", "alwaysAllow": [], "timeout": 5}}})
    assert result.remarks == {"a": ["not taken over: alwaysAllow, timeout"]}


def test_tools_that_were_switched_off_stay_so() -> None:
    tools = {"one": {"enabled": False}, "two": {"enabled": True}}
    result = taken({"mcpServers": {"a": {"command": "x", "disabledTools": ["r*"], "tools": tools}}})
    assert result.denied == ["a:r[*]", "a:one"]


def test_names_are_made_allowed_and_told_of() -> None:
    result = taken(
        {"mcpServers": {"My Server": {"command": "x"}, "my/server": {"command": "x"}, "api": {"command": "x"}}}
    )
    assert list(result.servers) == ["My-Server", "my-server", "api-server"]
    assert result.servers["My-Server"]["name"] == "My Server"
    assert "My Server" in result.remarks["My-Server"][0]
    assert allowed_name("a" * 40, {"a" * 32: 1}) == "a" * 28 + "-2"
    assert allowed_name("äöü", {}) == "server"


def test_harrisons_file_is_taken_over_with_who_may_come_in() -> None:
    document = {
        "port": 4001,
        "auth": {"strategy": "api-key", "apiKeys": ["a-key-in-plain-text", {"name": "b", "key": "${KEY}"}]},
        "servers": [
            {"id": "a", "name": "A", "command": "x", "timeout": 5000, "maxConcurrency": 2, "env": {"TOKEN": TOKEN}},
            {"id": "far", "name": "F", "transport": "sse", "url": "https://x"},
        ],
    }
    result = taken(document)
    assert result.servers["a"] == {
        "name": "A",
        "command": "x",
        "env": {"TOKEN": "${TOKEN}"},
        "request_timeout": 5,
        "max_concurrency": 2,
    }
    keys = result.settings["auth"]["api_keys"]["keys"]
    assert [key.get("hash", key.get("key")) for key in keys] == [sha256_of("a-key-in-plain-text"), "${KEY}"]
    assert result.settings["port"] == 4001
    assert result.left_out == ["far: it is elsewhere"]
    assert result.variables == {"TOKEN": "a", "KEY": "auth"}
