"""What the documentation prints works as it is printed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from ruamel.yaml import YAML

from common.config.answers import Answers
from common.config.file import ConfigFile, ServerEntry, SessionLimits
from common.config.load import load
from common.config.model import Isolation, Limits, Protocol
from common.config.sharing import Sharing
from common.config.warm import Warm
from common.reasons import Reason
from gateway.errors import GatewayError
from tests.support.gateway import LIGHT, NOTEPAD, ROOT, Gateway, programs, running, write_config
from tests.support.openapi import check_for_a_gpt, operations
from tests.support.processes import PATIENCE

README = (ROOT / "README.md").read_text()
REST = (ROOT / "docs" / "rest.md").read_text()
UNIFIED = (ROOT / "docs" / "unified.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of that language, dedented as a list's blocks are."""
    found = re.findall(rf"^( *)```(?:{language})\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def section(title: str) -> str:
    """One section of the README."""
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def as_pattern(output: str) -> str:
    """What was printed, whatever the process ids, the instances and the number of children that are still ending."""
    pattern = re.escape(output)
    for what, any_ in {
        r'pid\\\\":\\ \d+': r'pid\\\\":\\ \\d+',
        r'"pid":\d+': r'"pid":\\d+',
        r'instance\\\\":\\ \\\\"\w+': r'instance\\\\":\\ \\\\"\\w+',
        r'"instance":"\w+': r'"instance":"\\w+',
        r'"ending":\d': r'"ending":\\d',
        r'"reaping":"\w+': r'"reaping":"\\w+',
        r'"version":"[^"]+"': r'"version":"[^"]+"',
        r'"(since|asked)":"[^"]+"': r'"\1":"[^"]+"',
        r'"startSeconds":[\d\\.]+': r'"startSeconds":[\\d.]+',
    }.items():
        pattern = re.sub(what, any_, pattern)
    return pattern


@pytest.mark.slow
async def test_the_walk_through_prints_what_it_says(tmp_path: Path) -> None:
    text = section("See that sessions are their own")
    commands, outputs = blocks(text, "sh"), blocks(text, "json")
    assert len(commands) == 3
    assert len(outputs) == 3
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path, list_at_start=True) as gateway:
        await gateway.said("server 'notepad': 4 tools")
        await prints(gateway, commands, outputs)


@pytest.mark.slow
async def test_servers_are_taken_over_looked_at_and_called_as_it_is_printed(tmp_path: Path) -> None:
    text = section("Use your own servers")
    (take, call), [taken], [called] = (blocks(text, language) for language in ("sh", "text", "json"))
    theirs = tmp_path / ".config" / "Claude" / "claude_desktop_config.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(json.dumps({"mcpServers": {"notes": NOTEPAD}}))
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(["sh", "-ec", take], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    pattern = re.sub(r"\d\\\.\d\d", r"\\d+\\.\\d\\d", re.escape(taken))
    assert re.fullmatch(pattern, re.sub(" +\n", "\n", done.stdout.decode())), done.stdout.decode()
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        await prints(gateway, [call], [called])
        assert "http://localhost:3000/docs" in text
        assert (await gateway.http.get("/docs")).status_code == 200


@pytest.mark.slow
async def test_a_client_without_sessions_gets_what_the_page_prints(tmp_path: Path) -> None:
    text = PROTOCOL.partition("## Clients without sessions")[2].partition("\n### ")[0]
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        await prints(gateway, blocks(text, "sh"), blocks(text, "json"))


@pytest.mark.slow
async def test_calls_over_rest_print_what_the_page_says(tmp_path: Path) -> None:
    curl, _, python = REST.partition("## A walk-through")[2].partition("\n## ")[0].partition("The same in Python")
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        await prints(gateway, blocks(curl, "sh"), blocks(curl, "json|text"))
        [script], [expected] = blocks(python, "python"), blocks(python, "text")
        script = script.replace("http://localhost:3000", gateway.url)
        with anyio.fail_after(PATIENCE):
            result = await anyio.run_process([sys.executable, "-c", script], stderr=subprocess.STDOUT)
    assert result.stdout.decode() == expected


@pytest.mark.slow
async def test_a_custom_gpt_is_set_up_and_asks_as_its_page_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "custom-gpt.md").read_text()
    [keys], [fetch, asks] = blocks(page, "yaml"), blocks(page, "sh")
    monkeypatch.setenv("GPT_TOKEN", "s3cret-of-a-gpt")
    monkeypatch.chdir(tmp_path)
    async with running(
        {"notepad": NOTEPAD, "light": LIGHT}, tmp_path=tmp_path, **YAML(typ="safe").load(keys)
    ) as gateway:
        await prints(gateway, [fetch, asks], ["", *blocks(page, "json")])
    document = json.loads((tmp_path / "gpt.json").read_text())
    check_for_a_gpt(document)
    assert document["servers"] == [{"url": "https://mcp.example.com"}]
    called = [f"/api/{path}" for path in re.findall(r"localhost:3000/api/([\w/]+)", asks)]
    assert set(called) <= document["paths"].keys()
    sent = {each["operationId"]: each["x-openai-isConsequential"] for _, each in operations(document)}
    assert sent == {
        "getSession": False,
        "endSession": False,
        **dict.fromkeys(("notepad__add", "notepad__list", "notepad__clear", "notepad__whoami"), True),
    }


@pytest.mark.slow
async def test_the_unified_api_answers_what_its_page_prints(tmp_path: Path) -> None:
    text = UNIFIED.partition("## Try it")[2].partition("\n## ")[0]
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        await prints(gateway, blocks(text, "sh"), blocks(text, "json"))


async def prints(gateway: Gateway, commands: list[str], outputs: list[str]) -> None:
    """Each of the commands, in one shell with those before it, prints what is said."""
    script = "\n".join(f"{command}printf '\\0'" for command in commands)
    script = script.replace("localhost:3000", gateway.url.removeprefix("http://"))
    with anyio.fail_after(PATIENCE):
        result = await anyio.run_process(["bash", "-euc", script], stderr=subprocess.STDOUT)
    for printed, expected in zip(result.stdout.decode().split("\0"), outputs, strict=False):
        assert re.fullmatch(as_pattern(expected), printed), f"{printed}\n{as_pattern(expected)}"


@pytest.mark.slow
async def test_one_url_serves_either_kind_of_client(tmp_path: Path) -> None:
    from mcp import ClientSession
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    assert "one URL, `http://localhost:3000/notepad`" in README
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        for client in (sse_client, streamable_http_client):
            async with client(f"{gateway.url}/notepad") as streams, ClientSession(*streams[:2]) as session:
                await session.initialize()
                assert not (await session.call_tool("whoami")).is_error


def test_the_librechat_snippets_load_and_keep_librechats_rules(tmp_path: Path) -> None:
    gateway, librechat, own = (YAML(typ="safe").load(block) for block in blocks(section("Connect LibreChat"), "yaml"))
    [token] = gateway["auth"]["bearer"]["tokens"]
    assert token == {"name": gateway["trusted_fronts"][0], "token": "${MCP_GATEWAY_TOKEN}"}
    assert gateway["trust_user_header"] == "X-Gateway-User"
    server = librechat["mcpServers"]["notepad"]
    assert server["type"] == "streamable-http"
    assert server["headers"]["X-Gateway-User"] == "{{LIBRECHAT_USER_ID}}"
    assert librechat["mcpSettings"]["allowedAddresses"][0] in server["url"]
    path = tmp_path / "config.yaml"
    YAML().dump(gateway | own, path)
    [server] = load(path, {"MCP_GATEWAY_TOKEN": "s3cret-of-librechat"}).gateway.servers.values()
    assert server.personal == ("header:X-GitHub-Token",)


def test_the_samples_of_configuration_load(tmp_path: Path) -> None:
    [whole] = blocks(section("Configuration"), "yaml")
    [sandbox] = blocks((ROOT / "docs" / "configuration.md").read_text(), "yaml")
    path = tmp_path / "config.yaml"
    path.write_text(whole)
    [server] = load(path, {}).supervisor.servers.values()
    assert server.isolation.sandbox is not None
    assert server.isolation.sandbox.writable == (server.args[-1],)
    path.write_text(f"{sandbox}servers: {{files: {{command: x}}}}\n")
    [server] = load(path, {}).supervisor.servers.values()
    assert server.isolation.sandbox is not None
    assert not server.isolation.sandbox.network


def test_the_samples_of_the_users_page_load_and_fit_together(tmp_path: Path) -> None:
    front, librechat, pages = blocks((ROOT / "docs" / "users.md").read_text(), "yaml")
    path = tmp_path / "config.yaml"
    path.write_text(front)
    settings = load(path, {"MCP_GATEWAY_TOKEN": "s3cret-of-librechat", "OTHER_TOKEN": "s3cret-of-another"}).gateway
    assert settings.users.require_user
    [entry] = YAML(typ="safe").load(librechat)["mcpServers"].values()
    assert entry["headers"][settings.users.trust_user_header] == "{{LIBRECHAT_USER_ID}}"
    path.write_text(pages)
    assert load(path, {}).gateway.cors is not None


def test_the_sample_of_shared_children_loads(tmp_path: Path) -> None:
    [sample] = blocks((ROOT / "docs" / "sharing.md").read_text(), "yaml")
    path = tmp_path / "config.yaml"
    path.write_text(sample)
    settings = load(path, {"LIBRECHAT_TOKEN": "x"}).gateway
    assert settings.users.require_user  # else the users of one front would share a child
    servers = settings.servers
    assert [each.is_shared for each in servers.values()] == [True, True]
    assert servers["memory"].linger == 600
    assert servers["shell"].sharing_headers == ("X-Conversation-Id",)


def test_every_key_is_documented_with_its_default() -> None:
    table = "".join(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))
    groups = (SessionLimits, Isolation, Protocol, Answers, Sharing, Warm)
    shared = {"limits"}.union(*(group.model_fields for group in groups))
    keys = [key for key in ConfigFile.model_fields if key not in {"auth", "cors", "debug", "limits", "servers"}]
    keys += [f"servers.NAME.{key}" for key in ServerEntry.model_fields if key not in shared]
    keys += [f"limits.{key}" for key in Limits.model_fields]
    keys += [
        "cors.origins",
        "cors.max_age",
        "debug.level",
        "auth.basic.enabled",
        "auth.basic.credentials",
        "auth.bearer.enabled",
        "auth.bearer.tokens",
    ]
    for key in keys:
        assert f"| `{key}` |" in table, key
    defaults = {"port": "3000", "hostname": "127.0.0.1", "max_sessions": "200", "node": "gw", "debug.level": "info"}
    defaults |= {"idle_timeout": "30m", "max_lifetime": "24h", "start_timeout": "24s", "request_timeout": "5m"}
    defaults |= {"stop_grace": "2s", "terminate_grace": "3s", "kill_grace": "5s", "max_message_bytes": "16MiB"}
    defaults |= {"queue_max": "100", "queue_timeout": "10s", "reaping": "auto", "reattach_grace": "30s"}
    defaults |= {"limits.memory_max": "1GiB", "limits.tasks_max": "512", "limits.cpu_max": "null"}
    defaults |= {"limits.open_files_max": "4096", "limits.file_size_max": "1GiB", "limits.dir_size_max": "1GiB"}
    defaults |= {"no_new_privs": "true", "home": "private", "sandbox": "none", "stderr_files": "false"}
    defaults |= {"warm": "0", "resumable": "true", "modern": "auto", "era": "auto", "anonymous": "ephemeral"}
    defaults |= {"affinity_cookie": "true", "handles": "off", "isolation": "session", "linger": "5m"}
    for key, default in defaults.items():
        assert f"| `{key}` | `{default}` |" in table, key


def test_the_documented_defaults_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("servers: {x: {command: x}}")
    settings = load(path)
    spec, policy = settings.supervisor.servers["x"], settings.gateway.servers["x"]
    assert (spec.idle_timeout, spec.max_lifetime, spec.graces.stop, spec.graces.terminate) == (1800, 86400, 2, 3)
    assert (spec.graces.kill, policy.start_timeout, policy.request_timeout) == (5, 24, 300)
    assert (policy.max_message_bytes, settings.supervisor.max_sessions) == (16 * 1024 * 1024, 200)
    assert (settings.gateway.hostname, settings.gateway.port, settings.gateway.node) == ("127.0.0.1", 3000, "gw")


def test_every_code_is_documented_with_its_status() -> None:
    text = (ROOT / "docs" / "gateway.md").read_text()
    pages = [page.read_text().partition("## Errors")[2] for page in sorted((ROOT / "docs").glob("*.md"))]
    rows = [line.split(" | ") for page in pages for line in page.splitlines() if line.startswith("| `")]
    documented = {code: int(status) for codes, status, *_ in rows for code in re.findall(r"`(\w+)`", codes)}
    for code, status in documented.items():
        assert GatewayError(Reason(code), "").status == status, code
    ends = set(re.findall(r"`(\w+)`", text.partition("A session ends when")[2].partition("and then its child")[0]))
    # These are seen in the log alone.
    of_children = {Reason.LINGERED, Reason.CREDENTIAL_CHANGED}
    assert set(Reason) - set(documented) - ends == {Reason.CLIENT_STALLED, Reason.GATEWAY_LOST} | of_children


@pytest.mark.slow
async def test_both_programs_run_apart_as_the_page_prints_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor, gateway = blocks((ROOT / "docs" / "supervisor.md").read_text(), "sh")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "config.yaml", {"port": 0, "servers": {"light": LIGHT}})
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    make_directory, start_supervisor = supervisor.strip().splitlines()
    await anyio.run_process(["bash", "-ec", make_directory])
    async with programs(["bash", "-ec", f"exec {start_supervisor}"]) as one:
        await one.said("waiting for the gateway at ")
        async with programs(["bash", "-ec", f"exec {gateway}"]) as other:
            other.url = (await other.said(r"listening on (\S+) for"))[1]
            async with other.connecting():
                assert await other.text(await other.session_id(), "echo", text="apart") == "apart"


def test_the_diagram_of_a_childs_life_is_the_table() -> None:
    drawn = subprocess.run([sys.executable, str(ROOT / "scripts" / "diagram"), "--check"], check=False)
    assert drawn.returncode == 0, "scripts/diagram draws it again"
