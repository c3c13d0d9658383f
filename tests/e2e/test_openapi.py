"""OpenAPI documents of a live gateway: valid whatever its servers say, for each caller their own, and good to call by."""

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import httpx2
import pytest
from ruamel.yaml import YAML

from tests.e2e.test_docs import blocks
from tests.support.gateway import LIGHT, MODERN, NOTEPAD, ROOT, SERVERS, Gateway, light, running
from tests.support.node import node
from tests.support.openapi import check, check_for_librechat, operations
from tests.support.processes import PATIENCE
from tests.support.users import FRONT, KEYS, OTHER, of

pytestmark = pytest.mark.slow

ODD: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "odd.py")]}


def script(name: str, **keys: Any) -> dict[str, Any]:
    """A server of the tests' that is made with the SDK."""
    return {"command": sys.executable, "args": [str(SERVERS / name)], **keys}


ALL: dict[str, Any] = {
    "notepad": {**NOTEPAD, "name": "The Notepad"},
    "light": LIGHT,
    "modern": MODERN,
    "dual": script("dual.py"),
    "curious": script("curious.py"),
    "legacy": script("everything_legacy.py"),
    "newer": script("everything_modern.py"),
    "odd": ODD,
    "many": {**ODD, "args": [*ODD["args"], "--many", "120"]},
    "broken": light("--die-at-start"),
    "own": {**LIGHT, "headers": ["X-Own"], "env": {"OWN": "${header:X-Own}"}, "allow_shared_uid": True},
}
ACCESS = [
    {"allow": ["bearer:librechat"], "to": ["*"]},
    {"allow": ["bearer:ci"], "to": ["notepad", "light:echo"]},
]


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with all of them, of which one key may use little."""
    async with running(ALL, tmp_path=tmp_path_factory.mktemp("gateway"), access=ACCESS, **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def gateway(module: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections that end with the test, and on which the key asks that may use everything."""
    async with module.connecting():
        module.http.headers.update(FRONT)
        yield module


async def document(gateway: Gateway, path: str = "/openapi.json", **more: Any) -> Any:
    """The document there."""
    answer = await gateway.http.get(path, **more)
    assert answer.status_code == 200, answer.text
    if path.endswith(".yaml"):
        assert answer.headers["content-type"] == "application/yaml"
        return YAML(typ="safe").load(answer.text)
    return answer.json()


async def test_the_documents_of_all_servers_are_valid_and_one_that_fails_breaks_nothing(gateway: Gateway) -> None:
    whole = await document(gateway)
    assert whole["servers"] == [{"url": gateway.url}]
    check(whole)
    tags = {each["name"]: each for each in whole["tags"]}
    assert tags.keys() == {*ALL, "gateway"}
    assert tags["notepad"]["x-displayName"] == "The Notepad"
    assert {name for name, tag in tags.items() if "x-failing" in tag} == {"broken", "own"}
    assert "'broken' is failing" in whole["info"]["description"]
    known = {operation["tags"][0] for _, operation in operations(whole)}
    assert known == ALL.keys() - {"broken", "own"} | {"gateway"}
    check(await document(gateway, params={"version": "3.0"}))


@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_the_document_of_one_server_is_valid_in_either_format(gateway: Gateway, version: str) -> None:
    found = await document(gateway, "/api/odd/openapi.json", params={"version": version})
    assert found["openapi"].startswith(version)
    check(found)
    assert found == await document(gateway, "/api/odd/openapi.yaml", params={"version": version})


async def test_what_each_call_must_bear_of_its_user_is_in_the_document(gateway: Gateway) -> None:
    found = await document(gateway, "/api/own/openapi.json", headers={"X-Own": "mine"})
    check(found)
    parameters = found["paths"]["/api/own/echo"]["post"]["parameters"]
    assert [each["name"] for each in parameters if "name" in each] == ["X-Own"]


async def test_an_operation_has_the_same_id_in_the_document_of_all_servers_and_of_one(gateway: Gateway) -> None:
    whole = {path: each["operationId"] for path, each in operations(await document(gateway))}
    one = {path: each["operationId"] for path, each in operations(await document(gateway, "/api/odd/openapi.json"))}
    assert one.items() <= whole.items()


async def test_whatever_a_tool_is_called_its_path_leads_to_it(gateway: Gateway) -> None:
    found = await document(gateway, "/api/odd/openapi.json")
    [tag] = [each for each in found["tags"] if each["name"] == "odd"]
    assert tag["x-left-out"] == ["..", "/rooted"]  # and one has no name at all, so the catalog knows nothing of it
    id_ = await gateway.session_id()
    for path, operation in operations(found):
        if "x-mcp-tool" in operation:
            answer = await gateway.http.post(path, params={"sessionId": id_}, json={})
            if answer.status_code == 200:  # else its arguments are others, and it was found all the same
                assert (
                    json.loads(answer.json()["content"][0]["text"])[0] == operation["x-mcp-tool"] == unquote(path[9:])
                )
            else:
                assert answer.json()["error"]["code"] != "tool_not_found", path


async def test_each_caller_is_told_of_what_they_may_use_and_nobody_else_of_anything(gateway: Gateway) -> None:
    theirs = await document(gateway, headers=OTHER)
    assert {path for path in theirs["paths"] if path.startswith(("/api/light/", "/api/odd/"))} == {"/api/light/echo"}
    assert {each["name"] for each in theirs["tags"]} == {"notepad", "light", "gateway"}
    denied = await gateway.http.get("/api/odd/openapi.json", headers=OTHER)
    unknown = await gateway.http.get("/api/nope/openapi.json", headers=OTHER)
    assert (denied.status_code, denied.text) == (404, unknown.text.replace("nope", "odd"))
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE) as nobody:
        for method, path in (
            ("GET", "/openapi.json"),
            ("GET", "/openapi.yaml"),
            ("GET", "/api/light/openapi.json"),
            ("GET", "/api/nope/openapi.json"),
            ("GET", "/api/actions/sessionid"),
            ("POST", "/api/actions/light/echo"),
            ("POST", "/api/actions/nope/echo"),
        ):
            answer = await nobody.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), path


async def test_a_client_that_has_the_document_is_sent_no_other(gateway: Gateway) -> None:
    path = "/api/light/openapi.json"
    first = await gateway.http.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    known = {"If-None-Match": first.headers["etag"]}
    again = await gateway.http.get(path, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert "content-length" not in again.headers
    anew = await gateway.http.get(path, params={"refresh": "true"}, headers=known)
    assert anew.status_code == 304  # a child was asked again, and says the same
    assert (await gateway.http.get(path, headers={**known, **OTHER})).status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("version=2", "bad_request"),
        ("profile=gtp", "bad_request"),
        ("refresh=perhaps", "bad_request"),
        ("tool=nope", "tool_not_found"),
    ],
)
async def test_a_query_that_asks_for_nothing_there_is_told_so(gateway: Gateway, query: str, code: str) -> None:
    answer = await gateway.http.get(f"/api/light/openapi.json?{query}")
    assert answer.json()["error"]["code"] == code


async def test_a_document_that_is_too_large_for_librechat_is_asked_for_by_its_tools(gateway: Gateway) -> None:
    refused = await gateway.http.get("/openapi.json?profile=actions")
    assert refused.status_code == 400
    assert "?tool=" in refused.json()["error"]["message"]
    found = await document(gateway, "/openapi.json?profile=actions&tool=tool7&tool=whoami")
    assert {path.rpartition("/")[2] for path in found["paths"]} == {"sessionid", "tool7", "whoami"}
    check(found)
    check_for_librechat(found)


async def test_a_custom_gpt_is_told_what_it_needs(gateway: Gateway) -> None:
    refused = await gateway.http.get("/api/light/openapi.json?profile=gpt")
    assert (refused.status_code, "'public_url'" in refused.json()["error"]["message"]) == (400, True)


async def carried_out(given: dict[str, Any]) -> Any:
    """What LibreChat's own converter and requests make of it."""
    command = [node(), str(ROOT / "tests" / "e2e" / "node" / "librechat" / "actions.mjs")]
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(command, input=json.dumps(given).encode(), stderr=None)
    return json.loads(done.stdout)


BEARER = {"auth": {"type": "service_http", "authorization_type": "bearer"}, "api_key": "s3cret-of-librechat"}


async def test_librechat_makes_tools_of_the_documents_and_reads_every_answer(gateway: Gateway) -> None:
    calls = [
        ("notepad", "notepad__list", {"sessionId": ""}),
        ("notepad", "getSession", {}),
        ("notepad", "notepad__add", {"sessionId": "$ID", "text": "by a model"}),
        ("notepad", "notepad__list", {"sessionId": "$ID"}),
        ("notepad", "notepad__list", {"sessionId": "somebody else's"}),
        ("odd", "getSession", {}),
        ("odd", "odd__session", {"gatewaySessionId": "$ID", "sessionId": "of the tool"}),
        ("odd", "odd__id", {"sessionId": "$ID"}),
        ("legacy", "getSession", {}),
        ("light", "getSession", {}),
        ("light", "light__refuse", {"sessionId": "$ID"}),
    ]
    answers: dict[str, list[str]] = {}
    for server in ("notepad", "odd", "legacy", "light"):
        text = (await gateway.http.get(f"/api/{server}/openapi.json?profile=actions")).text
        check(json.loads(text))
        check_for_librechat(json.loads(text))
        own = [{"tool": tool, "given": given} for name, tool, given in calls if name == server]
        done = await carried_out({"document": text, "calls": own, "auth": BEARER})
        answers[server] = done["answers"]
        assert len(done["tools"]) == len(list(operations(json.loads(text))))
    without, _, _, listed, unknown = (json.loads(each) for each in answers["notepad"])
    assert "getSession" in without["error"]["message"]
    assert listed["structuredContent"]["result"] == ["by a model"]
    assert (unknown["error"]["code"], "getSession" in unknown["error"]["message"]) == ("session_not_found", True)
    of_odd = [json.loads(json.loads(each)["content"][0]["text"]) for each in answers["odd"][1:]]
    assert of_odd == [["session", {"sessionId": "of the tool"}], ["{id}", {}]]
    assert json.loads(answers["light"][1])["error"]["code"] == "child_error"


async def test_who_is_one_person_needs_no_session_id_and_has_a_session_of_their_own(gateway: Gateway) -> None:
    async def added(user: str) -> Any:
        answer = await gateway.http.post("/api/actions/light/add", headers=of(user), json={"text": user})
        assert answer.status_code == 200
        return answer.json()["content"][0]["text"]

    found = await document(gateway, "/api/light/openapi.json?profile=actions", headers=of("ann"))
    shared = await document(gateway, "/api/light/openapi.json?profile=actions")
    required = [
        each["paths"]["/api/actions/light/add"]["post"]["parameters"][0]["required"] for each in (found, shared)
    ]
    assert required == [False, True]
    assert [await added(user) for user in ("ann", "ann", "bob")] == ["1", "2", "1"]


async def test_every_answer_to_an_action_is_a_200_once_somebody_was_let_in(gateway: Gateway) -> None:
    id_ = await gateway.session_id()
    json_ = {"Content-Type": "application/json"}
    for path, body, code in (
        ("nope/echo", "{}", "server_not_found"),
        ("light/nope", "{}", "tool_not_found"),
        ("light/echo", "[]", "bad_request"),
        ("light/echo", "{", "invalid_json"),
        ("light/die", "{}", "child_exited"),
        ("light/echo", "{}", "session_not_found"),
        ("broken/echo", "{}", "start_failed"),
    ):
        answer = await gateway.http.post(f"/api/actions/{path}?sessionId={id_}", content=body, headers=json_)
        assert answer.status_code == 200, path
        found = answer.json()["error"]["code"]
        assert found == code or path.startswith("broken"), (path, found)
    elsewhere = await gateway.http.post(f"/api/light/nope?sessionId={await gateway.session_id()}", json={})
    assert elsewhere.status_code == 404


def with_programs() -> dict[str, str]:
    """The environment of somebody who has installed the gateway's programs."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


PAGE = (ROOT / "docs" / "openapi.md").read_text()


async def test_the_page_prints_what_its_commands_print(tmp_path: Path) -> None:
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        commands, outputs = blocks(PAGE, "sh"), [*blocks(PAGE, "yaml"), *blocks(PAGE, "json")]
        script = "\n".join(f"{command}printf '\\0'" for command in commands)
        script = script.replace("localhost:3000", gateway.url.removeprefix("http://"))
        with anyio.fail_after(2 * PATIENCE):  # one of them starts a gateway of its own
            done = await anyio.run_process(["bash", "-euc", script], cwd=tmp_path, stderr=None, env=with_programs())
        printed = [each for each in done.stdout.decode().split("\0") if each]
        assert printed == [each.replace("http://localhost:3000", gateway.url) for each in outputs]
        check(YAML(typ="safe").load((tmp_path / "notepad.yaml").read_text()))
        document = (tmp_path / "actions.json").read_text()
        answered = await carried_out({"document": document, "calls": [{"tool": "getSession", "given": {}}]})
        assert {each["name"] for each in answered["tools"]} == {"getSession", "notepad__add", "notepad__list"}
        assert "sessionId" in answered["answers"][0]
