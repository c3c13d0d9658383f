"""A user's own credentials change on a live session: that caller's child is replaced, after its calls have ended."""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from tests.support.gateway import SERVERS as DIRECTORY
from tests.support.gateway import Gateway, light, running
from tests.support.rawmcp import HELLO, Streamable, call, notification, request, said, sse
from tests.support.rawmodern import call as modern_call
from tests.support.rawmodern import headers_of

pytestmark = pytest.mark.slow

ALICE, BOB = {"Authorization": "Bearer alice-secret"}, {"Authorization": "Bearer bob-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret", "bob-secret"]}}
HEADER = "X-GitHub-Token"
LIGHT_SERVER = DIRECTORY / "light.py"
OWN: dict[str, Any] = {
    "headers": [HEADER],
    "env": {"GITHUB_TOKEN": f"${{header:{HEADER}}}"},
    "allow_shared_uid": True,
}


def unless_good(otherwise: str) -> dict[str, Any]:
    """The light server, where the token is the good one; what else a shell is to do with it, where it is not."""
    run = f'"{sys.executable}" -I -S "{LIGHT_SERVER}"'
    script = f'run() {{ exec {run} "$@"; }}; [ "$GITHUB_TOKEN" = good ] && run; {otherwise}'
    return {**OWN, "command": "/bin/sh", "args": ["-c", script]}


SERVERS = {
    "refuses": unless_good("run --refuse"),
    "older": unless_good("sed -u s/2025-11-25/2024-11-05/ | (run)"),
    "other": unless_good("run --region"),
    "light": light(**OWN),
    "shared": light(**OWN, isolation="user"),
}
SECRETS = ("first-marked-value", "second-marked-value")


@pytest.fixture(scope="module")
async def gateway_of_all(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway whose children are given something of their users' own."""
    async with running(SERVERS, tmp_path=tmp_path_factory.mktemp("gateway"), auth=AUTH) as gateway:
        yield gateway
        assert not any(secret in gateway.log for secret in SECRETS)


@pytest.fixture
async def gateway(gateway_of_all: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections of the test's own."""
    async with gateway_of_all.connecting():
        yield gateway_of_all


@asynccontextmanager
async def session(
    gateway: Gateway, who: Mapping[str, str], secret: str, server: str = "light"
) -> AsyncIterator[Streamable]:
    """A session of Streamable HTTP whose requests bear a secret."""
    one = Streamable(gateway.http, f"/{server}/mcp")
    one.headers |= {**who, HEADER: secret}
    await one.open()
    try:
        yield one
    finally:
        await one.delete()


async def seen(one: Streamable) -> tuple[str, int]:
    """The secret that the session's child has, and the child's pid."""
    return (await one.call(1, "environment"))["GITHUB_TOKEN"], (await one.call(2, "whoami"))["pid"]


async def test_another_value_is_another_child_of_the_same_session(gateway: Gateway) -> None:
    async with session(gateway, ALICE, SECRETS[0]) as one, session(gateway, BOB, SECRETS[0]) as other:
        secret, pid = await seen(one)
        others = await seen(other)
        assert secret == SECRETS[0]
        one.headers[HEADER] = SECRETS[1]
        secret, fresh = await seen(one)
        assert secret == SECRETS[1]
        assert fresh != pid
        await gateway.said(rf"credentials changed \(header:{HEADER}\); respawned, pid {fresh}")
        await gateway.said(rf"light pid {pid} .* is gone: credential_changed")
        assert await seen(one) == (SECRETS[1], fresh)
        assert await seen(other) == others


async def test_a_call_in_flight_ends_with_the_child_that_it_was_made_to(gateway: Gateway) -> None:
    answers: list[Any] = []

    async def ask(one: Streamable) -> None:
        answers.append(await one.post(call(8, "environment")))

    async with session(gateway, ALICE, SECRETS[0]) as one:
        _, pid = await seen(one)
        asks = call(7, "ask", method="roots/list")
        async with one.streaming(asks) as events, anyio.create_task_group() as tasks:
            question = await events.message()
            one.headers[HEADER] = SECRETS[1]
            tasks.start_soon(ask, one)
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
            assert (await one.post(answer)).status_code == 202
            assert said(await events.message()) == {"roots": []}
        text = answers[0].text
        assert SECRETS[1] in text
        assert SECRETS[0] not in text
        assert (await seen(one))[1] != pid


async def test_a_call_is_never_made_with_a_value_that_did_not_come_with_it(gateway: Gateway) -> None:
    answers: dict[int, str] = {}

    async def ask(one: Streamable, id_: int, secret: str) -> None:
        own = {**one.headers, HEADER: secret}
        answer = await one.http.post(one.path, json=call(id_, "environment"), headers=own)
        answers[id_] = answer.text

    async with session(gateway, ALICE, SECRETS[0]) as one:
        async with one.streaming(call(7, "hold")) as events, anyio.create_task_group() as tasks:
            for id_ in range(10, 16):
                tasks.start_soon(ask, one, id_, SECRETS[id_ % 2])
            released = {**one.headers, HEADER: SECRETS[0]}
            await one.http.post(
                one.path, json=notification("notifications/cancelled", {"requestId": 7}), headers=released
            )
            assert await events.at_end()
        for id_, text in answers.items():
            assert SECRETS[id_ % 2] in text
            assert SECRETS[1 - id_ % 2] not in text
        assert len(answers) == 6


async def test_rest_calls_that_wait_for_the_first_child_are_made_with_what_came_with_each(gateway: Gateway) -> None:
    answers: dict[int, str] = {}

    async def ask(http: httpx2.AsyncClient, set_: str, number: int) -> None:
        own = {HEADER: SECRETS[number % 2]}
        answer = await http.post("/api/light/environment", params={"sessionId": set_}, json={}, headers=own)
        answers[number] = answer.text

    async with httpx2.AsyncClient(base_url=gateway.url, headers=ALICE) as http:
        set_ = (await http.get("/api/sessionid")).json()["sessionId"]
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(ask, http, set_, number)
        await http.delete("/api/sessionid", params={"sessionId": set_})
    for number, text in answers.items():
        assert SECRETS[number % 2] in text
        assert SECRETS[1 - number % 2] not in text
    assert len(answers) == 6


async def test_the_first_childs_question_is_withdrawn_and_the_next_one_may_ask_under_its_id(gateway: Gateway) -> None:
    async with session(gateway, ALICE, SECRETS[0]) as one:
        async with one.streaming(call(1, "wonder")) as events:
            assert (await events.message())["id"] == "w1"
            assert said(await events.message()) == "asked"
        one.headers[HEADER] = SECRETS[1]
        async with one.streaming(call(2, "ask", method="roots/list")) as events:
            withdrawn = await events.message()
            assert withdrawn["method"] == "notifications/cancelled"
            assert withdrawn["params"]["requestId"] == "w1"
            late = {"jsonrpc": "2.0", "id": "w1", "result": {"roots": ["late"]}}
            assert (await one.post(late)).status_code == 202
            question = await events.message()
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
            assert (await one.post(answer)).status_code == 202
            assert said(await events.message()) == {"roots": []}


async def test_what_waits_for_the_new_child_may_be_cancelled(gateway: Gateway) -> None:
    async with session(gateway, ALICE, SECRETS[0]) as one:
        async with one.streaming(call(7, "hold")) as events:
            one.headers[HEADER] = SECRETS[1]
            async with one.streaming(call(8, "add", text="unwanted")) as waiting:
                await one.post(notification("notifications/cancelled", {"requestId": 8}))
                assert await waiting.at_end()
            await one.post(notification("notifications/cancelled", {"requestId": 7}))
            assert await events.at_end()
        assert await one.call(9, "notes") == []
        assert (await seen(one))[0] == SECRETS[1]


async def test_sessions_that_share_a_child_share_one_for_each_value(gateway: Gateway) -> None:
    async with (
        session(gateway, ALICE, SECRETS[0], "shared") as one,
        session(gateway, ALICE, SECRETS[0], "shared") as two,
        session(gateway, ALICE, SECRETS[1], "shared") as three,
    ):
        before = await seen(one)
        assert await seen(two) == before
        after = await seen(three)
        assert after[0] == SECRETS[1]
        one.headers[HEADER] = SECRETS[1]
        assert await seen(one) == after
        assert await seen(two) == before
        two.headers[HEADER] = SECRETS[1]
        assert await seen(two) == after
        await gateway.said(rf"shared pid {before[1]} .* is gone: credential_changed")


async def test_a_rest_caller_and_a_stream_go_on_with_another_child_too(gateway: Gateway) -> None:
    async with httpx2.AsyncClient(base_url=gateway.url, headers={**ALICE, HEADER: SECRETS[0]}) as http:
        set_ = (await http.get("/api/sessionid")).json()["sessionId"]
        async with sse(http) as stream:

            async def both() -> list[str]:
                answer = await http.post("/api/light/environment", params={"sessionId": set_}, json={})
                assert answer.status_code == 200, answer.text
                of_rest = json.loads(answer.json()["content"][0]["text"])
                return [of_rest["GITHUB_TOKEN"], said(await stream.ask(call(1, "environment")))["GITHUB_TOKEN"]]

            assert await both() == [SECRETS[0]] * 2
            http.headers[HEADER] = SECRETS[1]
            assert await both() == [SECRETS[1]] * 2
        await http.delete("/api/sessionid", params={"sessionId": set_})


async def test_an_answer_that_is_kept_is_for_who_brings_the_same_again(gateway: Gateway) -> None:
    async with httpx2.AsyncClient(base_url=gateway.url, headers={**ALICE, "Idempotency-Key": "k"}) as http:
        set_ = (await http.get("/api/sessionid")).json()["sessionId"]
        told = []
        for secret in (SECRETS[0], SECRETS[1], SECRETS[0]):
            own = {HEADER: secret}
            answer = await http.post("/api/light/environment", params={"sessionId": set_}, json={}, headers=own)
            assert json.loads(answer.json()["content"][0]["text"])["GITHUB_TOKEN"] == secret
            told.append(answer.headers.get("Idempotency-Replayed"))
        assert told == [None, None, "true"]
        await http.delete("/api/sessionid", params={"sessionId": set_})


async def test_arguments_are_held_against_the_schema_of_the_child_that_is_to_have_them(gateway: Gateway) -> None:
    async with httpx2.AsyncClient(base_url=gateway.url, headers=ALICE) as http:
        set_ = (await http.get("/api/sessionid")).json()["sessionId"]
        for secret, status in ((SECRETS[1], 400), ("good", 200), (SECRETS[1], 400)):
            own = {HEADER: secret}
            answer = await http.post("/api/other/echo", params={"sessionId": set_}, json={"text": 5}, headers=own)
            assert answer.status_code == status, answer.text
        await http.delete("/api/sessionid", params={"sessionId": set_})


async def test_a_request_without_its_credential_is_refused_and_the_session_goes_on(gateway: Gateway) -> None:
    async with session(gateway, ALICE, SECRETS[0]) as one:
        before = await seen(one)
        del one.headers[HEADER]
        answer = await one.post(call(3, "environment"))
        assert answer.json()["error"]["data"]["about"] == {"header": HEADER}
        one.headers[HEADER] = SECRETS[0]
        assert await seen(one) == before


@pytest.mark.parametrize("how", ["refuses", "older"])
async def test_a_session_ends_whose_new_child_does_not_agree_to_what_the_first_one_did(
    gateway: Gateway, how: str
) -> None:
    async with session(gateway, ALICE, "good", how) as one:
        await one.call(1, "echo", text="x")
        one.headers[HEADER] = SECRETS[1]
        answer = await one.post(call(2, "echo"))
        assert answer.json()["error"]["data"]["code"] == "start_failed"
        assert (await one.post(call(3, "echo"))).status_code == 404
        await gateway.said("gets no child: start_failed: the server (refused|now speaks 2024-11-05)")


async def test_the_new_child_hears_the_same_initialize(gateway: Gateway) -> None:
    opening = {**HELLO, "protocolVersion": "2025-06-18"}
    one = Streamable(gateway.http)
    one.headers |= {**ALICE, HEADER: SECRETS[0]}
    answer = await one.post(request(0, "initialize", opening))
    one.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
    assert answer.json()["result"]["protocolVersion"] == "2025-06-18"
    one.headers[HEADER] = SECRETS[1]
    assert (await seen(one))[0] == SECRETS[1]
    await one.delete()


async def test_of_a_client_without_sessions_too_each_set_of_credentials_has_its_own_tools(gateway: Gateway) -> None:
    message = modern_call(1, "echo", text="x")
    for secret, status in (("good", 200), (SECRETS[1], 400), ("good", 200)):
        headers = {**headers_of(message), **ALICE, HEADER: secret}
        answer = await gateway.http.post("/other/mcp", json=message, headers=headers)
        assert answer.status_code == status, answer.text
    assert answer.json()["result"]["content"][0]["text"] == "x"
