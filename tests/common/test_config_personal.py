"""Where a user's own may stand in the configuration; each mistake is one line that says where."""

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest
from ruamel.yaml import YAML

from common.config.load import Settings, load
from common.config.session_paths import mark
from common.config.source import ConfigError
from common.config.steering import steers

Loader = Callable[[str], Settings]
Complainer = Callable[[str], list[str]]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """What a configuration says whose server `s` has these keys, which begin on line 3."""
    monkeypatch.chdir(tmp_path)

    def read(keys: str) -> Settings:
        Path("config.yaml").write_text("servers:\n  s:\n" + indent(dedent(keys).strip("\n"), "    "), encoding="utf-8")
        return load(Path("config.yaml"), {"NAME": "${user.id}"})

    return read


@pytest.fixture
def problems(loaded: Loader) -> Complainer:
    """The lines that are said of it, without the file's name."""

    def complain(keys: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(keys)
        return [str(each).removeprefix("config.yaml:") for each in caught.value.problems]

    return complain


def test_the_gateway_learns_the_names_and_the_supervisor_where_they_stand(loaded: Loader) -> None:
    settings = loaded("""
        command: run
        headers: [X-Token, x-other]
        env: {A: "Bearer ${header:X-Token}", B: "${header:X-Other}${header:X-Token}", C: "${user.claim.https://a/b}"}
        args: [--user, "${user.id}", "${session.tmp}"]
        path: /srv/${user.id}/work
        """)
    policy, spec = settings.gateway.servers["s"], settings.supervisor.servers["s"]
    assert policy.personal == ("header:X-Token", "header:X-Other", "user.claim.https://a/b", "user.id")
    assert spec.env["A"] == f"Bearer {mark('header:X-Token')}"
    assert spec.args == ("--user", mark("user.id"), mark("session.tmp"))
    assert spec.path == f"/srv/{mark('user.id')}/work"
    assert spec.as_written == "run --user ${user.id} ${session.tmp}"
    assert "\0" not in settings.gateway.model_dump_json()


def test_a_server_without_any_is_the_same_for_everybody(loaded: Loader) -> None:
    assert loaded("command: run").gateway.servers["s"].personal == ()


def test_what_a_variable_says_is_no_placeholder_and_neither_is_the_text_itself(loaded: Loader) -> None:
    settings = loaded('command: run\nargs: ["${NAME}", "$${user.id}", "user.id"]')
    assert settings.supervisor.servers["s"].args == ("${user.id}", "${user.id}", "user.id")
    assert settings.gateway.servers["s"].personal == ()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            "env: {A: '${header:X-Token}'}",
            "servers.s.env.A: the server's 'headers' do not allow it; add X-Token to them",
        ),
        ("env: {A: '${header:}'}", "servers.s.env.A: expected ${header:NAME}, ${user.id} or ${user.claim.NAME}"),
        ("env: {A: '${header:X Token}'}", "servers.s.env.A: expected ${header:NAME}, ${user.id} or ${user.claim.NAME}"),
        ("env: {A: '${user.name}'}", "servers.s.env.A: expected ${header:NAME}, ${user.id} or ${user.claim.NAME}"),
        ("env: {A: '${user.claim.}'}", "servers.s.env.A: expected ${header:NAME}, ${user.id} or ${user.claim.NAME}"),
        ("args: ['${header:X-Token}']", "servers.s.args[0]: a header's value may stand in 'env' alone: everybody"),
        ("path: /srv/${header:X-Token}", "servers.s.path: a header's value may stand in 'env' alone: everybody"),
        (
            "headers: ['${user.id}']",
            "servers.s.headers[0]: ${user.id} may stand in a server's 'env', 'args' and 'path'",
        ),
        ("sandbox: {hidden: ['/h/${user.id}']}", "servers.s.sandbox.hidden[0]: ${user.id} may stand in a server's"),
        ("user: ${user.id}", "servers.s.user: ${user.id} may stand in a server's 'env', 'args' and 'path' alone"),
        ("args: [a, '--user=${user.id}']", "servers.s.args[1]: expected ${user.id} as one whole element of the list"),
        ("args: ['${user.id}${user.id}']", "servers.s.args[0]: expected ${user.id} as one whole element of the list"),
        ("args: [' ${user.id}']", "servers.s.args[0]: expected ${user.id} as one whole element of the list"),
        ("path: /srv/a${user.id}/b", "servers.s.path: expected ${user.id} as one whole component of the path"),
        ("path: /srv/${user.id}${user.id}", "servers.s.path: expected ${user.id} as one whole component of the path"),
        ("path: ~${user.id}", "servers.s.path: expected ${user.id} as one whole component of the path"),
        ("path: '${session.dir}${user.id}'", "servers.s.path: expected ${user.id} as one whole component of the path"),
        (
            "args: [-c, 'run \"$1\"', sh, '${user.id}']\ncommand: /bin/sh",
            "servers.s.args[3]: a user's own words may not",
        ),
        ("args: ['${user.id}']\ncommand: npx", "servers.s.args[0]: there the word of a user would be what is run"),
        ("args: [x, '${user.claim.a}']\ncommand: env", "servers.s.args[1]: 'env' runs its own words"),
        ("env: {LD_PRELOAD: '${user.id}'}", "servers.s.env.LD_PRELOAD: this variable says what is loaded or run"),
        ("headers: [X-Token]", "servers.s.headers[0]: no variable under 'env' holds ${header:X-Token}; write one"),
        ("headers: [Authorization]", "servers.s.headers[0]: this header holds what admits to the gateway"),
        ("headers: [cookie]", "servers.s.headers[0]: this header holds what admits to the gateway"),
        ("headers: [X-API-Key]", "servers.s.headers[0]: this header holds what admits to the gateway"),
        ("headers: [Mcp-Session-Id]", "servers.s.headers[0]: this header has a meaning of its own"),
        ("headers: ['X_Token']", "servers.s.headers[0]: expected the name of a header: letters, digits and '-'"),
        ("headers: X-Token", "servers.s.headers: expected a list"),
    ],
)
def test_each_mistake_is_one_line_that_says_where(keys: str, line: str, problems: Complainer) -> None:
    [said] = problems(keys if "command" in keys else f"{keys}\ncommand: run")
    assert said.startswith(f"3: {line}"), said


def test_none_may_stand_in_the_command(problems: Complainer) -> None:
    [said] = problems("command: /srv/${user.id}/run")
    assert said.startswith("3: servers.s.command: ${user.id} may stand in a server's 'env', 'args' and 'path' alone")


def test_a_header_is_allowed_once_in_whichever_case(problems: Complainer) -> None:
    assert problems("command: run\nheaders:\n  - X-Token\n  - x-token\nenv: {A: '${header:X-TOKEN}'}") == [
        "6: servers.s.headers[1]: the same header stands here twice"
    ]


@pytest.mark.parametrize(
    "name",
    """LD_PRELOAD PATH HOME TMPDIR TMP TEMP NODE_OPTIONS PYTHONPATH PYTHONSTARTUP BASH_ENV ENV GIT_SSH_COMMAND
    npm_config_registry NPM_CONFIG_PREFIX UV_INDEX_URL http_proxy HTTPS_PROXY All_Proxy PERL5LIB RUBYOPT SHELL
    JAVA_TOOL_OPTIONS GLIBC_TUNABLES GCONV_PATH SSL_CERT_FILE XDG_CONFIG_HOME ZDOTDIR
    AWS_CONFIG_FILE ODBCSYSINI""".split(),
)
def test_what_steers_a_loader_is_known_in_any_case(name: str) -> None:
    assert steers(name)


@pytest.mark.parametrize(
    "name", ["GITHUB_TOKEN", "GITLAB_TOKEN", "API_KEY", "USER_ID", "LDAP_PASSWORD", "TZ", "PROXY", "L"]
)
def test_what_steers_none_may_be_a_users_own(name: str) -> None:
    assert not steers(name)


def test_no_problem_quotes_what_stands_beside_a_placeholder(problems: Complainer) -> None:
    assert "hunter2" not in "".join(
        problems("command: run\nargs: ['hunter2${user.id}']\nenv: {PATH: 'hunter2${user.id}'}")
    )


def test_the_samples_of_the_page_load_and_speak_of_the_same_header(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "credentials.md").read_text()
    gateway, librechat = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "config.yaml"
    path.write_text(gateway)
    assert load(path, {"MCP_GATEWAY_TOKEN": "t" * 32}).gateway.servers["github"].personal == ("header:X-GitHub-Token",)
    server = YAML(typ="safe").load(librechat)["mcpServers"]["github"]
    assert server["headers"]["X-GitHub-Token"] == "{{GITHUB_TOKEN}}"
    assert "GITHUB_TOKEN" in server["customUserVars"]


def test_the_header_that_says_who_the_user_is_is_no_credential(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "trust_user_header: X-Gateway-User\ntrusted_fronts: [chat]\n"
        "auth: {bearer: {tokens: [{name: chat, token: abcdefgh}]}}\n"
        "servers:\n  s: {command: run, headers: [x-gateway-user], env: {U: '${header:X-Gateway-User}'}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (5, "servers.s.headers[0]")
    assert problem.text == "this header says who the user is; write ${user.id} instead"
