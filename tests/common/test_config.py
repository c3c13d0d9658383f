"""The configuration file: what it may say, and the one line for each thing that is wrong with it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import BaseModel

from common.config.load import Settings, load
from common.config.model import GatewaySettings
from common.config.session_paths import fill
from common.config.source import ConfigError, Problem, dotted
from common.config.values import RESERVED_NAMES, REVEAL_SECRETS
from common.hashes import sha256_of

ROOT = Path(__file__).parents[2]

SERVER = """
servers:
  fs:
    command: run
"""
ALL_KEYS = (
    "access, affinity_cookie, affinity_header, allowed_hosts, anonymous, audit, auth, caches_dir, cors, "
    "debug, docs_page, drain_timeout, era, group, handles, health_interval, home, hostname, idle_timeout, inherit_env, "
    "install_timeout, isolation, kill_grace, limits, linger, list_at_start, max_event_bytes, max_lifetime, "
    "max_message_bytes, max_result_bytes, max_sessions, max_user_sessions, modern, no_new_privs, node, packages, port, "
    "public_url, queue_max, queue_timeout, quotas, rate_limit_on_error, rate_limit_storage, rate_limits, "
    "reaping, reattach_grace, request_timeout, require_user, resumable, runtime_dir, sandbox, servers, "
    "sessions_dir, start_timeout, stderr_files, stop_grace, terminate_grace, trust_user_header, "
    "trusted_fronts, uid_range, user, warm, warm_memory_max, wrapper"
)
SERVER_KEYS = (
    "affinity_cookie, affinity_header, allow_shared_uid, anonymous, args, command, enabled, env, era, group, "
    "handles, headers, home, idle_timeout, inherit_env, isolation, kill_grace, limits, linger, "
    "max_concurrency, max_event_bytes, max_lifetime, max_message_bytes, max_result_bytes, max_sessions, "
    "max_user_sessions, modern, name, no_new_privs, packages, path, request_timeout, resumable, sandbox, "
    "start_timeout, stderr_files, stop_grace, tags, terminate_grace, uid_range, user, warm, zygote"
)
PROTOCOL = {
    "resumable": True,
    "modern": "auto",
    "era": "auto",
    "anonymous": "ephemeral",
    "affinity_header": None,
    "affinity_cookie": True,
    "handles": "off",
}
DURATION = "expected a duration such as 30s, 5m or 1h, or a number of seconds"
BAD_NAME = "expected a server name of 1 to 32 letters, digits, '.', '_' or '-' that begins with a letter or a digit"

Loader = Callable[..., Settings]
Complainer = Callable[..., list[str]]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """What `config.yaml` with this text, in the working directory, says."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        Path("config.yaml").write_text(dedent(text), encoding="utf-8")
        return load(Path("config.yaml"), environ or {})

    return read


@pytest.fixture
def problems(loaded: Loader) -> Complainer:
    """The lines that are said of a `config.yaml` that cannot be used."""

    def complain(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text, environ)
        assert str(caught.value).split("\n") == [str(problem) for problem in caught.value.problems]
        return [str(problem) for problem in caught.value.problems]

    return complain


# One line for each kind of problem.


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prot: 3000", "prot: unknown key; did you mean 'port'?"),
        ("zzz: 1", f"zzz: unknown key; expected one of {ALL_KEYS}"),
        ("debug: {levle: info}", "debug.levle: unknown key; did you mean 'level'?"),
        ("debug: {x: 1}", "debug.x: unknown key; expected one of level"),
        ("auth: {baerer: {}}", "auth.baerer: unknown key; did you mean 'bearer'?"),
        ("auth: {bearer: {tokens: [t], token: t}}", "auth.bearer.token: unknown key; did you mean 'tokens'?"),
        ("port: many", "port: expected a whole number"),
        ("port: 3000.5", "port: expected a whole number"),
        ("install_timeout: 20m", "install_timeout: expected 600s or less"),
        ("drain_timeout: 1m", "drain_timeout: expected 30s or less"),
        ("port: 70000", "port: expected a value less than or equal to 65535"),
        ("port: -1", "port: expected a value greater than or equal to 0"),
        ("port: true", "port: expected a whole number"),
        ("max_sessions: 0", "max_sessions: expected a value greater than or equal to 1"),
        ("max_sessions: true", "max_sessions: expected a whole number"),
        ("limits: {cpu_max: .inf}", "limits.cpu_max: expected a value less than or equal to 4096"),
        ("limits: {tasks_max: 9999999}", "limits.tasks_max: expected a value less than or equal to 4194304"),
        (
            "limits: {memory_max: 2000000TiB}",
            "limits.memory_max: expected a value less than or equal to 1125899906842624",
        ),
        (
            "limits: {file_size_max: 2000000TiB}",
            "limits.file_size_max: expected a value less than or equal to 1125899906842624",
        ),
        ("hostname: 5", "hostname: expected a text; if this is one, put it in quotes"),
        ("hostname:", "hostname: expected a text; if this is one, put it in quotes"),
        ("hostname: ''", "hostname: expected a text that is not empty"),
        ("health_interval: 9s", "health_interval: expected a value greater than or equal to 10"),
        ("allowed_hosts: example.com", "allowed_hosts: expected a list"),
        ("allowed_hosts: [a, '']", "allowed_hosts[1]: expected a text that is not empty"),
        (
            "allowed_hosts: ['https://a']",
            "allowed_hosts[0]: expected a name, with or without a port, and nothing before or after them",
        ),
        ("inherit_env: [A=1]", "inherit_env[0]: expected the name of a variable, without '='"),
        ("sandbox: bubblewarp", "sandbox: expected 'bubblewrap', 'none', or a map of its keys"),
        ("sandbox: true", "sandbox: expected 'bubblewrap', 'none', or a map of its keys"),
        ("sandbox: {writeable: [/x]}", "sandbox.writeable: unknown key; did you mean 'writable'?"),
        ("uid_range: 0-9", "uid_range: expected a range of user ids such as 600000-665535, without 0"),
        ("uid_range: 9-4294967295", "uid_range: expected a range of user ids such as 600000-665535, without 0"),
        ('runtime_dir: "a\\0b"', "runtime_dir: expected a text without zero bytes and without what no UTF-8 has"),
        ("debug: loud", "debug: expected a map of keys to values"),
        ("debug:", "debug: expected a map of keys to values"),
        ("debug: {level: loud}", "debug.level: expected a value 'error', 'warn', 'info', 'debug' or 'verbose'"),
        (
            "idle_timeout: soon",
            "idle_timeout: expected a duration such as 30s, 5m or 1h, or a number of seconds",
        ),
        ("idle_timeout: 0s", "idle_timeout: expected a value greater than 0"),
        ("max_message_bytes: big", "max_message_bytes: expected a size such as 512KiB or 16MiB"),
        ("max_message_bytes: 1 parsec", "max_message_bytes: expected a size such as 512KiB or 16MiB"),
        ("max_message_bytes: 10", "max_message_bytes: expected a value greater than or equal to 1024"),
        (
            "max_result_bytes: some",
            "max_result_bytes: expected 'auto', null, or a size between 64KiB and 1GiB, such as 15MiB",
        ),
        (
            "max_event_bytes: 1KiB",
            "max_event_bytes: expected 'auto', null, or a size between 64KiB and 1GiB, such as 15MiB",
        ),
        (
            "max_event_bytes: true",
            "max_event_bytes: expected 'auto', null, or a size between 64KiB and 1GiB, such as 15MiB",
        ),
        ("max_message_bytes: 2GiB", "max_message_bytes: expected a value less than or equal to 1073741824"),
        (
            "auth: {basic: {enabled: true}}",
            "auth.basic: enabled without any credentials; expected at least one under 'credentials'",
        ),
        ("auth: {bearer: {}}", "auth.bearer: enabled without any token; expected at least one under 'tokens'"),
        ("auth: {bearer: {enabled: maybe, tokens: [t]}}", "auth.bearer.enabled: expected true or false"),
        ("auth: {bearer: {tokens: t}}", "auth.bearer.tokens: expected a list"),
        ("auth: {bearer: {tokens: ['']}}", "auth.bearer.tokens[0]: expected something here; it is empty"),
        (
            "auth: {bearer: {tokens: [12345]}}",
            "auth.bearer.tokens[0]: expected a text; if this is one, put it in quotes",
        ),
        (
            "auth: {basic: {credentials: [{username: u}]}}",
            "auth.basic.credentials[0]: expected one of 'password', 'password_hash' and 'password_file'",
        ),
    ],
)
def test_a_problem_is_one_line_that_names_file_line_key_and_what_was_expected(
    text: str, line: str, problems: Complainer
) -> None:
    assert problems(f"# a comment\n{text}{SERVER}") == [f"config.yaml:2: {line}"]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("command: ''", "4: servers.fs.command: expected a text that is not empty"),
        ("command: 5", "4: servers.fs.command: expected a text; if this is one, put it in quotes"),
        ("args: []", "3: servers.fs.command: this key is missing; expected the program to start"),
        ("{command: run, zzz: 1}", f"4: servers.fs.zzz: unknown key; expected one of {SERVER_KEYS}"),
        ("{command: run, arg: []}", "4: servers.fs.arg: unknown key; did you mean 'args'?"),
        ("{command: run, args: -y}", "4: servers.fs.args: expected a list"),
        (
            "{command: run, args: [a, true]}",
            "4: servers.fs.args[1]: expected a text; if this is one, put it in quotes",
        ),
        (
            "{command: run, args: [{a: b}]}",
            "4: servers.fs.args[0]: expected a text; if this is one, put it in quotes",
        ),
        ("{command: run, env: [A]}", "4: servers.fs.env: expected a map of keys to values"),
        (
            "{command: run, env: {A: }}",
            "4: servers.fs.env.A: expected a text; if this is one, put it in quotes",
        ),
        ("{command: run, env: {A=B: c}}", "4: servers.fs.env.A=B: expected the name of a variable, without '='"),
        (
            '{command: run, args: [a, "\\0session.dir\\0"]}',
            "4: servers.fs.args[1]: expected a text without zero bytes and without what no UTF-8 has",
        ),
        (
            '{command: "\\ud800"}',
            "4: servers.fs.command: expected a text without zero bytes and without what no UTF-8 has",
        ),
        ("{command: run, timeout: soon}", f"4: servers.fs.timeout: {DURATION}"),
        (
            "{command: run, maxConcurrency: 0}",
            "4: servers.fs.maxConcurrency: expected a value greater than or equal to 1",
        ),
        (
            "{command: run, request_timeout: 1s, timeout: 2s}",
            "4: servers.fs.timeout: another word for 'request_timeout', which is here, too; keep one of the two",
        ),
        ("{command: run, limits: }", "4: servers.fs.limits: expected a map of keys to values"),
        ("{command: run, path: ''}", "4: servers.fs.path: expected a text that is not empty"),
        ("{command: run, max_sessions: 0}", "4: servers.fs.max_sessions: expected a value greater than or equal to 1"),
        (
            "{command: run, stop_grace: soon}",
            "4: servers.fs.stop_grace: expected a duration such as 30s, 5m or 1h, or a number of seconds",
        ),
        (
            "{command: run, stop_grace: }",
            "4: servers.fs.stop_grace: expected a duration such as 30s, 5m or 1h, or a number of seconds",
        ),
        (
            "{command: run, max_message_bytes: 1}",
            "4: servers.fs.max_message_bytes: expected a value greater than or equal to 1024",
        ),
        ("just a text", "3: servers.fs: expected a map of keys to values"),
        ("", "3: servers.fs: expected a map of keys to values"),
    ],
)
def test_a_problem_in_a_server_names_the_server(entry: str, line: str, problems: Complainer) -> None:
    assert problems(f"# a comment\nservers:\n  fs:\n    {entry}\n") == [f"config.yaml:{line}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("port: 3000", "1: servers: this key is missing; expected at least one server under it"),
        ("servers:", "1: servers: expected a map of keys to values"),
        ("servers: []", "1: servers: expected at least one server in the list"),
        ("servers: {}", "1: servers: expected something here; it is empty"),
        ("", "1: expected a map of keys to values, with 'servers' among them"),
        ("# nothing but a comment", "1: expected a map of keys to values, with 'servers' among them"),
        ("- servers", "1: expected a map of keys to values, with 'servers' among them"),
        ("servers", "1: expected a map of keys to values, with 'servers' among them"),
    ],
)
def test_a_file_without_any_server_is_none(text: str, line: str, problems: Complainer) -> None:
    assert problems(text) == [f"config.yaml:{line}"]


def test_the_line_is_the_line_of_the_key_however_deep(problems: Complainer) -> None:
    text = """\
        hostname: localhost

        auth:
          basic:
            credentials:
              - username: ann
                password: hunter2
              # the second one
              - usrname: ben
                pasword: hunter3
        servers:
          fs:
            command: run
    """
    assert problems(text) == [
        "config.yaml:9: auth.basic.credentials[1].username: this key is missing; expected a value for it",
        "config.yaml:9: auth.basic.credentials[1].usrname: unknown key; did you mean 'username'?",
        "config.yaml:10: auth.basic.credentials[1].pasword: unknown key; did you mean 'password'?",
    ]


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(problems: Complainer) -> None:
    text = """\
        prot: 3000
        debug:
          level: loud
        servers:
          api:
            command: run
          fs:
            comand: run
    """
    assert problems(text) == [
        "config.yaml:1: prot: unknown key; did you mean 'port'?",
        "config.yaml:3: debug.level: expected a value 'error', 'warn', 'info', 'debug' or 'verbose'",
        "config.yaml:5: servers.api: this name is taken by a route of the gateway; expected another one",
        "config.yaml:7: servers.fs.command: this key is missing; expected the program to start",
        "config.yaml:8: servers.fs.comand: unknown key; did you mean 'command'?",
    ]


def test_a_node_name_is_short_and_plain(problems: Complainer, loaded: Loader) -> None:
    assert loaded("node: eu-1" + SERVER).gateway.node == "eu-1"
    for bad in ("", "a b", "ü", "a" * 17, "a.b", "a\\n"):
        [line] = problems(f'node: "{bad}"{SERVER}')
        assert line.startswith("config.yaml:1: node: ")
        assert "expected" in line


def test_a_problem_of_the_file_as_a_whole_has_no_line_and_no_key() -> None:
    assert str(Problem("config.yaml", 0, "", "cannot be read")) == "config.yaml: cannot be read"


def test_keys_are_written_as_a_path() -> None:
    assert dotted(("servers", "fs", "args", 0)) == "servers.fs.args[0]"
    assert dotted(()) == ""


# A file that is no YAML.


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "a: b: c",
            "1: bad YAML: mapping values are not allowed here; is this line indented too far, or does a text with ': ' "
            "lack its quotes?",
        ),
        ("a:\n\tb: c", "2: bad YAML: found character '\\t' that cannot start any token; indent with spaces"),
        (
            "a:\n  - b: c\n   d: e",
            "3: bad YAML: expected <block end>, but found '<block mapping start>'; what belongs to one list or map "
            "begins in the same column",
        ),
        (
            "a: {b: ${C}}",
            "1: bad YAML: expected ',' or '}', but got '{'; within { } and [ ] a text that holds ${…} must be in quotes, "
            "and each bracket closed",
        ),
        ("a: 1\n---\nb: 2", "2: bad YAML: but found another document"),
        (
            "a: [1, 2",
            "2: bad YAML: expected ',' or ']', but got '<stream end>'; within { } and [ ] a text that holds ${…} must be "
            "in quotes, and each bracket closed",
        ),
        ("a: 1\nbb: 2\nbb: secret", "3: 'bb' stands here a second time; keep one of the two"),
        ("a: 1\n'b b': 2\n'b b': secret", "3: the same key stands here twice"),
    ],
)
def test_bad_yaml_is_told_in_one_line_with_its_place(text: str, line: str, problems: Complainer) -> None:
    assert problems(f"{text}\n") == [f"config.yaml:{line}"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        load(tmp_path)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"hostname: caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: expected a text in UTF-8"


@pytest.mark.parametrize(
    "text",
    [
        f"port: {'9' * 5000}{SERVER}",
        f"idle_timeout: 1{'0' * 400}{SERVER}",
        f"{SERVER}    path: ~nobody-of-that-name/files\n",
        f'hostname: "\x01"{SERVER}',
    ],
    ids=["a huge number", "a huge duration", "the home of nobody", "a control character"],
)
def test_whatever_is_wrong_is_a_problem_and_not_a_crash(text: str, problems: Complainer) -> None:
    assert len(problems(text)) == 1


# Names of servers.


@pytest.mark.parametrize("name", ["a", "fs", "my-server_2.0", "0", "A" * 32, "apis", "mcp2", "42"])
def test_a_plain_name_is_a_servers(name: str, loaded: Loader) -> None:
    settings = loaded(f"servers:\n  {name}:\n    command: run\n")
    assert list(settings.gateway.servers) == list(settings.supervisor.servers) == [name]
    assert settings.supervisor.servers[name].name == name


@pytest.mark.parametrize("name", ["''", "-a", ".a", "_a", "a b", "a/b", "ä", "a" * 33, "a:b", "'%41'"])
def test_a_name_that_is_no_segment_of_a_path_is_no_servers(name: str, problems: Complainer) -> None:
    [line] = problems(f"servers:\n  ? {name}\n  : command: run\n")
    assert line.startswith("config.yaml:2: servers.")
    assert line.endswith(f": {BAD_NAME}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "auth:\n  trust_user_header: X\nservers: {a: {command: b}}",
            "2: auth.trust_user_header: this key belongs at the top of the file, not here",
        ),
        ("servers: {a: {command: b, port: 1}}", "1: servers.a.port: this key belongs at the top of the file, not here"),
        (
            "servers: {a: {command: b}}\nfs:\n  command: secret",
            "2: fs: unknown key; if it is a server, indent it, for servers stand under 'servers'",
        ),
        ("servers: {a: {command: b}}\nargs: [secret]", "2: args: this key belongs in the entry of a server"),
    ],
)
def test_a_key_at_a_wrong_place_is_sent_to_the_right_one(text: str, problem: str, problems: Complainer) -> None:
    assert problems(text) == [f"config.yaml:{problem}"]


def test_a_server_by_number_and_one_by_its_digits_are_the_same(problems: Complainer) -> None:
    assert problems("servers:\n  1: {command: a}\n  '1': {command: b}\n") == [
        "config.yaml:1: servers: the same key stands here twice"
    ]


def test_a_problem_stays_on_one_line_whatever_stands_in_a_key(problems: Complainer) -> None:
    [line] = problems('servers:\n  "a\\nb":\n    command: run\n')
    assert line.endswith(BAD_NAME)


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_a_name_of_the_gateways_own_routes_is_no_servers(
    name: str, spelling: Callable[[str], str], problems: Complainer
) -> None:
    assert problems(f"servers:\n  {spelling(name)}:\n    command: run\n") == [
        f"config.yaml:2: servers.{spelling(name)}: this name is taken by a route of the gateway; expected another one"
    ]


def test_every_route_that_the_gateway_has_is_reserved() -> None:
    assert {"api", "mcp", "sse", "message", "messages", "health", "docs", "actions", "certificates"} <= RESERVED_NAMES


# What the file may leave out.


def test_everything_but_a_command_has_a_default(loaded: Loader) -> None:
    settings = loaded(SERVER)
    gateway, supervisor = settings.gateway, settings.supervisor
    assert (gateway.hostname, gateway.port, gateway.node) == ("127.0.0.1", 3000, "gw")
    assert gateway.allowed_hosts == ()
    assert not gateway.auth.is_on
    assert gateway.debug.level == supervisor.debug.level == "info"
    assert supervisor.max_sessions == 200


def test_a_server_has_the_default_limits(loaded: Loader) -> None:
    settings = loaded(SERVER)
    assert settings.gateway.servers["fs"].model_dump() == {
        "start_timeout": 24.0,
        "request_timeout": 300.0,
        "max_message_bytes": 16 * 1024 * 1024,
        "idle_timeout": 1800.0,
        "max_concurrency": None,
        "name": None,
        "tags": (),
        "isolation": ("session",),
        "linger": 300.0,
        "max_result_bytes": "auto",
        "max_event_bytes": "auto",
        "personal": (),
        "generation": 0,
        **PROTOCOL,
    }
    assert settings.supervisor.servers["fs"].model_dump() == {
        "name": "fs",
        "as_written": "run",
        "command": "run",
        "args": (),
        "path": None,
        "env": {},
        "allow_shared_uid": False,
        "private": (),
        "zygote": False,
        "idle_timeout": 1800.0,
        "max_lifetime": 86400.0,
        "graces": {"stop": 2.0, "terminate": 3.0, "kill": 5.0},
        "max_sessions": None,
        "max_user_sessions": None,
        "limits": {
            "memory_max": 1 << 30,
            "tasks_max": 512,
            "cpu_max": None,
            "open_files_max": 4096,
            "file_size_max": 1 << 30,
            "dir_size_max": 1 << 30,
        },
        "isolation": {
            "user": None,
            "group": None,
            "uid_range": None,
            "no_new_privs": True,
            "home": "private",
            "inherit_env": (),
            "sandbox": None,
            "stderr_files": False,
            "packages": "fetch",
        },
        "warm": 0,
    }


def test_a_server_takes_the_limits_of_the_file_but_for_those_that_it_gives_itself(loaded: Loader) -> None:
    settings = loaded("""\
        limits: {memory_max: 256MiB, tasks_max: 32, cpu_max: 150%}
        sandbox: bubblewrap
        uid_range: 600000-600099
        servers:
          own: {command: run, limits: {memory_max: null, cpu_max: 0.5}, sandbox: none, user: nobody}
          other: {command: run}
        """)
    own, other = (settings.supervisor.servers[name] for name in ("own", "other"))
    assert (own.limits.memory_max, own.limits.tasks_max, own.limits.cpu_max) == (None, 32, 0.5)
    assert (other.limits.memory_max, other.limits.cpu_max) == (256 << 20, 1.5)
    assert (own.isolation.sandbox, own.isolation.user) == (None, "nobody")
    assert other.isolation.sandbox is not None
    assert (own.isolation.uid_range, other.isolation.uid_range) == (None, (600000, 600099))


# Limits, for all servers and for one.


def test_limits_hold_for_every_server_that_has_none_of_its_own(loaded: Loader) -> None:
    settings = loaded("""\
        idle_timeout: 10m
        max_lifetime: 2h
        start_timeout: 500ms
        request_timeout: 90
        stop_grace: 1s
        terminate_grace: 1.5s
        kill_grace: 2.5
        max_message_bytes: 1MiB
        servers:
          own:
            command: run
            idle_timeout: 1d
            max_lifetime: 7d
            start_timeout: 1m
            request_timeout: 1h
            stop_grace: 10s
            terminate_grace: 20s
            kill_grace: 30s
            max_message_bytes: 64KiB
            max_sessions: 3
          fs:
            command: run
    """)
    of_all, own = settings.supervisor.servers["fs"], settings.supervisor.servers["own"]
    assert (of_all.idle_timeout, of_all.max_lifetime, of_all.max_sessions) == (600, 7200, None)
    assert (own.idle_timeout, own.max_lifetime, own.max_sessions) == (86400, 7 * 86400, 3)
    assert of_all.graces.model_dump() == {"stop": 1, "terminate": 1.5, "kill": 2.5}
    assert own.graces.model_dump() == {"stop": 10, "terminate": 20, "kill": 30}
    policy, own_policy = settings.gateway.servers["fs"], settings.gateway.servers["own"]
    times = policy.model_dump(include={"start_timeout", "request_timeout", "max_message_bytes"})
    own_times = own_policy.model_dump(include={"start_timeout", "request_timeout", "max_message_bytes"})
    assert times == {"start_timeout": 0.5, "request_timeout": 90, "max_message_bytes": 1 << 20}
    assert own_times == {"start_timeout": 60, "request_timeout": 3600, "max_message_bytes": 1 << 16}


def test_what_is_spoken_holds_for_every_server_that_has_no_say_of_its_own(loaded: Loader) -> None:
    settings = loaded("""\
        modern: off
        anonymous: shared
        affinity_header: X-Conversation
        servers:
          own:
            command: run
            resumable: false
            modern: relay
            era: dual
            anonymous: reject
            affinity_header: null
            affinity_cookie: false
            handles: inject
          fs:
            command: run
    """)
    own, of_all = settings.gateway.servers["own"], settings.gateway.servers["fs"]
    assert (of_all.modern, of_all.anonymous, of_all.affinity_header) == ("off", "shared", "X-Conversation")
    assert own.model_dump(include=set(PROTOCOL)) == {
        "resumable": False,
        "modern": "relay",
        "era": "dual",
        "anonymous": "reject",
        "affinity_header": None,
        "affinity_cookie": False,
        "handles": "inject",
    }


@pytest.mark.parametrize("name", ["Mcp-Session-Id", "authorization", "Cookie", "a header", "X_User", ""])
def test_a_header_that_means_something_else_tells_no_clients_apart(problems: Complainer, name: str) -> None:
    [complaint] = problems(f"affinity_header: {name!r}\nservers: {{fs: {{command: run}}}}\n")
    assert "affinity_header" in complaint
    assert "expected" in complaint


@pytest.mark.parametrize(
    ("written", "size"),
    [("4096", 4096), ("512KiB", 512 << 10), ("16MiB", 16 << 20), ("1GiB", 1 << 30), ("1MB", 10**6), ("2 KiB", 2048)],
)
def test_a_size_is_a_number_of_bytes_or_a_number_with_its_unit(written: str, size: int, loaded: Loader) -> None:
    assert loaded(f"max_message_bytes: {written}{SERVER}").gateway.servers["fs"].max_message_bytes == size


def test_how_many_sessions_there_may_be_is_for_the_supervisor_to_know(loaded: Loader) -> None:
    assert loaded("max_sessions: 7" + SERVER).supervisor.max_sessions == 7


# Texts and numbers.


@pytest.mark.parametrize(
    "written",
    ["8080", "-1", "3.10", "1e3", "0755", "0o17", "0x1F", "1_000", "+5", "2026-01-31", "2026-01-31T10:00:00Z"],
)
def test_what_yaml_takes_for_a_number_or_a_date_reaches_a_server_as_it_was_written(
    written: str, loaded: Loader
) -> None:
    server = loaded(f"{SERVER}    args: [{written}]\n    env: {{A: {written}}}\n").supervisor.servers["fs"]
    assert server.args == (written,)
    assert server.env == {"A": written}
    assert server.as_written == f"run {written}"


def test_yes_and_no_are_texts_and_true_and_false_are_not(loaded: Loader, problems: Complainer) -> None:
    assert loaded(f"{SERVER}    args: [yes, no, on, off]\n").supervisor.servers["fs"].args == ("yes", "no", "on", "off")
    assert len(problems(f"{SERVER}    args: [true, false]\n")) == 2


def test_an_anchor_may_be_used_and_merged(loaded: Loader) -> None:
    servers = loaded("""\
        servers:
          one: &one
            command: run
            args: [a]
          two:
            <<: *one
            args: [b]
    """).supervisor.servers
    assert (servers["one"].args, servers["two"].args) == (("a",), ("b",))
    assert servers["two"].command == "run"


# Variables.


def test_a_variable_is_taken_from_the_environment_wherever_a_text_may_stand(loaded: Loader) -> None:
    settings = loaded(
        """\
        hostname: ${HOST}
        auth: {bearer: {tokens: ["${TOKEN}"]}}
        servers:
          fs:
            command: ${BIN}/run
            args: ["--key=${TOKEN}", "${HOST}-${HOST}"]
            env: {KEY: "${TOKEN}"}
        """,
        {"HOST": "example.com", "TOKEN": "hunter2", "BIN": "/opt"},
    )
    server = settings.supervisor.servers["fs"]
    assert settings.gateway.hostname == "example.com"
    assert settings.gateway.auth.bearer is not None
    assert settings.gateway.auth.bearer.tokens[0].hashed == sha256_of("hunter2")
    assert server.command == "/opt/run"
    assert server.args == ("--key=hunter2", "example.com-example.com")
    assert server.env == {"KEY": "hunter2"}


def test_a_command_line_is_shown_as_it_was_written(loaded: Loader) -> None:
    settings = loaded(f'{SERVER}    args: [--key, "${{TOKEN}}", 8080]\n', {"TOKEN": "hunter2"})
    assert settings.supervisor.servers["fs"].as_written == "run --key ${TOKEN} 8080"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("$${HOST}", "${HOST}"),
        ("a$${HOST}b${HOST}", "a${HOST}bhere"),
        ("$HOST", "$HOST"),
        ("${HOST", "${HOST"),
        ("$5", "$5"),
        ("{HOST}", "{HOST}"),
    ],
)
def test_other_dollars_are_dollars(written: str, meant: str, loaded: Loader) -> None:
    assert loaded(f'hostname: "{written}"{SERVER}', {"HOST": "here"}).gateway.hostname == meant


def test_a_variable_that_is_taken_is_not_expanded_again(loaded: Loader) -> None:
    assert loaded(f"hostname: ${{A}}{SERVER}", {"A": "${B}", "B": "no"}).gateway.hostname == "${B}"


def test_a_variable_may_be_empty_where_a_text_may(loaded: Loader, problems: Complainer) -> None:
    assert loaded(f'{SERVER}    args: ["${{A}}"]\n', {"A": ""}).supervisor.servers["fs"].args == ("",)
    assert problems(f"hostname: ${{A}}{SERVER}", {"A": ""}) == [
        "config.yaml:1: hostname: expected a text that is not empty"
    ]


def test_a_number_may_be_a_variable(loaded: Loader) -> None:
    assert loaded(f"port: ${{PORT}}{SERVER}", {"PORT": "8080"}).gateway.port == 8080


def test_variables_that_are_not_there_are_all_told(problems: Complainer) -> None:
    assert problems(f'hostname: ${{HOST}}\n{SERVER}    args: [a, "${{KEY}}"]\n', {"OTHER": "x"}) == [
        "config.yaml:1: hostname: the environment has no variable HOST; set it, or write $${HOST} for the text",
        "config.yaml:6: servers.fs.args[1]: the environment has no variable KEY; set it, or write $${KEY} for the text",
    ]


@pytest.mark.parametrize("name", ["", "NO PE", "1A", "A-B", "Header:X-Token"])
def test_what_is_no_variables_name_is_told(name: str, problems: Complainer) -> None:
    [line] = problems(f'hostname: "${{{name}}}"{SERVER}')
    assert line == (
        "config.yaml:1: hostname: expected the name of an environment variable in ${…}; write $${…} for the text itself"
    )


def test_credentials_that_no_header_can_carry_are_told(problems: Complainer) -> None:
    [colon] = problems("auth: {basic: {credentials: [{username: 'a:b', password: x}]}}" + SERVER)
    assert colon.startswith("config.yaml:1: auth.basic.credentials[0].username: expected a name without a colon")
    [blank] = problems("auth: {bearer: {tokens: [' x']}}" + SERVER)
    assert blank.startswith("config.yaml:1: auth.bearer.tokens[0]: expected a token without blanks")


def test_a_server_specs_repr_shows_neither_arguments_nor_environment(loaded: Loader) -> None:
    settings = loaded(f'{SERVER}    args: ["${{KEY}}"]\n    env: {{B: "${{KEY}}"}}\n', {"KEY": "hunter2"})
    assert "hunter2" not in repr(settings)


def test_a_key_is_never_expanded(problems: Complainer) -> None:
    [line] = problems(f'"${{KEY}}": 1{SERVER}', {"KEY": "port"})
    assert line.startswith("config.yaml:1: ${KEY}: unknown key")


# Paths.


def test_a_relative_path_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "config.yaml").write_text(f"{SERVER}    path: ../files\n")
    monkeypatch.chdir(tmp_path)
    path = load(Path("etc/config.yaml"), {}).supervisor.servers["fs"].path
    assert path is not None
    assert Path(path).is_absolute()
    assert Path(path).resolve() == (tmp_path / "files").resolve()


def test_every_relative_path_is_relative_to_the_file(loaded: Loader, tmp_path: Path) -> None:
    text = f"""\
runtime_dir: run
sessions_dir: ./sessions
caches_dir: caches
sandbox: {{writable: [files], hidden: [/srv]}}{SERVER}"""
    settings = loaded(text).supervisor
    here = tmp_path.resolve()
    places = (settings.runtime_dir, settings.sessions_dir, settings.caches_dir)
    assert places == (f"{here}/run", f"{here}/sessions", f"{here}/caches")
    sandbox = settings.servers["fs"].isolation.sandbox
    assert sandbox is not None
    assert (sandbox.writable, sandbox.hidden) == ((f"{here}/files",), ("/srv",))


def test_an_absolute_path_is_itself(loaded: Loader) -> None:
    assert loaded(f"{SERVER}    path: /srv/files\n").supervisor.servers["fs"].path == "/srv/files"


def test_a_tilde_is_the_home_directory(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert loaded(f"{SERVER}    path: ~/files\n").supervisor.servers["fs"].path == "/home/ann/files"


# Secrets.

WITH_SECRETS = """\
auth:
  basic:
    credentials:
      - username: ann
        password: hunter2-password
  bearer:
    tokens:
      - hunter2-token
servers:
  fs:
    command: run
"""


def test_no_secret_is_in_any_representation_of_the_settings(loaded: Loader) -> None:
    settings = loaded(WITH_SECRETS)
    shown = [repr(settings), str(settings), repr(settings.gateway), settings.gateway.model_dump_json()]
    shown += [settings.gateway.model_dump_json(context={"reveal": True}), repr(settings.gateway.model_dump())]
    assert not [text for text in shown if "hunter2" in text]


def test_the_supervisor_may_hand_the_gateway_its_secrets(loaded: Loader) -> None:
    settings = loaded(WITH_SECRETS).gateway
    wire = settings.model_dump_json(context=REVEAL_SECRETS)
    assert "hunter2-password" in wire
    assert "hunter2-token" in wire
    assert GatewaySettings.model_validate_json(wire) == settings


def test_the_gateways_part_names_no_command(loaded: Loader) -> None:
    text = f"{SERVER}    args: [secret-argument]\n    env: {{A: secret-value}}\n    path: /secret-path\n"
    wire = loaded(text.replace("run", "secret-command")).gateway.model_dump_json(context=REVEAL_SECRETS)
    assert "secret" not in wire
    assert "fs" in wire


@pytest.mark.parametrize(
    "auth",
    [
        "{basic: {credentials: [{username: u, password: [hunter2]}]}}",
        "{basic: {credentials: [{username: u, password: {a: hunter2}}]}}",
        "{basic: {credentials: [{username: u, password: hunter2, x: y}]}}",
        "{basic: {credentials: [{username: '', password: hunter2}]}}",
        "{basic: {credentials: hunter2}}",
        "{basic: {credentials: [hunter2]}}",
        "{basic: hunter2}",
        "{bearer: {tokens: hunter2}}",
        "{bearer: {tokens: {a: hunter2}}}",
        "{bearer: {enabled: hunter2, tokens: [t]}}",
        "{bearer: {tokens: [hunter2 }}",
        "{bearer: {tokens: ['hunter2}}",
        "{bearer: {tokens: [*hunter2 ]}}",
        "{bearer: {tokens: [*hunter2 , t]}}",
        "{bearer: {tokens: [!hunter2 ]}}",
        "{bearer: {tokens: [&hunter2 ]}}",
        "{bearer: {tokens: [%hunter2]}}",
        "{bearer: {tokens: [@hunter2]}}",
        "{bearer: {tokens: [t], tokens: [hunter2]}}",
        "{basic: {credentials: [{username: u, password: x, password: hunter2}]}}",
        "{basic: {credentials: [{username: u, password: hunter2, password: x}]}}",
        "hunter2",
        "[hunter2]",
    ],
)
def test_no_problem_ever_quotes_a_value(auth: str, problems: Complainer) -> None:
    assert "hunter2" not in "\n".join(problems(f"auth: {auth}{SERVER}"))


@pytest.mark.parametrize("key", ["port", "idle_timeout", "max_message_bytes", "debug", "node", "allowed_hosts"])
def test_no_problem_quotes_a_value_that_a_variable_gave(key: str, problems: Complainer) -> None:
    assert "hunter2" not in "\n".join(problems(f"{key}: ${{SECRET}} !{SERVER}", {"SECRET": "hunter2"}))


def test_an_error_keeps_no_value_anywhere(loaded: Loader) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(f"auth: {{bearer: {{tokens: hunter2}}}}{SERVER}")
    assert "hunter2" not in repr(caught.value) + repr(caught.value.problems)
    assert caught.value.__suppress_context__


def test_settings_do_not_change_after_they_were_read(loaded: Loader) -> None:
    def models(value: object) -> list[BaseModel]:
        if not isinstance(value, BaseModel):
            return []
        return [value, *(each for _, inner in value for each in models(inner))]

    settings = loaded(WITH_SECRETS)
    found = [*models(settings.gateway), *models(settings.supervisor)]
    assert len(found) > 5
    assert all(type(model).model_config.get("frozen") for model in found)


# Files of others, and our own.


def test_a_file_for_acehoss_mcp_gateway_loads_unchanged(loaded: Loader) -> None:
    settings = loaded("""\
        hostname: "0.0.0.0"
        port: 8080

        debug:
          level: verbose

        auth:
          basic:
            enabled: true
            credentials:
              - username: "admin"
                password: "your-secure-password"
          bearer:
            enabled: false
            tokens:
              - "your-secret-token-1"
              - "your-secret-token-2"

        servers:
          filesystem:
            command: npx
            args:
              - -y
              - "@modelcontextprotocol/server-filesystem"
              - "/path/to/root"
          git:
            command: uvx
            args: [mcp-server-git]
            path: /path/to/repository
          plain:
            command: /usr/local/bin/plain
    """)
    gateway, servers = settings.gateway, settings.supervisor.servers
    assert (gateway.hostname, gateway.port, gateway.debug.level) == ("0.0.0.0", 8080, "verbose")
    assert gateway.auth.is_on
    assert gateway.auth.basic_is_on
    assert not gateway.auth.bearer_is_on
    assert list(gateway.servers) == list(servers) == ["filesystem", "git", "plain"]
    assert servers["filesystem"].command == "npx"
    assert servers["filesystem"].args == ("-y", "@modelcontextprotocol/server-filesystem", "/path/to/root")
    assert servers["git"].path == "/path/to/repository"
    assert servers["plain"].args == ()


@pytest.mark.parametrize("level", ["error", "warn", "info", "debug", "verbose"])
def test_every_level_of_logging_is_known(level: str, loaded: Loader) -> None:
    assert loaded(f"debug: {{level: {level}}}{SERVER}").supervisor.debug.level == level


def test_authentication_that_is_switched_off_needs_nothing(loaded: Loader) -> None:
    auth = loaded(f"auth: {{basic: {{enabled: false}}, bearer: {{enabled: false}}}}{SERVER}").gateway.auth
    assert not auth.is_on


def test_the_projects_own_file_loads() -> None:
    settings = load(ROOT / "config.yaml", {})
    assert settings.supervisor.servers["notepad"].command == "mcp-notepad"
    assert not settings.gateway.auth.is_on


def test_the_examples_in_the_projects_own_file_load(tmp_path: Path) -> None:
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    stripped = [line.replace("# ", "", 1) if is_example(line) else line for line in lines]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(stripped), encoding="utf-8")
    settings = load(path, {"MCP_GATEWAY_TOKEN": "t", "MCP_GATEWAY_PASSWORD": "p"})
    assert {"filesystem", "memory", "everything", "time", "git", "fetch"} < set(settings.supervisor.servers)
    assert settings.gateway.auth.basic_is_on
    assert settings.gateway.auth.bearer_is_on


def is_example(line: str) -> bool:
    """Whether a comment is a line of configuration, and not prose."""
    text = line.strip().removeprefix("#").strip()
    key, colon, value = text.partition(":")
    is_key = bool(colon) and key.islower() and key.replace("_", "").isalnum() and (not value or value.startswith(" "))
    return line.strip().startswith("#") and (is_key or text.startswith("- "))


# Paths of a session.


def test_a_sessions_paths_are_left_for_the_supervisor_to_fill(loaded: Loader) -> None:
    text = f"""{SERVER}    path: "${{session.work}}/in"
    args: ["${{session.dir}}/x", "a${{session.tmp}}b"]
    env: {{DATA: "${{session.home}}"}}
"""
    server = loaded(text).supervisor.servers["fs"]
    paths = {"session.dir": "/r", "session.home": "/r/home", "session.tmp": "/r/tmp", "session.work": "/r/work"}
    assert [fill(each, paths) for each in server.args] == ["/r/x", "a/r/tmpb"]
    assert fill(server.env["DATA"], paths) == "/r/home"
    assert fill(server.path or "", paths) == "/r/work/in"
    assert server.as_written == "run ${session.dir}/x a${session.tmp}b"


def test_what_only_looks_like_a_sessions_path_is_text(loaded: Loader) -> None:
    text = f'{SERVER}    args: ["$${{session.dir}}", "${{A}}"]\n'
    server = loaded(text, {"A": "${session.dir}"}).supervisor.servers["fs"]
    assert [fill(each, {"session.dir": "/r"}) for each in server.args] == ["${session.dir}", "${session.dir}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '    args: ["${session.id}"]\n',
            "5: servers.fs.args[0]: a session has no such path; "
            "expected one of ${session.dir}, ${session.home}, ${session.tmp}, ${session.work}",
        ),
        (
            "    user: ${session.dir}\n",
            "5: servers.fs.user: ${session.dir} may stand in a server's 'args', 'env' and 'path' alone",
        ),
        ("    path: a/${session.dir}\n", "5: servers.fs.path: expected ${session.dir} at the beginning of the path"),
        (
            "hostname: ${session.dir}\n",
            "5: hostname: ${session.dir} may stand in a server's 'args', 'env' and 'path' alone",
        ),
    ],
)
def test_a_sessions_path_that_cannot_be_is_told(text: str, problem: str, problems: Complainer) -> None:
    assert problems(f"{SERVER}{text}") == [f"config.yaml:{problem}"]


# As whom.


def test_a_server_has_either_a_user_or_a_range_of_them(problems: Complainer) -> None:
    [line] = problems(f"{SERVER}    user: nobody\n    uid_range: 600000-600009\n")
    assert line == "config.yaml:6: servers.fs.uid_range: expected either 'user' or 'uid_range', not both"


def test_a_user_may_be_a_number_without_quotes(loaded: Loader) -> None:
    isolation = loaded(f"{SERVER}    user: 1000\n    group: 1001\n").supervisor.servers["fs"].isolation
    assert (isolation.user, isolation.group) == ("1000", "1001")


def test_a_servers_own_user_is_instead_of_the_range_that_the_others_have(loaded: Loader) -> None:
    settings = loaded("uid_range: 600000-600009\nservers: {a: {command: x, user: nobody}, b: {command: x}}\n")
    own, others = (settings.supervisor.servers[name].isolation for name in "ab")
    assert (own.user, own.uid_range) == ("nobody", None)
    assert (others.user, others.uid_range) == (None, (600000, 600009))


def test_two_keys_of_a_server_have_another_word(loaded: Loader) -> None:
    server = loaded("servers: {fs: {command: run, timeout: 90s, maxConcurrency: 4}}").gateway.servers["fs"]
    assert (server.request_timeout, server.max_concurrency) == (90.0, 4)


def test_a_disabled_server_is_in_no_part_and_one_at_least_is_not(loaded: Loader, problems: Complainer) -> None:
    settings = loaded("servers: {on: {command: a}, off: {command: b, enabled: false}}")
    assert (list(settings.gateway.servers), settings.gateway.disabled) == (["on"], ("off",))
    assert list(settings.supervisor.servers) == ["on"]
    assert problems("port: 1\nservers: {off: {command: b, enabled: false}}") == [
        "config.yaml:2: servers: each of them has 'enabled: false'; expected at least one server without it"
    ]


def test_how_many_spares_there_are_holds_for_all_servers_that_say_nothing_else(loaded: Loader) -> None:
    settings = loaded("""\
        warm: auto
        warm_memory_max: 512MiB
        servers:
          one: {command: run}
          two: {command: run, warm: 3}
          none: {command: run, warm: 0}
        """).supervisor
    assert {name: spec.warm for name, spec in settings.servers.items()} == {"one": "auto", "two": 3, "none": 0}
    assert settings.warm_memory_max == 512 << 20


@pytest.mark.parametrize("value", ["-1", "101", "true", "2.5", "some", "null", "[1]"])
def test_a_number_of_spares_that_is_none_is_told_with_its_line(problems: Complainer, value: str) -> None:
    [problem] = problems(f"""\
        servers:
          fs:
            command: run
            warm: {value}
        """)
    assert problem.endswith(":4: servers.fs.warm: expected a number of spares from 0 to 100, or 'auto'")
