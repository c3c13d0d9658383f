"""A client that a real generator makes of the document, and that calls tools with it."""

import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.gateway import NOTEPAD, Gateway, light, running
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

GENERATOR = str(Path(sys.executable).parent / "openapi-python-client")
PACKAGE = "generated_client"


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with several servers, two of which are the same."""
    servers = {"light": light(), "notepad": NOTEPAD, "notebook": NOTEPAD}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package that the generator writes, imported here."""
    # Its own timeout is five seconds, which a document that is made for the first time may take on a busy machine.
    options = {"package_name_override": PACKAGE, "post_hooks": [], "http_timeout": int(2 * PATIENCE)}
    (tmp_path / "generator.yaml").write_text(json.dumps(options))
    arguments = ["--meta", "none", "--config", "generator.yaml", "--output-path", PACKAGE, "--fail-on-warning"]
    command = [GENERATOR, "generate", "--url", f"{gateway.url}/openapi.json", *arguments]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(PACKAGE)
    for name in [each for each in sys.modules if each.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def part(name: str) -> ModuleType:
    """A module of the generated package."""
    return importlib.import_module(f"{PACKAGE}.{name}")


async def test_a_generated_client_gets_a_session_calls_tools_and_reads_results_and_errors(
    gateway: Gateway, client: ModuleType
) -> None:
    models = part("models")
    async with client.Client(base_url=gateway.url) as connection:
        id_ = (await part("api.gateway.get_session").asyncio(client=connection)).session_id
        body = models.NotepadAddInput(text="generated")
        added = await part("api.notepad.notepad_add").asyncio(client=connection, body=body, session_id=id_)
        assert added.structured_content.result == "note 1 added"
        listed = await part("api.notepad.notepad_list").asyncio(client=connection, session_id=id_)
        assert listed.structured_content.result == ["generated"]
        notes = await part("api.light.light_notes").asyncio(client=connection, session_id=id_)
        assert notes.content[0].text == "[]"
        refused = await part("api.notepad.notepad_list").asyncio_detailed(client=connection, session_id="gw.nobodys")
        assert refused.status_code == 404
        assert refused.parsed.error.code == "session_not_found"
        ended = await part("api.gateway.end_session").asyncio_detailed(client=connection, session_id=id_)
        assert ended.status_code == 204
