"""What is said of each way in which an entry of a librechat.yaml can be wrong, and nothing of a good one."""

import textwrap
from pathlib import Path

import pytest

from doctor.findings import Finding, Verdict
from doctor.librechat.context import GatewayFacts, ServerFacts
from doctor.librechat.document import Unusable, parse, read
from doctor.librechat.examine import examine

HEADERS = "{X-Gateway-User: '{{LIBRECHAT_USER_ID}}', Authorization: 'Bearer ${MCP_GATEWAY_TOKEN}'}"
URL = "http://host.docker.internal:3000/fs/mcp"
ALLOWED = "mcpSettings: {allowedAddresses: ['host.docker.internal:3000']}"
OTHER_PORT = ALLOWED.replace("3000", "3001")
BASE = {"type": "streamable-http", "url": URL, "requiresOAuth": "false", "headers": HEADERS}
GATEWAY = GatewayFacts(
    servers={"fs": ServerFacts(tools=("read_file", "write_file")), "git": ServerFacts()},
    user_header="X-Gateway-User",
    needs_credentials=True,
)
ASKING_OAUTH = GatewayFacts(servers={"fs": ServerFacts()}, challenges_bearer=True)


def entry(name: str | None = "fs", **keys: str | None) -> str:
    """A file with one good entry, but for these keys, which are YAML; None leaves one out."""
    settings = keys.pop("settings", ALLOWED)
    wanted = {key: value for key, value in {**BASE, **keys}.items() if value is not None}
    lines = "\n".join(f"    {key}: {value}" for key, value in wanted.items())
    return f"{settings or ''}\nmcpServers:\n  {name}:\n{lines}\n"


def found(text: str, gateway: GatewayFacts | None = None) -> list[Finding]:
    """What is found, without the notes."""
    return [each for each in examine(parse(text), gateway) if each.verdict is not Verdict.NOTE]


def checks(text: str, gateway: GatewayFacts | None = None) -> set[tuple[str, str]]:
    return {(each.check, each.verdict.value) for each in found(text, gateway)}


@pytest.mark.parametrize("gateway", [None, GATEWAY])
def test_of_a_good_file_nothing_is_said_but_what_the_breaker_does(gateway: GatewayFacts | None) -> None:
    assert found(entry(), gateway) == []
    [note] = examine(parse(entry()), gateway)
    assert "MCP_CB_MAX_CYCLES" in note.remedy


@pytest.mark.parametrize(
    "keys",
    [
        {"headers": None, "startup": "false"},
        {"headers": None, "customUserVars": "{KEY: {title: a, description: b}}"},
        {"headers": None, "requiresOAuth": "true"},
        {"headers": None, "obo": "{scopes: [a]}"},
        {"headers": "{A: '{{LIBRECHAT_OPENID_TOKEN}}'}"},
        {"headers": "{A: '{{LIBRECHAT_GRAPH_ACCESS_TOKEN}}'}"},
        {"headers": "{A: 'u={{LIBRECHAT_USER_EMAIL}};'}"},
        {"headers": "{A: '{{LIBRECHAT_BODY_CONVERSATIONID}}'}"},
        {"headers": None, "oauth_headers": "{A: '{{LIBRECHAT_USER_ID}}'}"},
        {"headers": None, "url": "'http://host.docker.internal:3000/fs/mcp?u={{LIBRECHAT_USER_ID}}'"},
    ],
)
def test_an_entry_that_is_each_users_own_is_not_one_session_for_all(keys: dict[str, str | None]) -> None:
    assert "one session for all" not in {check for check, _ in checks(entry(**keys))}


@pytest.mark.parametrize("headers", [None, "{}", "{Authorization: 'Bearer ${TOKEN}'}", "{X-Gateway-User: '${USER}'}"])
def test_a_plain_entry_is_one_session_for_all_users(headers: str | None) -> None:
    [finding] = found(entry(headers=headers))
    assert (finding.check, finding.verdict) == ("one session for all", Verdict.FAILED)
    assert "X-Gateway-User: '{{LIBRECHAT_USER_ID}}'" in finding.remedy


def test_a_misspelt_header_of_the_user_is_named() -> None:
    text = entry(headers="{Authorization: '${A}', X-Gatway-User: '{{LIBRECHAT_USER_ID}}'}")
    [finding] = found(text, GATEWAY)
    assert (finding.check, finding.verdict) == ("user header", Verdict.FAILED)
    assert "is X-Gatway-User a misspelling" in finding.seen


def test_request_headers_alone_are_for_newer_versions() -> None:
    text = entry(headers=None, requestHeaders="{X-Gateway-User: '{{LIBRECHAT_USER_ID}}'}")
    assert checks(text) == {("one session for all", "warning")}


def test_a_placeholder_of_the_conversation_makes_a_session_of_each_turn() -> None:
    notes = examine(parse(entry(headers="{X-Chat: '{{LIBRECHAT_BODY_CONVERSATIONID}}'}")))
    assert any("isolation" in each.remedy for each in notes)


def test_a_stdio_entry_is_one_process_for_all_users() -> None:
    text = "mcpServers: {fs: {command: npx, args: [x]}}"
    assert checks(text) == {("one session for all", "warning")}
    assert checks("mcpServers: {fs: {command: npx, args: [x], env: {U: '{{LIBRECHAT_USER_ID}}'}}}") == set()
    assert ("type", "failed") in checks("mcpServers: {fs: {command: npx}}")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"type": None}, ("type", "failed")),
        ({"type": None, "url": "http://host.docker.internal:3000/fs/sse"}, ("type", "warning")),
        ({"type": "sse"}, ("type", "failed")),
        ({"type": "streamable"}, ("type", "failed")),
        ({"url": None}, ("url", "failed")),
        ({"url": "'http://host.docker.internal:3000/fs/mcp '"}, ("url", "failed")),
        ({"url": "ws://host.docker.internal:3000/fs/ws"}, ("url", "failed")),
        ({"type": "websocket"}, ("url", "failed")),
        ({"requiresOAuth": None}, ("OAuth probe", "warning")),
        ({"timeout": "0"}, ("timeout", "failed")),
        ({"timeout": "30s"}, ("timeout", "failed")),
        ({"timeout": "-1"}, ("timeout", "failed")),
        ({"timeout": "1.5"}, ("timeout", "failed")),
        ({"initTimeout": "true"}, ("timeout", "failed")),
        ({"timeout": "60"}, ("timeout", "warning")),
        ({"sseReadTimeout": "10000"}, ("timeout", "warning")),
        ({"startUp": "true"}, ("keys", "warning")),
        ({"title": "'Files (all)'"}, ("title", "failed")),
        ({"headers": "{'X-Gateway-User:': '{{LIBRECHAT_USER_ID}}'}"}, ("keys", "failed")),
        ({"headers": "{A: '{{LIBRECHAT_USER_ID}}', Authorization: Bearer abcdef}"}, ("secrets", "warning")),
        ({"name": "my files"}, ("name", "warning")),
        ({"name": "my.files"}, ("name", "warning")),
        ({"name": "'***'"}, ("name", "warning")),
        ({"name": "a_mcp_b"}, ("name", "failed")),
        ({"name": "n" * 40}, ("tool names", "warning")),
    ],
)
def test_what_is_wrong_is_said_and_nothing_else(keys: dict[str, str | None], expected: tuple[str, str]) -> None:
    assert checks(entry(**keys)) == {expected}


def test_a_stream_of_sse_may_be_silent_for_a_while() -> None:
    url = "http://host.docker.internal:3000/fs/sse"
    assert checks(entry(type="sse", url=url, timeout="12000")) == {("timeout", "warning")}
    assert checks(entry(type="sse", url=url, timeout="60000")) == set()


@pytest.mark.parametrize("kind", ["http", "streamable-http"])
def test_both_names_of_streamable_http_are_good(kind: str) -> None:
    assert found(entry(type=kind)) == []


@pytest.mark.parametrize(
    "written",
    ["LIBRECHAT_USER_FOO", "LIBRECHAT_USERID", "librechat_user_id", " LIBRECHAT_USER_ID ", "USER_ID", "MY_KEY"],
)
def test_a_placeholder_that_librechat_does_not_know_is_sent_as_it_is(written: str) -> None:
    text = entry(headers=f"{{X-Gateway-User: '{{{{LIBRECHAT_USER_ID}}}}', X-Other: '{{{{{written}}}}}'}}")
    [finding] = found(text)
    assert (finding.check, finding.verdict) == ("placeholder", Verdict.FAILED)
    assert "did you mean {{" in finding.remedy


def test_a_variable_of_the_users_own_is_known() -> None:
    keys = {"headers": "{A: '{{MY_KEY}}'}", "customUserVars": "{MY_KEY: {title: a, description: b}}"}
    assert found(entry(**keys)) == []
    [finding] = found(entry(**{**keys, "headers": "{A: '{{MYKEY}}'}"}))
    assert "{{MY_KEY}}" in finding.remedy


def test_a_placeholder_that_is_never_closed_is_told() -> None:
    text = entry(headers="{A: '{{LIBRECHAT_USER_ID}}', B: '{{LIBRECHAT_USER_ID}'}")
    assert checks(text) == {("placeholder", "failed")}


# Where the gateway is known, too.


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"headers": "{Authorization: '${A}', X-Other: '{{LIBRECHAT_USER_ID}}'}"}, ("user header", "failed")),
        (
            {"headers": "{Authorization: '${A}', X-Gateway-User: '${ME}', X-Other: '{{LIBRECHAT_USER_ID}}'}"},
            ("user header", "failed"),
        ),
        (
            {"headers": "{Authorization: '${A}', x-gateway-user: '{{LIBRECHAT_USER_LDAPID}}'}"},
            ("user header", "warning"),
        ),
        (
            {
                "headers": "{Authorization: '${A}', X-Other: '{{LIBRECHAT_USER_ID}}'}",
                "requestHeaders": "{X-Gateway-User: '{{LIBRECHAT_USER_ID}}'}",
            },
            ("user header", "warning"),
        ),
        ({"headers": "{X-Gateway-User: '{{LIBRECHAT_USER_ID}}'}"}, ("credentials", "failed")),
        ({"url": "http://host.docker.internal:3000/nosuch/mcp"}, ("url", "failed")),
        ({"url": "http://host.docker.internal:3000/mcp/fs"}, None),
        ({"url": "http://host.docker.internal:3001/fs/mcp", "settings": OTHER_PORT}, ("url", "warning")),
        ({"url": "https://mcp.example/fs/mcp"}, None),
        ({"timeout": "400000"}, ("timeout", "warning")),
        ({"initTimeout": "20000"}, ("timeout", "warning")),
        ({"url": "http://host.docker.internal:3000/fs/sse"}, ("type", "failed")),
        ({"url": "http://host.docker.internal:3000/fs"}, None),
    ],
)
def test_an_entry_is_held_against_the_gateway(keys: dict[str, str | None], expected: tuple[str, str] | None) -> None:
    assert checks(entry(**keys), GATEWAY) == ({expected} if expected else set())


def test_behind_a_proxy_a_server_is_known_by_its_path() -> None:
    url = "https://tools.example.org/gw/fs/mcp"
    text = entry(url=url, headers="{X-Other: '{{LIBRECHAT_USER_ID}}'}")
    assert checks(text, GATEWAY) == {("user header", "failed"), ("credentials", "failed")}
    assert checks(entry(url="https://tools.example.org/other/mcp"), GATEWAY) == set()


def test_a_gateway_that_sends_clients_to_a_login_fails_the_probe() -> None:
    assert checks(entry(requiresOAuth=None), ASKING_OAUTH) >= {("OAuth probe", "failed")}


def test_a_gateway_that_does_not_look_at_the_header_is_told_of() -> None:
    assert checks(entry(), GatewayFacts(servers={"fs": ServerFacts()})) == {("user header", "warning")}


def test_a_slow_start_outlasts_librechat() -> None:
    slow = GatewayFacts(servers={"fs": ServerFacts(start_timeout=60)}, user_header="X-Gateway-User")
    [finding] = found(entry(initTimeout="90000"), slow)
    assert "start_timeout" in finding.remedy


def test_each_users_own_credentials_must_be_sent() -> None:
    gateway = GatewayFacts(servers={"fs": ServerFacts(headers=("X-GitHub-Token",))}, user_header="X-Gateway-User")
    assert checks(entry(), gateway) == {("credentials", "failed")}
    one = "{X-Gateway-User: '{{LIBRECHAT_USER_ID}}', X-GitHub-Token: '${TOKEN}'}"
    assert checks(entry(headers=one), gateway) == {("credentials", "warning")}
    own = "{X-Gateway-User: '{{LIBRECHAT_USER_ID}}', X-GitHub-Token: '{{PAT}}'}"
    assert checks(entry(headers=own, customUserVars="{PAT: {title: a, description: b}}"), gateway) == set()


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("t" * 57, set()),
        ("t" * 58, {("tool names", "failed")}),
        ("a tool", {("tool names", "failed")}),
        ("oauth", {("tool names", "failed")}),
        ("mcp_read", {("tool names", "failed")}),
        ("lc_transfer_to_me", {("tool names", "failed")}),
        ("read_mcp_file", {("tool names", "failed")}),
    ],
)
def test_names_of_tools_are_as_models_take_them(tool: str, expected: set[tuple[str, str]]) -> None:
    gateway = GatewayFacts(servers={"fs": ServerFacts(tools=("good", tool))}, user_header="X-Gateway-User")
    assert checks(entry(), gateway) == expected


def test_names_that_are_too_long_are_told_with_by_how_much() -> None:
    gateway = GatewayFacts(servers={"fs": ServerFacts(tools=("t" * 50,))}, user_header="X-Gateway-User")
    assert found(entry(name="n" * 9), gateway) == []
    [finding] = found(entry(name="n" * 20), gateway)
    assert finding.remedy == "a name that is 11 shorter"


def test_names_that_are_one_to_librechat_are_told() -> None:
    text = entry() + entry(name="f s").partition("mcpServers:\n")[2] + entry(name="f_s").partition("mcpServers:\n")[2]
    assert {(each.server, each.check, each.verdict) for each in found(text)} == {
        ("f s", "name", Verdict.WARNING),
        ("f_s", "name", Verdict.FAILED),
    }


# Where LibreChat may go.


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("http://localhost:3000/x/mcp", None, "failed"),
        ("http://127.0.0.1:3000/x/mcp", None, "failed"),
        ("http://10.1.2.3:3000/x/mcp", None, "failed"),
        ("http://192.168.1.2/x/mcp", None, "failed"),
        ("http://[::1]:3000/x/mcp", None, "failed"),
        ("http://[::1]:3000/x/mcp", "{allowedAddresses: ['[::1]:3000']}", None),
        ("http://host.docker.internal:3000/x/mcp", None, "failed"),
        ("http://host.docker.internal:3000/x/mcp", "{allowedAddresses: [host.docker.internal]}", "failed"),
        ("http://host.docker.internal:3000/x/mcp", "{allowedAddresses: ['host.docker.internal:3001']}", "failed"),
        ("http://HOST.docker.internal:3000/x/mcp", "{allowedAddresses: ['host.docker.internal:3000']}", None),
        ("http://gw.local/x/mcp", "{allowedAddresses: ['gw.local:80']}", None),
        ("https://gw.local/x/mcp", "{allowedAddresses: ['gw.local:443']}", None),
        ("http://backend:3000/x/mcp", None, "failed"),
        ("http://gateway:3000/x/mcp", None, "warning"),
        ("http://gateway:3000/x/mcp", "{allowedAddresses: ['gateway:3000']}", None),
        ("https://mcp.example.org/x/mcp", None, None),
        ("http://1.1.1.1/x/mcp", None, None),
        ("https://mcp.example.org/x/mcp", "{allowedDomains: [other.org]}", "failed"),
        ("https://mcp.example.org/x/mcp", "{allowedDomains: ['*.example.org']}", None),
        ("https://mcp.example.org/x/mcp", "{allowedDomains: ['https://mcp.example.org']}", None),
        ("https://mcp.example.org/x/mcp", "{allowedDomains: ['http://mcp.example.org']}", "failed"),
        ("https://mcp.example.org/x/mcp", "{allowedDomains: ['mcp.example.org:8443']}", "failed"),
        ("http://gw:3000/x/mcp", "{allowedDomains: ['mcp.example.org'], allowedAddresses: ['gw:3000']}", "failed"),
        ("http://${HOST}:3000/x/mcp", None, "cannot tell"),
        ("http://gw.example.org:${PORT}/x/mcp", None, "cannot tell"),
    ],
)
def test_a_private_address_must_be_allowed(url: str, settings: str | None, expected: str | None) -> None:
    text = entry(url=f"'{url}'", settings=f"mcpSettings: {settings}" if settings else None)
    assert checks(text) == ({("address", expected)} if expected else set())


# The file itself.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mcpServers: [", "line 1: bad YAML"),
        ("a: 1\nmcpServers:\n  fs: {url: 1\n", "bad YAML"),
        ("mcpServers:\n  fs: {url: a, url: b}", "line 2: the same key"),
        ("mcpServers: [a]", "line 1: 'mcpServers' is no map"),
        ("just a text", "no map"),
        ("", "no map"),
        ("a: *nothing", "bad YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_clear_error(text: str, expected: str) -> None:
    with pytest.raises(Unusable, match=expected):
        parse(text)


def test_an_error_in_the_file_quotes_nothing_of_it() -> None:
    with pytest.raises(Unusable) as error:
        parse("mcpServers:\n  fs: {headers: {A: 'Bearer s3cr3t}}\n")
    assert "s3cr3t" not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot be read: No such file"):
        read(tmp_path / "librechat.yaml")
    (tmp_path / "librechat.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Unusable, match="UTF-8"):
        read(tmp_path / "librechat.yaml")


@pytest.mark.parametrize("text", ["version: 1", "mcpServers:", "mcpServers: {}"])
def test_a_file_without_servers_is_told(text: str) -> None:
    assert checks(text) == {("entry", "warning")}


def test_an_entry_that_is_no_map_does_not_hide_the_others() -> None:
    assert checks("mcpServers: {a: , b: text}") == {("entry", "failed")}
    assert len(found("mcpServers: {a: , b: text}")) == 2


def test_each_finding_names_its_line_and_merged_keys_count() -> None:
    text = textwrap.dedent(f"""\
        x-common: &common
          type: streamable-http
          requiresOAuth: false
          headers: {HEADERS}
        {ALLOWED}
        mcpServers:
          fs:
            <<: *common
            url: {URL}
          git:
            <<: *common
            url: {URL}
            timeout: 0
        """)
    [finding] = found(text)
    assert (finding.server, finding.seen.partition(":")[0]) == ("git", "line 13")


def test_no_secret_of_the_file_is_in_a_finding() -> None:
    secret = "s3cr3t-of-mine"
    text = entry(
        headers=f"{{Authorization: 'Bearer {secret}', A: '{{{{FOO}}}} {secret}', B: '{secret}{{{{'}}",
        url=f"'http://me:{secret}@localhost:3000/nosuch/mcp?key={secret}'",
        timeout=f"'{secret}'",
        title=f"'({secret})'",
        settings=None,
    )
    findings = found(text, GATEWAY)
    assert len(findings) > 6
    assert secret not in repr(findings)
