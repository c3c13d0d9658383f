"""A list under `servers`: HarrisonCN's configuration, and what each key of it means here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.dialects.listed import translate
from common.config.load import Settings, load
from common.config.source import ConfigError
from common.hashes import sha256_of

SERVERS = """
servers:
  - id: fs
    name: Files
    command: run
"""
OWN = """
port: 4000
servers:
  fs: {name: Files, command: run}
"""
SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
HASH = sha256_of(SECRET)
OTHER = sha256_of("another")

Loader = Callable[..., Settings]
Complainer = Callable[..., list[str]]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """What a file with this text says."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, environ: Mapping[str, str] | None = None, name: str = "config.yaml") -> Settings:
        Path(name).write_text(dedent(text), encoding="utf-8")
        return load(Path(name), environ or {})

    return read


@pytest.fixture
def problems(loaded: Loader) -> Complainer:
    """The lines that are said of a file that cannot be used."""

    def complain(text: str, environ: Mapping[str, str] | None = None, name: str = "config.yaml") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text, environ, name)
        return [str(problem) for problem in caught.value.problems]

    return complain


def same(one: Settings, other: Settings) -> bool:
    return (one.gateway, one.supervisor) == (other.gateway, other.supervisor)


# What is translated means what it would mean in our own keys.


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ""),
        ("port: 4010\nhost: 0.0.0.0", "port: 4010\nhostname: 0.0.0.0"),
        ("logLevel: warn", "debug: {level: warn}"),
        ("version: 9", ""),
        ("corsOrigins: [https://a.example]", "cors: {origins: [https://a.example]}"),
        ("cors: {origins: [https://a.example]}", "cors: {origins: [https://a.example]}"),
        ("mcp: {allowedOrigins: [https://a.example]}", "cors: {origins: [https://a.example]}"),
        ("corsOrigins: []", ""),
        ("healthCheckIntervalMs: 60000", "health_interval: 60"),
        ("health: {intervalMs: 60000}", "health_interval: 60"),
        ("healthCheckIntervalMs: 1000", "health_interval: 10"),
        ("mcp: {maxSessions: 7, sessionIdleTimeoutSeconds: 60}", "max_sessions: 7\nidle_timeout: 60s"),
        (
            "security: {allowedHosts: [a.example], maxBodyBytes: 2048}",
            "allowed_hosts: [a.example]\nmax_message_bytes: 2048",
        ),
        ("security: {dnsRebindingProtection: true, authLockout: false, maxToolArgumentsBytes: 0}", ""),
        ("auth: {strategy: none}", ""),
        (
            f"auth: {{strategy: api-key, apiKeys: [{{name: a, key: {SECRET}}}, {{name: b, key: '{OTHER}'}}]}}",
            f"auth: {{api_keys: {{keys: [{{name: a, key: {SECRET}}}, {{name: b, hash: '{OTHER}'}}]}}}}",
        ),
        (
            f"auth: {{strategy: api-key, apiKeys: [{SECRET}, {{key: x, disabled: true, tools: [y]}}], "
            "protect: {health: true}}",
            f"auth: {{api_keys: {{keys: [{{name: key-{HASH[7:19]}, key: {SECRET}}}]}}}}",
        ),
        (
            f"auth: {{strategy: jwt, jwtSecret: {SECRET}, jwt: {{issuer: i, audience: [a], algorithms: [HS256], "
            "clockToleranceSeconds: 5, requireExp: true}}",
            f"auth: {{jwt: [{{issuer: i, audience: [a], algorithms: [HS256], leeway: 5, secret: {SECRET}}}]}}",
        ),
        (
            "auth: {strategy: jwt, jwt: {issuer: [i, j], audience: a, jwksUrl: https://i/jwks}}",
            "auth: {jwt: [{issuer: i, audience: a, jwks_url: https://i/jwks}, "
            "{issuer: j, audience: a, jwks_url: https://i/jwks}]}",
        ),
        (
            "auth: {strategy: oauth2, oauth: {authorizationServers: [https://i], resource: https://g/mcp, "
            "jwksUrl: https://i/jwks, requiredScopes: [s], scopesSupported: [s, t]}}",
            "auth: {oauth: {resource: https://g/mcp, authorization_servers: [https://i], scopes_supported: [s, t]}, "
            "jwt: [{issuer: https://i, audience: https://g/mcp, jwks_url: https://i/jwks, required_scopes: [s]}]}",
        ),
        ("rateLimit: {}", "rate_limits: [{per: key, limit: 100/60 seconds}]"),
        ("rateLimit: {limit: 5, windowSeconds: 10, perKey: false}", "rate_limits: [{per: key, limit: 5/10 seconds}]"),
        (
            "rateLimit: {limit: 5}\nstate: {store: redis, redis: {url: redis://r}, failureMode: closed}",
            "rate_limits: [{per: key, limit: 5/60 seconds}]\nrate_limit_storage: redis://r\nrate_limit_on_error: deny",
        ),
        ("state: {store: memory}", ""),
        ("audit: {enabled: false, path: x.db}", ""),
        ("policy: {}\ntenants: []", ""),
    ],
)
def test_a_key_means_what_it_means_in_our_own_form(loaded: Loader, theirs: str, ours: str) -> None:
    own = OWN.replace("port: 4000", "") if "port:" in ours else OWN
    assert same(loaded(theirs + SERVERS), loaded(ours + own))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("timeout: 1500", "request_timeout: 1.5"),
        ("timeoutMs: 15000", "request_timeout: 15s"),
        ("maxConcurrency: 5", "max_concurrency: 5"),
        ("tags: [a, b]", "tags: [a, b]"),
        ("enabled: true", ""),
        ("transport: stdio", ""),
        ("args: [-y, 8080, '${A} x']", "args: [-y, 8080, '${A} x']"),
        ("env: {K: '${A}'}", "env: {K: '${A}'}"),
        ("tools: {}", ""),
    ],
)
def test_a_key_of_a_server_means_what_it_means_in_our_own_form(loaded: Loader, theirs: str, ours: str) -> None:
    environ = {"A": "value"}
    one = loaded(f"{SERVERS}    {theirs}\n", environ)
    assert same(one, loaded(f"port: 4000\nservers:\n  fs:\n    name: Files\n    command: run\n    {ours}\n", environ))


def test_a_server_may_be_switched_off(loaded: Loader) -> None:
    more = "  - {id: more, name: More, command: run}\n"
    theirs = loaded(f"{SERVERS}    enabled: false\n{more}")
    ours = loaded(OWN.replace("run}", "run, enabled: false}") + "  more: {name: More, command: run}\n")
    assert same(theirs, ours)


def test_scopes_and_filters_become_rules(loaded: Loader) -> None:
    text = """
    auth:
      strategy: api-key
      apiKeys:
        - {name: all, key: one-key}
        - {name: some, key: another-key, servers: ["f*"], tools: ["read_*", "fs/write", "git/push"]}
        - {name: new, key: third-key, scope: {servers: [git], rateLimit: {limit: 3, windowSeconds: 2}}}
    rateLimit: {limit: 9}
    servers:
      - {id: fs, name: F, command: run, tools: {deny: ["*_secret"]}}
      - {id: git, name: G, command: run, tools: {allow: [log, "show[1]"]}}
    """
    settings = loaded(text).gateway
    assert settings.access is not None
    assert [rule.model_dump(exclude_none=True) for rule in settings.access] == [
        {"allow": ("apikey:all",), "to": ("fs", "git:log", "git:show[[]1]")},
        {"allow": ("apikey:some",), "to": ("fs:read_*", "fs:write")},
        {"allow": ("apikey:new",), "to": ("git:log", "git:show[[]1]")},
        {"deny": ("*",), "to": ("fs:*_secret",)},
    ]
    assert [(rule.key, rule.limit) for rule in settings.amounts.rate_limits] == [
        ("all", "9/60 seconds"),
        ("some", "9/60 seconds"),
        ("new", "3/2 seconds"),
    ]


def test_json_indented_with_tabs_is_read_too(loaded: Loader) -> None:
    text = '{\n\t"port": 5000,\n\t"servers": [{"id": "fs", "name": "F", "command": "run"}]\n}'
    assert loaded(text, name="config.json").gateway.port == 5000


def test_what_falls_away_is_told_with_its_line(loaded: Loader) -> None:
    notes = loaded("dashboard: {enabled: true}\n" + SERVERS + "    description: x\n").notes
    assert [str(note) for note in notes] == [
        "config.yaml:1: dashboard: falls away: there is no dashboard here",
        "config.yaml:7: servers[0].description: falls away: it means nothing for a server that is started here",
    ]


def test_a_server_that_is_elsewhere_and_switched_off_falls_away(loaded: Loader) -> None:
    settings = loaded(SERVERS + "  - {id: far, name: Far, transport: sse, url: http://far, enabled: false}\n")
    assert list(settings.gateway.servers) == ["fs"]
    assert [note.key for note in settings.notes] == ["servers[1].transport"]


def test_a_command_is_shown_as_it_was_written(loaded: Loader) -> None:
    spec = loaded(SERVERS + "    args: ['${A}']\n", {"A": "x"}).supervisor.servers["fs"]
    assert (spec.as_written, spec.args) == ("run ${A}", ("x",))


# What that project takes from the environment.


def test_keys_from_the_environment_replace_those_of_the_file(loaded: Loader) -> None:
    text = "auth: {strategy: api-key, apiKeys: [overridden]}\nlogLevel: info\n" + SERVERS
    environ = {"MCP_GATEWAY_API_KEYS": f" {SECRET} , {sha256_of('b')}", "MCP_GATEWAY_LOG_LEVEL": "error"}
    settings = loaded(text, environ).gateway
    assert [key.hashed for key in settings.auth.keys] == [HASH, sha256_of("b")]
    assert settings.debug.level == "error"


@pytest.mark.parametrize("text", [SERVERS, OWN])
def test_port_and_host_of_the_environment_win_over_any_file(loaded: Loader, text: str) -> None:
    environ = {"MCP_GATEWAY_PORT": "4321", "MCP_GATEWAY_HOST": "::1"}
    settings = loaded(text, environ).gateway
    assert (settings.port, settings.hostname) == (4321, "::1")


def test_a_port_that_kubernetes_gives_is_nothing_to_us(loaded: Loader) -> None:
    assert loaded(SERVERS, {"MCP_GATEWAY_PORT": "tcp://10.0.0.1:80", "MCP_GATEWAY_HOST": ""}).gateway.port == 4000


@pytest.mark.parametrize("port", ["many", "65536", "-1", "4000 ", "٣"])
def test_a_port_of_the_environment_that_is_none_is_named(problems: Complainer, port: str) -> None:
    assert problems(OWN, {"MCP_GATEWAY_PORT": port}) == [
        "config.yaml: MCP_GATEWAY_PORT: this environment variable wins over the file; "
        "expected a whole number from 0 to 65535"
    ]


def test_keys_of_the_environment_open_no_file_of_our_own(loaded: Loader) -> None:
    assert not loaded(OWN, {"MCP_GATEWAY_API_KEYS": SECRET}).gateway.auth.is_on


# What cannot be kept is named by the author's own key, and its line.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auth: {strategy: apikey}", "auth.strategy: expected one of none, api-key, jwt, oauth2"),
        ("auth: {strategy: basic}", "auth.strategy: expected one of none, api-key, jwt, oauth2"),
        ("auth: {apiKeys: [k]}", "auth.apiKeys: nobody is asked for it with 'strategy: none'"),
        ("auth: {strategy: api-key, jwtSecret: x, apiKeys: [k]}", "auth.jwtSecret: nobody is asked for it"),
        ("auth: {strategy: api-key}", "auth.apiKeys: expected one key at least that is not disabled"),
        ("auth: {strategy: api-key, apiKeys: [{key: k, disabled: true}]}", "auth.apiKeys: expected one key at least"),
        (
            "auth: {strategy: api-key, apiKeys: [{key: k, expiresAt: 2027-01-01}]}",
            "auth.apiKeys[0].expiresAt: a key that",
        ),
        ("auth: {strategy: api-key, apiKeys: [{key: k, tenant: t}]}", "auth.apiKeys[0].tenant: unknown key"),
        ("auth: {strategy: api-key, apiKeys: [{key: k, servers: []}]}", "auth.apiKeys[0]: this key may use nothing"),
        ("auth: {strategy: api-key, apiKeys: ['sha256:12']}", "auth.apiKeys[0].hash: expected a hash"),
        (
            "auth: {strategy: api-key, apiKeys: [{key: k, name: 'a b'}]}",
            "auth.apiKeys[0].name: expected 1 to 64 letters",
        ),
        ("auth: {strategy: jwt, jwtSecret: s, jwt: {audience: a}}", "auth.jwt.issuer: expected whose tokens are good"),
        ("auth: {strategy: jwt, jwtSecret: s, jwt: {issuer: i, audience: a}}", "auth.jwtSecret: too short to be safe"),
        ("auth: {strategy: jwt, jwt: {issuer: i, audience: a, publicKey: p}}", "auth.jwt.publicKey: a key in PEM"),
        ("auth: {strategy: oauth2, oauth: {resource: https://g}}", "auth.oauth.jwksUrl: expected the URL"),
        ("auth: {strategy: oauth2, oauth: {introspection: {url: x}}}", "auth.oauth.introspection: tokens are checked"),
        ("auth: {rbac: {}}", "auth.rbac: there is no such key in 'auth'"),
        ("corsOrigins: ['*']", "corsOrigins[0]: it allows any page"),
        ("corsOrigins: ['/x/']", "corsOrigins[0]: an expression may allow any page"),
        ("corsOrigins: [x]", "corsOrigins[0]: expected an origin"),
        ("corsOrigins: [http://a]\ncors: {origins: [http://b]}", "cors.origins: there is one list of origins here"),
        ("rateLimit: {limit: many}", "rateLimit.limit: expected a whole number of requests"),
        ("rateLimit: {windowSeconds: 0.5}", "rateLimit.windowSeconds: expected a whole number of seconds"),
        ("rateLimit: {perkey: true}", "rateLimit.perkey: unknown key; did you mean 'perKey'?"),
        (
            "auth: {strategy: api-key, apiKeys: [a, b]}\nrateLimit: {perKey: false}",
            "rateLimit.perKey: one count for all keys together",
        ),
        ("security: {ipAllowlist: [10.0.0.0/8]}", "security.ipAllowlist: nothing here looks at addresses"),
        ("security: {allowedHosts: ['*.a']}", "security.allowedHosts[0]: expected the whole name"),
        ("security: {authLockout: true}", "security.authLockout: nobody is locked out"),
        ("security: {redactPatterns: [x]}", "security.redactPatterns: the log would show"),
        ("mcp: {enabled: false}", "mcp.enabled: the doors for MCP"),
        ("audit: {enabled: true}", "audit.enabled: its record is a database"),
        ("policy: {default: deny}", "policy: it says which calls"),
        ("tenants: [{id: a}]", "tenants: it says who"),
        ("dlp: {}", "dlp: this key has no counterpart here"),
        ("prot: 1", "prot: this key has no counterpart here"),
        ("port: 70000", "port: expected a value less than or equal to 65535"),
        ("host: 5", "host: expected a text"),
        ("logLevel: loud", "logLevel: expected one of debug, info, warn, error"),
        ("auth: 5", "auth: expected a map"),
        ("health: [1]", "health: expected a map"),
        ("state: {store: disk}", "state.store: expected memory or redis"),
    ],
)
def test_what_cannot_be_kept_is_named_as_its_author_wrote_it(problems: Complainer, text: str, said: str) -> None:
    found = problems(f"version: 2\n{text}{SERVERS}")
    key = said.partition(":")[0]
    line = 3 if key == "cors.origins" or (key.startswith("rateLimit.perKey") and "auth" in text) else 2
    assert [each for each in found if each.startswith(f"config.yaml:{line}: {said}")], found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timeout: soon", "servers[0].timeout: expected a number of milliseconds"),
        ("timeout: 5\n    timeoutMs: 5", "servers[0].timeoutMs: another word for 'timeout'"),
        ("timeout: -5", "servers[0].timeout: expected a number of milliseconds"),
        ("maxConcurrency: 0", "servers[0].maxConcurrency: expected a value greater"),
        ("args: x", "servers[0].args: expected a list"),
        ("env: {A: true}", "servers[0].env.A: expected a text"),
        ("cwd: /", "servers[0].cwd: this key of a server has no counterpart"),
        ("limits: {}", "servers[0].limits: this key of a server has no counterpart"),
        ("transport: sse", "servers[0].transport: this gateway starts a process"),
        ("enabled: 'no'", "servers[0].enabled: expected true or false"),
        ("tools: {allow: []}", "servers[0].tools.allow: expected one tool"),
        ("replicas: [{}]", "servers[0].replicas: each session"),
        ("args: ['${MISSING}']", "servers[0].args[0]: the environment has no variable MISSING"),
        ("args: ['${header:X-A}']", "servers[0].args[0]: a header's value may stand in 'env' alone"),
        ("env: {A: '${header:X-A}'}", "servers[0].env.A: the server's 'headers' do not allow it"),
    ],
)
def test_what_cannot_be_kept_of_a_server_is_named_with_its_line(problems: Complainer, text: str, said: str) -> None:
    line = 6 + text.count("\n")
    assert f"config.yaml:{line}: {said}" in "\n".join(problems(f"{SERVERS}    {text}\n"))


def test_ids_are_as_strict_as_names(problems: Complainer) -> None:
    text = """
    servers:
      - {id: a b, name: A, command: run}
      - {id: fs, name: A}
      - {id: fs, name: B, command: run}
      - {name: C, command: run}
      - run
    """
    first, second, third = problems(text)
    assert first == "config.yaml:5: servers[2].id: another server of the list has this id"
    assert second == "config.yaml:6: servers[3].id: expected the name that stands in the server's paths"
    assert third == "config.yaml:7: servers[4]: expected a map of keys to values"
    text = "servers:\n  - {id: a b, name: A, command: run}\n  - {id: fs, name: A}\n"
    first, second = problems(text)
    assert first.startswith("config.yaml:2: servers[0].id: expected a server name")
    assert second == "config.yaml:3: servers[1].command: this key is missing; expected the program to start"


def test_no_servers_are_a_mistake(problems: Complainer) -> None:
    assert "config.yaml:1: servers: expected at least one server in the list" in problems("servers: []\n")


def test_two_patterns_that_only_meet_are_refused(problems: Complainer) -> None:
    text = "auth: {strategy: api-key, apiKeys: [{key: k, tools: [read_*]}]}\n" + SERVERS
    found = problems(text + "    tools: {allow: ['*_file']}\n")
    assert found[0].startswith("config.yaml:1: auth.apiKeys[0]: a key's pattern and a server's pattern cannot both")


def test_a_clients_file_says_which_command_takes_it_over(problems: Complainer) -> None:
    assert "init --from" in problems("mcpServers: {a: {command: x}}\n")[0]


KEYS = """port host logLevel auth strategy apiKeys key name servers tools rateLimit limit windowSeconds perKey corsOrigins
cors origins health intervalMs security allowedHosts maxBodyBytes mcp allowedOrigins maxSessions state store redis url
failureMode jwt jwtSecret oauth issuer audience jwksUrl authorizationServers resource scope disabled audit enabled id
command args env tags timeout maxConcurrency transport allow deny""".split()
WORDS = st.sampled_from(["x", "none", "api-key", "jwt", "oauth2", "redis", "*", "a/b", "stdio", "sse", "fs", HASH])
LEAVES = st.none() | st.booleans() | st.integers(-1, 99) | st.floats(allow_nan=False) | WORDS
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6), st.lists(TREES, max_size=3))
def test_whatever_stands_in_the_file_is_translated_or_complained_of(
    document: dict[str, object], servers: object
) -> None:
    draft = translate({**document, "servers": servers}, {})
    for path, text in (*draft.problems, *draft.notes):
        assert path
        assert text
