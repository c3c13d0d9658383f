"""`mcp-gateway schema`: the document without a gateway that runs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from ruamel.yaml import YAML

from tests.support.gateway import GATEWAY, LIGHT, QUICK, light, write_config
from tests.support.openapi import check, check_for_a_gpt, check_for_librechat
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow


def configured(directory: Path, servers: dict[str, Any] | None = None, **keys: Any) -> Path:
    """A configuration with the light server, or with these."""
    whole = {
        **QUICK,
        "runtime_dir": str(directory / "runtime"),
        "port": 4711,
        **keys,
        "servers": servers or {"light": LIGHT},
    }
    return write_config(directory / "config.yaml", whole)


async def ran(config: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit status of the command, what it printed, and what it said beside that."""
    env = {**os.environ, "CONFIG_PATH": str(config)}
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(
            [GATEWAY, *arguments], stdin=subprocess.DEVNULL, cwd=config.parent, env=env, check=False
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_all_that_is_configured_is_told_whoever_may_use_it_and_nothing_is_said_beside_it(tmp_path: Path) -> None:
    rules = [{"allow": ["bearer:nobody"], "to": ["light:echo"]}]
    tokens = {"bearer": {"tokens": [{"name": "nobody", "token": "s3cret-of-nobody"}]}}
    config = configured(tmp_path, access=rules, auth=tokens)
    status, printed, said = await ran(config, "--schemaDump", "--schemaFormat", "json")
    assert (status, said) == (0, "")
    found = json.loads(printed)
    check(found)
    assert found["servers"] == [{"url": "http://127.0.0.1:4711"}]
    assert {"/api/light/echo", "/api/light/path%2Flike%20tool"} <= found["paths"].keys()
    assert found["security"] == [{"bearer": []}]
    assert "s3cret" not in printed


async def test_a_server_that_fails_is_told_of_and_breaks_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path, {"light": LIGHT, "broken": light("--die-at-start")}, public_url="https://gw.test/mcp")
    status, printed, said = await ran(config, "schema", "--version", "3.0")
    assert status == 0
    assert "server 'broken' is failing: " in said
    found = YAML(typ="safe").load(printed)
    check(found)
    assert found["servers"] == [{"url": "https://gw.test/mcp"}]
    assert "/api/light/echo" in found["paths"]


async def test_a_custom_gpt_gets_a_document_only_where_it_can_call(tmp_path: Path) -> None:
    options = ("schema", "--format", "json", "--profile", "gpt", "--tool", "echo")
    status, printed, said = await ran(configured(tmp_path), *options)
    assert (status, printed) == (1, "")
    assert "'public_url'" in said
    status, printed, _ = await ran(configured(tmp_path, public_url="https://gw.test"), *options)
    assert status == 0
    check_for_a_gpt(json.loads(printed))


async def test_one_server_that_fails_leaves_the_file_that_there_was(tmp_path: Path) -> None:
    config = configured(tmp_path, {"light": LIGHT, "broken": light("--die-at-start")})
    output = tmp_path / "actions.json"
    options = ("schema", "--format", "json", "--output", str(output), "--profile", "actions")
    assert (await ran(config, *options, "--server", "light", "--tool", "echo"))[0] == 0
    kept = output.read_text()
    check_for_librechat(json.loads(kept))
    assert json.loads(kept)["paths"].keys() == {"/api/actions/sessionid", "/api/actions/light/echo"}
    status, printed, said = await ran(config, *options, "--server", "broken")
    assert (status, printed) == (1, "")
    assert "'broken' is failing" in said
    assert output.read_text() == kept


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--server", "nope"), "Error: there is no server 'nope'\n"),
        (("--config", "nope.yaml"), "nope.yaml: cannot be read: No such file or directory\n"),
        (("--output", "nope/x.yaml"), "Error: Could not open file 'nope/x.yaml': there is no such directory\n"),
    ],
)
async def test_what_is_not_there_is_said_in_a_line(tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    assert await ran(configured(tmp_path), "schema", *options) == (1, "", sentence)
