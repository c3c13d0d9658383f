"""REST: pictures, sounds and files as bytes, resources and prompts; and a caller who has no name."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.gateway import SERVERS, Gateway, running

pytestmark = pytest.mark.slow

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PNG = {"Accept": "image/png"}
OF = "/api/v1/servers/gallery"
SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


def gallery(**keys: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "gallery.py")], **keys}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with pictures."""
    async with running({"gallery": gallery()}, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


async def show(gateway: Gateway, accept: str, *content: Any, **query: Any) -> httpx2.Response:
    """What a tool with that result is answered with."""
    params = {"sessionId": await gateway.session_id(), **query}
    url, body = "/api/gallery/show", {"content": content}
    answer = await gateway.http.post(url, params=params, json=body, headers={"Accept": accept})
    await gateway.http.delete("/api/sessionid", params={"sessionId": params["sessionId"]})
    return answer


def labels(answer: httpx2.Response) -> tuple[str | None, ...]:
    names = ("content-security-policy", "x-content-type-options", "cache-control", "content-disposition")
    return tuple(answer.headers.get(name) for name in names)


async def test_a_picture_of_any_size_comes_as_bytes_where_it_is_wanted_and_as_json_else(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    url = f"/api/gallery/picture?sessionId={id_}"
    size = 8 * 1024 * 1024 + 1
    seen = await one_gateway.http.post(url, json={"bytes": size}, headers=PNG)
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/png")
    assert (seen.headers["content-length"], seen.content) == (str(size), bytes(size))
    assert labels(seen) == (SANDBOX, "nosniff", "no-store", None)
    whole = await one_gateway.http.post(url, json={"bytes": 3})
    assert whole.json()["content"][1] == {"type": "image", "mimeType": "image/png", "data": "AAAA"}
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_what_is_not_there_is_a_406_and_a_tool_that_failed_is_told_in_json(one_gateway: Gateway) -> None:
    refused = await show(one_gateway, "image/png", {"type": "text", "text": "none"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (406, "not_acceptable")
    assert refused.json()["error"]["about"]["content"] == [{"content": 0, "type": "text", "mimeType": "text/plain"}]
    id_ = await one_gateway.session_id()
    failed = await one_gateway.http.post(f"/api/gallery/fail?sessionId={id_}", json={}, headers=PNG)
    assert (failed.status_code, failed.json()["isError"]) == (200, True)
    broken = await show(one_gateway, "image/png", {"type": "image", "mimeType": "image/png", "data": "?"})
    assert (broken.status_code, broken.json()["error"]["code"]) == (502, "child_error")
    for query in ({"content": "x"}, {"content": "-1"}, {"raw": "perhaps"}, {"questions": "never"}):
        assert (await show(one_gateway, "*/*", **query)).status_code == 400
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_a_content_can_be_named_and_a_page_is_never_shown(one_gateway: Gateway) -> None:
    page = {"type": "resource", "resource": {"uri": "file:///a/evil.html", "mimeType": "text/html", "text": "<script>"}}
    answer = await show(one_gateway, "*/*", {"type": "text", "text": "see"}, page, content=1)
    assert (answer.headers["content-type"], answer.text) == ("text/html; charset=utf-8", "<script>")
    assert labels(answer) == (SANDBOX, "nosniff", "no-store", 'attachment; filename="evil.html"')


async def test_resources_are_listed_whole_and_read_as_json_or_as_bytes(one_gateway: Gateway) -> None:
    http = one_gateway.http
    listed = (await http.get(f"{OF}/resources")).json()
    assert [each["name"] for each in listed["resources"]] == ["picture", "page", "drawing", "hostile", "notes"]
    assert "nextCursor" not in listed
    templates = (await http.get(f"{OF}/resource-templates")).json()["resourceTemplates"]
    assert templates == [{"uriTemplate": "gallery://{name}", "name": "any", "_meta": {"kept": True}}]
    read = {"uri": "gallery://picture.png"}
    assert (await http.get(f"{OF}/resources/read", params=read)).json()["contents"][0]["uri"] == read["uri"]
    assert (await http.get(f"{OF}/resources/read", params=read, headers=PNG)).content == PICTURE
    assert (await http.get(f"{OF}/resources/read", params={**read, "raw": "true"})).content == PICTURE
    missing = await http.get(f"{OF}/resources/read", params={"uri": "gallery://none"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "resource_not_found")
    assert (await http.get(f"{OF}/resources/read")).status_code == 400
    assert (await http.head(f"{OF}/resources")).status_code == 405


@pytest.mark.parametrize(
    ("index", "type_", "name"),
    [
        (1, "text/html; charset=utf-8", "page.html"),
        (2, "image/svg+xml", "drawing.svg"),
        (3, "application/octet-stream", "a___Set-Cookie_ a=b"),
    ],
)
async def test_no_browser_runs_what_a_child_supplies(one_gateway: Gateway, index: int, type_: str, name: str) -> None:
    uri = (await one_gateway.http.get(f"{OF}/resources")).json()["resources"][index]["uri"]
    answer = await one_gateway.http.get(f"{OF}/resources/read", params={"uri": uri, "raw": "true"})
    assert answer.headers["content-type"] == type_
    assert labels(answer) == (SANDBOX, "nosniff", "no-store", f'attachment; filename="{name}"')
    assert not {"set-cookie", "x"} & set(answer.headers)


async def test_prompts_are_listed_and_had_with_arguments_from_the_query_or_a_body(one_gateway: Gateway) -> None:
    http = one_gateway.http
    assert [each["name"] for each in (await http.get(f"{OF}/prompts")).json()["prompts"]] == [
        "describe/this one",
        "ask",
    ]
    plain = await http.get(f"{OF}/prompts/describe/this%20one?style=short")
    posted = await http.post(f"{OF}/prompts/describe/this%20one", json={"style": "short"})
    assert plain.json() == posted.json()
    said = '{"name": "describe/this one", "arguments": {"style": "short"}}'
    assert plain.json()["messages"][0]["content"]["text"] == said
    missing = await http.get(f"{OF}/prompts/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "prompt_not_found")
    twice = await http.get(f"{OF}/prompts/describe?style=short&style=long")
    number = await http.post(f"{OF}/prompts/describe", json={"style": 1})
    assert [answer.json()["error"]["code"] for answer in (twice, number)] == ["bad_request"] * 2


async def test_a_session_id_leads_to_that_sessions_own_state(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    await one_gateway.http.post("/api/gallery/note", params={"sessionId": id_}, json={"text": "mine"})
    read: dict[str, str] = {"uri": "gallery://notes", "raw": "true"}
    seen = await one_gateway.http.get(f"{OF}/resources/read", params={**read, "sessionId": id_})
    assert (seen.text, (await one_gateway.http.get(f"{OF}/resources/read", params=read)).text) == ('["mine"]', "[]")
    unknown = await one_gateway.http.get(f"{OF}/resources", params={"sessionId": "gw.nobodys"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "session_not_found")
    for path in (f"{OF}/resources", "/api/v1/questions", "/api/v1/questions/x"):
        empty = await one_gateway.http.get(path, params={"sessionId": ""})
        assert (empty.status_code, empty.json()["error"]["code"]) == (400, "session_id_missing")
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_the_child_of_an_anonymous_caller_lives_until_its_question_is_answered(one_gateway: Gateway) -> None:
    asked = await one_gateway.http.get(f"{OF}/prompts/ask")
    assert (asked.status_code, asked.json()["error"]["code"]) == (409, "question_open")
    assert len(one_gateway.children()) == 1
    about = asked.json()["error"]["about"]
    assert (about["question"]["method"], about["open"]) == ("elicitation/create", 1)
    assert (await one_gateway.http.get("/api/v1/questions")).json()["error"]["code"] == "session_id_missing"
    elsewhere = await one_gateway.http.get(about["answer"]["path"], headers={"Host": "elsewhere.example"})
    await one_gateway.said("turned .* away from '/api/v1/questions/'")
    assert (elsewhere.status_code, about["question"]["id"] in one_gateway.log) == (421, False)
    answered = await one_gateway.http.post(
        about["answer"]["path"], json={"action": "accept", "content": {"value": "this"}}
    )
    assert answered.status_code == 200
    assert answered.json()["content"][0]["text"] == '{"0": {"action": "accept", "content": {"value": "this"}}}'
    await one_gateway.quiet()
