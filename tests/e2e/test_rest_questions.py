"""REST: what a child asks is the answer to its call, and the answer to that is answered with what comes next."""

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.gateway import MODERN, SERVERS, Gateway, light, running
from tests.support.node import real_servers
from tests.support.rawmcp import Events
from tests.support.users import KEYS, of

pytestmark = pytest.mark.slow

GALLERY: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "gallery.py")]}
SERVED = {
    "light": light(),
    "brief": light(request_timeout="1s"),
    "common": light(isolation="user", linger="100ms"),
    "gallery": GALLERY,
    "modern": MODERN,
}
FORM = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}
QUESTION = {"message": "how old?", "requestedSchema": FORM}
ACCEPTED = {"action": "accept", "content": {"age": 20}}
SAID = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m"}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway whose servers ask, and that knows users."""
    directory = tmp_path_factory.mktemp("gateway")
    servers = {**SERVED, "everything": real_servers(directory)["everything"]}
    async with running(servers, tmp_path=directory, **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def ann(shared: Gateway) -> AsyncIterator[Gateway]:
    """The same, asked by Ann on connections that end with the test."""
    async with shared.connecting():
        shared.http.headers.update(of("ann"))
        yield shared


@pytest.fixture
async def id_(ann: Gateway) -> AsyncIterator[str]:
    """A session id of hers."""
    found = await ann.session_id()
    yield found
    await ann.http.delete("/api/sessionid", params={"sessionId": found})


def asked(answer: httpx2.Response) -> dict[str, Any]:
    """What an answer says that is a question."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "question_open"), answer.text
    about: dict[str, Any] = answer.json()["error"]["about"]
    assert about["answer"] == {"method": "POST", "path": f"/api/v1/questions/{about['question']['id']}"}
    return about


def path(answer: httpx2.Response) -> str:
    return str(asked(answer)["answer"]["path"])


def text(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["content"][0]["text"])


async def ask(gateway: Gateway, id_: str, server: str = "light", method: str = "elicitation/create") -> httpx2.Response:
    return await gateway.call(id_, "ask", server, method=method, params=QUESTION)


async def test_a_question_is_a_409_and_answering_it_gets_what_the_call_returns(ann: Gateway, id_: str) -> None:
    about = asked(await ask(ann, id_))
    assert about["question"] | {"id": ""} == {"id": "", "method": "elicitation/create", "params": QUESTION}
    assert about["open"] == 1
    shown = {name: about[name] for name in ("question", "answer")}
    url = about["answer"]["path"]
    assert (await ann.http.get(url)).json() == shown
    for query in ({}, {"sessionId": id_}):
        assert (await ann.http.get("/api/v1/questions", params=query)).json() == {"questions": [shown]}
    assert text(await ann.http.post(url, json=ACCEPTED)) == ACCEPTED
    for gone in (await ann.http.get(url), await ann.http.post(url, json=ACCEPTED)):
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "question_not_found")
    assert (await ann.http.get("/api/v1/questions")).json() == {"questions": []}


async def test_an_answer_that_does_not_fit_is_refused_with_all_that_is_wrong_and_the_question_stays(
    ann: Gateway, id_: str
) -> None:
    url = path(await ask(ann, id_))
    young = await ann.http.post(url, json={"action": "accept", "content": {"age": 17}})
    assert young.status_code == 400
    assert young.json()["error"]["about"]["violations"] == [
        {"pointer": "/content/age", "message": "is less than 18", "expected": {"minimum": 18}}
    ]
    unfit: tuple[Any, ...] = ({"action": "accept"}, {"action": "maybe"}, {"error": 3}, [], {})
    for body in unfit:
        assert (await ann.http.post(url, json=body)).status_code == 400
    assert (await ann.http.post(url, content=b"{", headers={"Content-Type": "application/json"})).status_code == 400
    assert (await ann.http.post(url, data={"action": "accept"})).status_code == 415
    assert text(await ann.http.post(url, json={"action": "cancel"})) == {"action": "cancel"}


async def test_a_model_can_be_asked_and_its_answer_refused(ann: Gateway, id_: str) -> None:
    url = path(await ask(ann, id_, method="sampling/createMessage"))
    assert (await ann.http.post(url, json={"content": "hm"})).status_code == 400
    assert text(await ann.http.post(url, json=SAID)) == SAID
    url = path(await ask(ann, id_, method="sampling/createMessage"))
    refusal = {"code": -1, "message": "not today"}
    assert text(await ann.http.post(url, json={"error": refusal})) == refusal


async def test_a_caller_who_will_not_answer_says_so_and_is_never_asked(ann: Gateway, id_: str) -> None:
    params = {"sessionId": id_, "questions": "decline"}
    body: dict[str, Any] = {"method": "elicitation/create", "params": QUESTION}
    assert text(await ann.http.post("/api/light/ask", params=params, json=body)) == {"action": "decline"}
    body = {"method": "sampling/createMessage"}
    assert text(await ann.http.post("/api/light/ask", params=params, json=body))["code"] == -1
    roots = await ask(ann, id_, method="roots/list")
    assert text(roots)["code"] == -32601


async def test_several_questions_at_once_are_all_open_and_answered_in_any_order(ann: Gateway, id_: str) -> None:
    first = asked(await ann.call(id_, "ask", "gallery", times=3))
    assert (first["open"], first["question"]["params"]["message"]) == (3, "which 0?")
    listed = (await ann.http.get("/api/v1/questions")).json()["questions"]
    assert [each["question"]["params"]["message"] for each in listed] == ["which 0?", "which 1?", "which 2?"]
    one, two, three = (each["answer"]["path"] for each in listed)
    accepted = {"action": "accept", "content": {"value": "x"}}
    assert asked(await ann.http.post(three, json=accepted))["open"] == 2
    assert path(await ann.http.post(one, json=accepted)) == two
    heard = text(await ann.http.post(two, json={"action": "decline"}))
    assert heard == {"2": accepted, "0": accepted, "1": {"action": "decline"}}


async def test_a_modern_child_asks_in_rounds(ann: Gateway, id_: str) -> None:
    answer = await ann.call(id_, "ask", "modern")
    for value in ("ann", "red"):
        answer = await ann.http.post(path(answer), json={"action": "accept", "content": {"value": value}})
    assert text(answer) == {"name": {"value": "ann"}, "colour": {"value": "red"}}
    where = asked(await ann.call(id_, "ask_elsewhere", "modern"))
    assert where["question"]["params"]["url"] == "https://example.org/"
    accepted = await ann.http.post(where["answer"]["path"], json={"action": "accept"})
    assert text(accepted) == {"there": {"action": "accept"}}


async def test_of_two_sessions_that_share_a_child_the_one_that_called_is_asked(ann: Gateway, id_: str) -> None:
    other = await ann.session_id()
    pids = [(await ann.text(each, "whoami", "common"))["pid"] for each in (id_, other)]
    assert len(set(pids)) == 1
    url = path(await ask(ann, id_, "common"))
    assert len((await ann.http.get("/api/v1/questions", params={"sessionId": id_})).json()["questions"]) == 1
    assert (await ann.http.get("/api/v1/questions", params={"sessionId": other})).json() == {"questions": []}
    assert (await ann.http.get(url, params={"sessionId": other})).status_code == 404
    assert text(await ann.http.post(url, json=ACCEPTED)) == ACCEPTED
    await ann.http.delete("/api/sessionid", params={"sessionId": other})


async def test_a_caller_who_names_no_session_is_asked_in_their_own(ann: Gateway) -> None:
    url = path(await ann.http.get("/api/v1/servers/gallery/prompts/ask"))
    answer = await ann.http.post(url, json={"action": "decline"})
    assert text(answer) == {"0": {"action": "decline"}}
    children = ann.children()
    await ann.http.get("/api/v1/servers/gallery/prompts")
    assert ann.children() == children  # it is theirs still


async def test_a_question_is_open_for_no_longer_than_its_call_may_take(ann: Gateway, id_: str) -> None:
    url = path(await ask(ann, id_, "brief"))
    await ann.said("cancelled")
    gone = await ann.http.post(url, json=ACCEPTED)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "question_not_found")
    assert await ann.text(id_, "echo", "brief", text="still here") == "still here"


async def test_the_end_of_a_session_is_the_end_of_its_questions(ann: Gateway) -> None:
    id_ = await ann.session_id()
    url = path(await ask(ann, id_))
    assert (await ann.http.delete("/api/sessionid", params={"sessionId": id_})).status_code == 204
    assert (await ann.http.post(url, json=ACCEPTED)).status_code == 404
    assert (await ann.http.get("/api/v1/questions")).json() == {"questions": []}


async def test_a_server_that_people_use_asks_shows_and_offers(ann: Gateway, id_: str) -> None:
    sampled = path(await ann.call(id_, "trigger-sampling-request", "everything", prompt="hm?"))
    said = (await ann.http.post(sampled, json=SAID)).json()["content"][0]["text"]
    assert '"text": "hm"' in said
    form = asked(await ann.call(id_, "trigger-elicitation-request", "everything"))
    answer = {"action": "accept", "content": {"name": "ann", "check": True}}
    assert "Name: ann" in (await ann.http.post(form["answer"]["path"], json=answer)).text
    params, accept = {"sessionId": id_}, {"Accept": "image/png"}
    image = await ann.http.post("/api/everything/get-tiny-image", params=params, json={}, headers=accept)
    assert (image.headers["content-type"], image.content[:4]) == ("image/png", b"\x89PNG")
    of = "/api/v1/servers/everything"
    resources = (await ann.http.get(f"{of}/resources", params=params)).json()["resources"]
    read = {**params, "uri": resources[0]["uri"], "raw": "true"}
    document = await ann.http.get(f"{of}/resources/read", params=read)
    assert document.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "Architecture" in document.text
    prompt = await ann.http.get(f"{of}/prompts/args-prompt", params={**params, "city": "Rome"})
    assert "Rome" in prompt.json()["messages"][0]["content"]["text"]


async def test_on_an_event_stream_a_question_is_an_event_and_its_answer_is_posted_elsewhere(
    ann: Gateway, id_: str
) -> None:
    url, body = f"/api/light/ask?sessionId={id_}", {"method": "elicitation/create", "params": QUESTION}
    headers = {"Accept": "text/event-stream"}
    async with ann.http.stream("POST", url, json=body, headers=headers) as stream:
        told = Events(stream)
        name, question = await told.next()
        assert (name, json.loads(question)["question"]["params"]) == ("question", QUESTION)
        answered = await ann.http.post(json.loads(question)["answer"]["path"], json=ACCEPTED)
        assert (answered.status_code, answered.content) == (202, b"")
        name, result = await told.next()
        assert name == "result"
        assert json.loads(json.loads(result)["content"][0]["text"]) == ACCEPTED


async def test_a_call_with_a_key_that_waits_for_an_answer_is_not_made_twice(ann: Gateway, id_: str) -> None:
    url, body = f"/api/light/ask?sessionId={id_}", {"method": "elicitation/create", "params": QUESTION}
    key = {"Idempotency-Key": '"once"'}
    first, again = [await ann.http.post(url, json=body, headers=key) for _ in range(2)]
    assert path(first) == path(again)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert text(await ann.http.post(path(first), json=ACCEPTED)) == ACCEPTED
    assert text(await ann.http.post(url, json=body, headers=key)) == ACCEPTED


async def test_a_stream_that_was_hung_up_on_keeps_no_question_from_who_asks_again(ann: Gateway, id_: str) -> None:
    url = httpx2.URL("/api/light/ask", params={"sessionId": id_})
    body = {"method": "elicitation/create", "params": QUESTION}
    headers = {"Idempotency-Key": '"heard"'}
    async with ann.http.stream("POST", url, json=body, headers={**headers, "Accept": "text/event-stream"}) as answer:
        events = Events(answer)
        assert (await events.next())[0] == "question"
    again = await ann.http.post(url, json=body, headers=headers)
    assert text(await ann.http.post(path(again), json=ACCEPTED)) == ACCEPTED
