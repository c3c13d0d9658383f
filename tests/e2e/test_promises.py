"""What the OpenAPI document promises, the gateway keeps: Schemathesis tries it on a live one, with a session.

The servers are the tests' own, and a real one. What one of them does on purpose that no well-meaning server would do
(hold a call, answer with an error of JSON-RPC, die) is left out by the rules of `access`, and not by fewer checks: all
are on.
"""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.gateway import LIGHT, MODERN, NOTEPAD, SERVERS, Gateway, running
from tests.support.processes import PATIENCE
from tests.support.users import FRONT, KEYS

pytestmark = pytest.mark.slow

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")

ALL: dict[str, Any] = {
    "notepad": NOTEPAD,
    "time": {"command": str(Path(sys.executable).parent / "mcp-server-time")},
    "everything": {"command": sys.executable, "args": [str(SERVERS / "everything.py")]},
    "curious": {"command": sys.executable, "args": [str(SERVERS / "curious.py")]},
    "modern": MODERN,
    "light": LIGHT,
}
TRIED = {
    "notepad": ["*"],
    "time": ["*"],
    "everything": [
        "test_image_content",
        "test_multiple_content_types",
        "test_error_handling",
        "test_tool_with_logging",
        "test_elicitation",
        "json_schema_2020_12_tool",
    ],
    "curious": ["think", "climb_and_ask"],
    "modern": ["echo", "structure"],
    "light": ["echo", "fail"],
}
"""Of each server the tools that behave."""

CONFIGURATION = """
[checks.positive_data_acceptance]
# Whether an answer has a content of that number is known once it is there.
expected-statuses = ["2xx", 401, 403, 404, 406, 409, 429]

[[operations]]
# A cursor is the end of the page before: no text that somebody makes up is one.
include-operation-id = ["listTools", "listSessions", "listResources", "listResourceTemplates", "listPrompts"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 429]

[[operations]]
# A session may be named in the query or in the body, and not two of them in both: no schema can say that.
include-operation-id = "callTool"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 406, 409, 429]

[[operations]]
# What there is, in place of what there is not.
include-path-regex = "^/api/v1/servers/"
parameters = { "path.server" = "everything", "path.name" = "test_simple_prompt", "query.uri" = "test://static-text" }
"""

IN_SESSION = """
[[operations]]
# Each time it would start all servers.
include-operation-id = ["listServers", "listTools"]
parameters = {{ "query.refresh" = "false" }}

[[operations]]
# All that can be sent is enumerated of one tool, for the schemas of all are checked by the same code.
include-tag = [{servers}]
exclude-operation-id = "everything__json_schema_2020_12_tool"
phases.coverage.enabled = false

[[operations]]
# An id that somebody makes up is nobody's.
include-tag = [{servers}]
parameters = {{ "query.sessionId" = "{session}" }}
"""


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with all of them."""
    rules = [{"allow": "*", "to": [f"{server}:{tool}" for server, tools in TRIED.items() for tool in tools]}]
    auth = {"auth": KEYS["auth"]}
    async with running(ALL, tmp_path=tmp_path_factory.mktemp("gateway"), access=rules, **auth) as gateway:
        yield gateway


@pytest.fixture
async def gateway(module: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections that end with the test."""
    async with module.connecting():
        module.http.headers.update(FRONT)
        yield module


async def tried(gateway: Gateway, directory: Path, *options: str, configuration: str = "") -> str:
    """What Schemathesis says of the gateway; it has to find nothing wrong."""
    (directory / "schemathesis.toml").write_text(CONFIGURATION + configuration)
    command = [
        SCHEMATHESIS,
        "run",
        f"{gateway.url}/openapi.json",
        "--header",
        f"Authorization: {FRONT['Authorization']}",
    ]
    fixed = ["--generation-deterministic", "--continue-on-failure", "--no-color", "--checks=all"]
    with anyio.fail_after(5 * PATIENCE):
        done = await anyio.run_process([*command, *fixed, *options], cwd=directory, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


async def test_every_path_takes_what_its_schema_allows_and_answers_as_the_document_says(
    gateway: Gateway, tmp_path: Path
) -> None:
    servers = ", ".join(f'"{server}"' for server in ALL)
    configuration = IN_SESSION.format(servers=servers, session=await gateway.session_id())
    phases = ["--phases=coverage,fuzzing", "--max-examples=3"]
    said = await tried(gateway, tmp_path, *phases, configuration=configuration)
    assert re.search(r"Coverage .*\s+.* [1-9]\d passed", said)
    assert re.search(r"Fuzzing .*\s+.* [3-9]\d passed", said)
    # Those that were answered with a 404 alone.
    missed = said.partition("Missing test data")[2].partition("Schema validation mismatch")[0]
    assert "GET /api/certificates" in missed
    assert not re.search(r"- POST /api/(?!v1/)", missed), missed


async def test_a_session_leads_to_calls_by_the_links_of_the_document(gateway: Gateway, tmp_path: Path) -> None:
    said = await tried(gateway, tmp_path, "--phases=stateful", "--max-examples=6")
    assert re.search(r"API Links: +[1-9]\d* covered", said)
    assert "session_not_found" not in said
