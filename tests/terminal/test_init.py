"""`mcp-gateway init`: what it asks, what it writes, and what it leaves alone."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.config.load import Settings, load
from common.hashes import sha256_of
from gateway.cli import main
from terminal.starting import KNOWN

TOKEN = "ghp_0123456789abcdefghij0123"
CLAUDE = {
    "mcpServers": {
        "github": {"command": "npx", "args": ["-y", "server"], "env": {"GITHUB_TOKEN": TOKEN}},
        "far": {"url": "https://far.example/mcp"},
        "bad\nname": {"command": "x", "disabledTools": ["rm"]},
    }
}


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*options: str, answers: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["init", *options], input=answers)
    assert "Traceback" not in result.output
    return result


def written(*options: str, answers: str | None = None, environ: dict[str, str] | None = None) -> Settings:
    """What is in the configuration that is written so."""
    result = init(*options, answers=answers)
    assert result.exit_code == 0, result.output
    return load(Path("config.yaml"), environ or {})


def tokens(result: Result) -> Sequence[str]:
    """Those that were shown."""
    return re.findall(r"^  ([\w-]{43})$", result.stdout, re.MULTILINE)


def test_without_questions_it_is_the_notepad_for_this_machine() -> None:
    settings = written("--yes").gateway
    assert (settings.hostname, settings.port, list(settings.servers)) == ("127.0.0.1", 3000, ["notepad"])
    assert not settings.auth.is_on
    assert Path("config.yaml").stat().st_mode & 0o777 == 0o600
    assert list(Path().iterdir()) == [Path("config.yaml")]


def test_every_server_to_begin_with_loads() -> None:
    names = [f"{name}=/srv" if name in ("filesystem", "git") else name for name in KNOWN]
    settings = written("--yes", *(f"--server={name}" for name in names))
    assert list(settings.gateway.servers) == list(KNOWN)
    assert settings.supervisor.servers["git"].args == ("mcp-server-git", "--repository", "/srv")


def test_answers_are_asked_for_and_written() -> None:
    settings = written(answers="machine\ntime, filesystem\n/srv/${x}\n3100\n").gateway
    assert (settings.port, list(settings.servers)) == (3100, ["time", "filesystem"])


def test_librechat_gets_a_token_that_is_shown_once_and_written_as_its_hash() -> None:
    result = init("--yes", "--for", "librechat")
    [token] = tokens(result)
    text = Path("config.yaml").read_text()
    assert token not in text
    assert result.stdout.count(token) == 1
    settings = load(Path("config.yaml"), {}).gateway
    assert [each.hashed for each in settings.auth.tokens] == [sha256_of(token)]
    assert (settings.users.trust_user_header, settings.users.trusted_fronts) == ("X-Gateway-User", ("librechat",))
    assert settings.users.require_user


def test_each_of_several_users_gets_a_token() -> None:
    result = init("--yes", "--for", "users", "--user", "ann", "--user", "bob")
    settings = load(Path("config.yaml"), {}).gateway
    assert [each.name for each in settings.auth.tokens] == ["ann", "bob"]
    assert len(set(tokens(result))) == 2


def test_nothing_is_written_over_without_force() -> None:
    Path("config.yaml").write_text("mine")
    result = init("--yes")
    assert (result.exit_code, Path("config.yaml").read_text()) == (1, "mine")
    assert "--force" in result.output
    assert init("--yes", "--force").exit_code == 0
    assert Path("config.yaml").stat().st_mode & 0o777 == 0o600


def test_whoever_cannot_answer_is_told_of_yes() -> None:
    result = init(answers="")
    assert result.exit_code == 1
    assert "--yes" in result.output
    assert not Path("config.yaml").exists()


def test_a_clients_file_is_taken_over_without_its_secrets() -> None:
    Path("claude.json").write_text(json.dumps(CLAUDE, indent="\t"))
    result = init("--yes", "--from", "claude.json")
    text = Path("config.yaml").read_text()
    assert TOKEN not in text + result.output
    assert "GITHUB_TOKEN=    # github" in result.stdout
    assert "# Left out: far: it is elsewhere" in text
    settings = load(Path("config.yaml"), {"GITHUB_TOKEN": TOKEN})
    assert settings.supervisor.servers["github"].env == {"GITHUB_TOKEN": TOKEN}
    assert list(settings.gateway.servers) == ["github", "bad-name"]
    assert settings.gateway.access is not None
    assert settings.gateway.access[1].to == ("bad-name:rm",)
    assert init("--yes", "--from", "claude.json", "--keep-secrets", "-o", "kept.yaml").exit_code == 0
    assert load(Path("kept.yaml"), {}).supervisor.servers["github"].env == {"GITHUB_TOKEN": TOKEN}


def test_what_is_said_of_a_server_is_true_of_the_one_that_is_taken_over() -> None:
    said = "each session has a graph of its own"
    assert said in (init("--yes", "--server=memory", "-o", "ours.yaml"), Path("ours.yaml").read_text())[1]
    memory = {key: value for key, value in KNOWN["memory"].items() if key != "env"}
    Path("mcpo.json").write_text(json.dumps({"mcpServers": {"memory": memory}}))
    assert init("--yes", "--from", "mcpo.json").exit_code == 0
    assert said not in Path("config.yaml").read_text()


def test_vs_codes_file_may_have_comments_and_stray_commas() -> None:
    Path("mcp.json").write_text(
        '// mine\n{ /* a */ "inputs": [],\n"servers": {"a": {"type": "stdio", "command": "x", '
        '"env": {"K": "${input:k}", "U": "http://x"},},}}'
    )
    settings = written("--yes", "--from", "mcp.json", environ={"K": "v"})
    assert settings.supervisor.servers["a"].env == {"K": "v", "U": "http://x"}
    text = init("--yes", "--from", "mcp.json", "--for", "users", "-o", "users.yaml").output
    assert "X-K" in text
    assert load(Path("users.yaml"), {}).gateway.servers["a"].personal == ("header:X-K",)


def test_harrisons_file_means_the_same_once_it_is_taken_over() -> None:
    Path("mcp-gateway.yml").write_text(
        "port: 4001\nauth: {strategy: api-key, apiKeys: [{name: a, key: a-key, tools: [x]}]}\nrateLimit: {limit: 5}\n"
        "servers:\n  - {id: one, name: One, command: run, args: ['${A}'], timeout: 5000, tags: [t]}\n"
    )
    ours = written("--yes", "--from", "mcp-gateway.yml", environ={"A": "x"}).gateway
    theirs = load(Path("mcp-gateway.yml"), {"A": "x"}).gateway
    assert [key.hashed for key in ours.auth.keys] == [key.hashed for key in theirs.auth.keys]
    assert ours.model_copy(update={"auth": theirs.auth}) == theirs


def test_a_configuration_of_ours_is_left_as_it_is() -> None:
    Path("own.yaml").write_text("servers: {a: {command: x}}\n")
    result = init("--yes", "--from", "own.yaml")
    assert (result.exit_code, Path("config.yaml").exists()) == (0, False)
    assert "mcp-gateway serve --config own.yaml" in result.output


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("{", [], "f.json:1: this is neither JSON nor YAML"),
        ("a: [1\nb: 2", [], "this is neither JSON nor YAML"),
        ("5", [], "expected a map of keys to values"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"A=B": "x"}}}}', [], "servers.a.env.A=B: expected the name"),
        ('{"mcpServers": {"a": {"command": "x\\u0000"}}}', [], "servers.a.command: expected a text without zero"),
        ('{"servers": [{"id": "a", "command": "x"}]}', ["--for", "users"], "take --for away"),
        ('{"mcpServers": {}}', ["--server", "time"], "--server is for a file that begins anew"),
        (None, [], "f.json cannot be read: No such file"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_writes_nothing(text: str | None, options: list[str], said: str) -> None:
    if text is not None:
        Path("f.json").write_text(text)
    result = init("--yes", "--from", "f.json", *options)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert not Path("config.yaml").exists()


def test_a_place_that_cannot_be_written_is_one_line() -> None:
    result = init("--yes", "--output", "none/config.yaml")
    assert result.exit_code == 1
    assert "none/config.yaml cannot be written: No such file" in result.output
    assert init("--yes", "--server", "nosuch").exit_code == 1
    assert "--server filesystem=" in init("--yes", "--server", "filesystem").output
    assert init("--yes", "--for", "users", "--user", "a b").exit_code == 1
