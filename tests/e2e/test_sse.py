"""HTTP+SSE, message by message."""

import pytest

from tests.support.gateway import Gateway
from tests.support.processes import watching
from tests.support.rawmcp import HELLO, call, request, said, sse


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/light", "?sessionId=gw."),
        ("/light/", "?sessionId=gw."),
        ("/light/sse", "message?sessionId=gw."),
    ],
)
async def test_the_first_event_is_a_relative_endpoint(one_gateway: Gateway, path: str, endpoint: str) -> None:
    async with sse(one_gateway.http, path) as session:
        assert session.endpoint.startswith(endpoint)
        assert said(await session.ask(call(1, "echo", text="here"))) == "here"


async def test_the_end_of_the_stream_is_the_end_of_the_session(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        whoami = said(await session.ask(call(1, "whoami")))
        with watching(whoami["pid"]) as [server]:
            await session.events.response.aclose()
            await server.ended()
        assert (await session.post(call(2, "whoami"))).status_code == 404


async def test_two_streams_have_two_processes_and_two_states(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as one, sse(one_gateway.http) as two:
        await one.ask(call(1, "add", text="mine"))
        assert said(await one.ask(call(2, "notes"))) == ["mine"]
        assert said(await two.ask(call(2, "notes"))) == []
        assert said(await one.ask(call(3, "whoami")))["pid"] != said(await two.ask(call(3, "whoami")))["pid"]


async def test_all_that_the_child_says_comes_on_the_stream(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        await session.post(call(1, "log", text="aside"))
        assert (await session.events.message())["params"]["data"] == "aside"
        assert said(await session.events.message()) == "logged"


async def test_a_question_of_the_child_is_answered_by_post(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        await session.post(call(1, "ask", method="sampling/createMessage"))
        question = await session.events.message()
        await session.post({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "no"}})
        assert said(await session.events.message()) == {"code": -32601, "message": "no"}


async def test_a_post_without_an_id_is_a_400_that_says_what_to_do(one_gateway: Gateway) -> None:
    answer = await one_gateway.http.post("/light/message", json=request(1, "initialize", HELLO))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["data"]["code"] == "session_id_missing"
    assert "GET /light/sse" in error["message"]
    assert "POST /light/mcp" in error["message"]


async def test_an_unknown_id_and_one_of_another_door_are_404s(one_gateway: Gateway) -> None:
    rest = await one_gateway.session_id()
    for id_ in ("gw.unknown", "randomSession12345", rest):
        answer = await one_gateway.http.post(f"/light/message?sessionId={id_}", json=call(1, "echo"))
        assert answer.status_code == 404
        assert answer.json()["error"]["data"]["code"] == "session_not_found"


async def test_a_session_is_known_at_its_own_server_alone(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        url = session.url.replace("/light/", "/other/")
        assert (await one_gateway.http.post(url, json=call(1, "echo"))).status_code == 404


async def test_a_client_that_takes_no_event_stream_gets_a_406_and_no_process(one_gateway: Gateway) -> None:
    answer = await one_gateway.http.get("/light/sse", headers={"Accept": "application/json"})
    assert answer.status_code == 406
    assert one_gateway.children() == set()
