"""What a call over REST is: checked, bounded in time, told of, repeatable, and over when its client is."""

import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes

from tests.support.gateway import MODERN, SERVERS, Gateway, running
from tests.support.processes import PATIENCE

STRICT: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "strict.py")]}
AUTHORIZATION = "Basic " + base64.b64encode(b"ann:a-password").decode()
EVENTS = {"Accept": "text/event-stream"}
KEYS: dict[str, Any] = {
    "auth": {"basic": {"credentials": [{"username": name, "password": "a-password"} for name in ("ann", "ben")]}},
    "quotas": {"user": {"calls_in_flight": 2}},
}


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with the strict server, for two users of whom each may have two calls in flight."""
    servers = {"strict": STRICT, "narrow": {**STRICT, "request_timeout": "200ms"}, "modern": MODERN}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), **KEYS) as gateway:
        yield gateway


class User:
    """Somebody with a session id, and connections of their own."""

    def __init__(self, http: httpx2.AsyncClient, id_: str) -> None:
        self.http = http
        self.id = id_

    def url(self, tool: str, server: str = "strict", **query: str) -> httpx2.URL:
        """Where a tool is called."""
        return httpx2.URL(f"/api/{server}/{tool}", params={"sessionId": self.id, **query})

    async def post(
        self, tool: str, server: str = "strict", headers: dict[str, str] | None = None, **arguments: Any
    ) -> httpx2.Response:
        """One call."""
        return await self.http.post(self.url(tool, server), json=arguments, headers=headers)

    async def text(self, tool: str, server: str = "strict", **arguments: Any) -> Any:
        """What a call that succeeds says."""
        answer = await self.post(tool, server, **arguments)
        assert answer.status_code == 200, answer.text
        return said(answer.json())


def said(result: Any) -> Any:
    return json.loads(result["content"][0]["text"])


def error(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream that has ended."""
    parts = [part.split("\n") for part in text.split("\n\n") if part.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


@asynccontextmanager
async def user(module: Gateway, name: str = "ann") -> AsyncIterator[User]:
    """One, whose sessions end afterwards."""
    auth = (name, "a-password")
    async with httpx2.AsyncClient(base_url=module.url, timeout=PATIENCE, auth=auth) as http:
        id_ = (await http.get("/api/sessionid")).json()["sessionId"]
        yield User(http, id_)
        await http.delete("/api/sessionid", params={"sessionId": id_})


@pytest.fixture
async def ann(module: Gateway) -> AsyncIterator[User]:
    """A user with a fresh session."""
    await module.quiet()
    async with user(module) as found:
        yield found


# Arguments.


async def test_arguments_that_do_not_fit_never_reach_the_child(ann: User) -> None:
    days = [{"a/b": 1.0}, {"a/b": "s3cret"}]
    answer = await ann.post("plan", days=days, secret="s3cret", code="a" * 50 + "!", other=1)
    assert error(answer) == (400, "invalid_arguments")
    about = answer.json()["error"]["about"]
    assert (about["server"], about["tool"], about["count"]) == ("strict", "plan", 5)
    assert {each["pointer"]: each["expected"] for each in about["violations"]} == {
        "/days/1/a~1b": {"type": "integer"},
        "/secret": {"type": "integer"},
        "/code": {"pattern": "^(a+)+$"},
        "/title": {"type": "string", "minLength": 1},
        "/other": False,
    }
    assert "s3cret" not in answer.text
    assert await ann.text("plan", title="t", days=[{"a/b": 1.0}]) == {"title": "t", "days": [{"a/b": 1.0}]}


async def test_a_schema_that_cannot_be_used_checks_nothing_and_is_told_of_once(ann: User, module: Gateway) -> None:
    for _ in range(2):
        assert await ann.text("strange", n=1) == {"n": 1}
        assert await ann.text("invalid") == {}
    told = [line for line in module.lines if "'strange' are not checked" in line]
    assert len(told) == 1, module.log


async def test_a_schema_that_changes_is_the_new_one_at_once(ann: User) -> None:
    assert error(await ann.post("plan")) == (400, "invalid_arguments")
    await ann.text("change")
    assert await ann.text("plan") == {}


async def test_a_body_that_is_not_what_it_should_be_is_refused_in_words(ann: User) -> None:
    headers = {"Content-Type": "application/json"}
    for body, code in ((b'{"n": 1, "n": 2}', "invalid_json"), (b'{"n": NaN}', "invalid_json"), (b"[]", "bad_request")):
        answer = await ann.http.post(ann.url("anything"), content=body, headers=headers)
        assert error(answer) == (400, code)
    empty = await ann.http.post(ann.url("anything"), content=b"", headers=headers)
    assert said(empty.json()) == {}


# Time, and hanging up.


async def test_a_call_has_the_time_that_its_caller_gives_it(ann: User, module: Gateway) -> None:
    late = await ann.http.post(ann.url("hold", timeout="20ms"), json={"name": "late"})
    assert error(late) == (504, "request_timeout")
    await module.said("cancelled late")
    capped = await ann.http.post(ann.url("hold", "narrow", timeout="1h"), json={"name": "capped"})
    assert error(capped) == (504, "request_timeout")
    assert "0.2 seconds" in capped.json()["error"]["message"]
    wrong = await ann.http.post(ann.url("hold", timeout="soon"), json={})
    assert error(wrong) == (400, "bad_request")
    assert wrong.json()["error"]["about"] == {"parameter": "timeout"}
    assert (await ann.text("held"))["cancelled"] == ["late"]


@asynccontextmanager
async def hanging_up(
    caller: User, tool: str, headers: dict[str, str] | None = None, **arguments: Any
) -> AsyncIterator[None]:
    """A call whose client hangs up in the end, before there is an answer."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: caller.post(tool, headers=headers, **arguments))
        yield
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["JSON", "events"])
async def test_a_caller_that_hangs_up_cancels_its_call_and_no_other(
    ann: User, module: Gateway, headers: dict[str, str]
) -> None:
    await ann.text("count")
    async with hanging_up(ann, "hold", name="stays"):
        await module.said("holding stays")
        async with hanging_up(ann, "hold", headers, name="goes"):
            await module.said("holding goes")
            assert error(await ann.post("held")) == (429, "max_user_calls")
        await module.said("cancelled goes")
        state = await ann.text("held")  # there is room for it again
        assert (state["held"], state["cancelled"]) == (["stays"], ["goes"])
    await module.said("cancelled stays")


async def test_over_http_2_it_is_the_stream_that_is_reset(ann: User, module: Gateway) -> None:
    host, _, port = module.url.removeprefix("http://").partition(":")
    connection = H2Connection()
    connection.initiate_connection()
    for stream, name in ((1, "stays"), (3, "goes")):
        path = ann.url("hold").raw_path.decode()
        headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", f"{host}:{port}")]
        headers += [("authorization", AUTHORIZATION), ("content-type", "application/json")]
        connection.send_headers(stream, headers)
        connection.send_data(stream, json.dumps({"name": name}).encode(), end_stream=True)
    async with await anyio.connect_tcp(host, int(port)) as tcp:
        await tcp.send(connection.data_to_send())
        await module.said("holding stays")
        await module.said("holding goes")
        connection.reset_stream(3, ErrorCodes.CANCEL)
        await tcp.send(connection.data_to_send())
        await module.said("cancelled goes")
        assert (await ann.text("held"))["held"] == ["stays"]
    await module.said("cancelled stays")


# Events.


async def test_a_stream_tells_of_progress_and_lines_and_ends_with_the_result(ann: User) -> None:
    await ann.text("murmur")
    plain = await ann.post("work", steps=2)
    answer = await ann.post("work", headers=EVENTS, steps=2)
    assert answer.headers["content-type"] == "text/event-stream"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"
    assert events(answer.text) == [
        ("progress", {"progress": 0, "message": "step 0"}),
        ("message", {"level": "info", "data": "line 0"}),
        ("progress", {"progress": 1, "message": "step 1"}),
        ("message", {"level": "info", "data": "line 1"}),
        ("result", plain.json()),
    ]


async def test_what_fails_later_is_an_event_and_what_is_known_before_is_a_status(ann: User, module: Gateway) -> None:
    refused = await ann.post("refuse", headers=EVENTS)
    about = {"server": "strict", "code": -32000}
    expected = {"error": {"code": "child_error", "message": "refused 1 times", "about": about}}
    assert events(refused.text) == [("error", expected)]
    assert error(await ann.post("none", headers=EVENTS)) == (404, "tool_not_found")
    assert error(await ann.post("plan", headers=EVENTS)) == (400, "invalid_arguments")
    async with hanging_up(ann, "hold", EVENTS, name="one"), hanging_up(ann, "hold", name="two"):
        await module.said("holding one")
        await module.said("holding two")
        assert error(await ann.post("count", headers=EVENTS)) == (429, "max_user_calls")


async def test_events_come_as_they_are_said(ann: User, module: Gateway) -> None:
    arguments = {"steps": 1, "hold": True, "name": "worker"}
    async with ann.http.stream("POST", ann.url("work"), json=arguments, headers=EVENTS) as answer:
        lines = answer.aiter_lines()
        with anyio.fail_after(PATIENCE):
            while "line 0" not in await anext(lines):
                pass
            await module.said("holding worker")
            await ann.text("release")
            rest = "\n".join([line async for line in lines])
    assert 'event: result\ndata: {"content": [{"type": "text", "text": "\\"released worker\\""}]}' in rest


async def test_a_child_of_the_newest_revision_tells_of_its_calls_too(ann: User) -> None:
    told = [each for tool in ("report", "log") for each in events((await ann.post(tool, "modern", EVENTS)).text)]
    assert [name for name, _ in told] == ["progress", "progress", "result", "message", "result"]
    assert told[0][1] == {"progress": 1, "total": 2}
    assert told[3][1] == {"level": "info", "data": "logged"}


async def test_json_is_for_who_takes_either_and_an_answer_that_is_neither_is_refused_after_the_call(ann: User) -> None:
    kinds = {
        "*/*": "application/json",
        "application/json, text/event-stream": "application/json",
        "text/event-stream, application/json;q=0.5": "text/event-stream",
    }
    for accept, kind in kinds.items():
        assert (await ann.post("count", headers={"Accept": accept})).headers["content-type"] == kind
    count = await ann.text("count")
    assert error(await ann.post("count", headers={"Accept": "image/png"})) == (406, "not_acceptable")
    assert await ann.text("count") == count + 2  # it was made: only then is it known what there is


# Retries.


def key(value: str, **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": value, **headers}


async def test_a_call_with_a_key_is_made_once(ann: User) -> None:
    first = await ann.post("count", headers=key('"k"'), name="n")
    again = await ann.post("count", headers=key("k"), name="n")
    assert (said(first.json()), said(again.json())) == (1, 1)
    assert [each.headers.get("idempotency-replayed") for each in (first, again)] == [None, "true"]
    streamed = await ann.post("count", headers=key("k", **EVENTS), name="n")
    assert (events(streamed.text), streamed.headers["idempotency-replayed"]) == ([("result", first.json())], "true")
    assert error(await ann.post("count", headers=key("k"), name="other")) == (409, "idempotency_conflict")
    assert said((await ann.post("count", headers=key("l"), name="n")).json()) == 2
    assert error(await ann.post("count", headers=key("a b"))) == (400, "bad_request")


async def test_an_error_of_the_child_is_an_answer_and_a_refusal_is_none(ann: User, module: Gateway) -> None:
    answers = [await ann.post("refuse", headers=key("k")) for _ in range(2)]
    assert [error(each) for each in answers] == [(502, "child_error")] * 2
    assert {each.json()["error"]["message"] for each in answers} == {"refused 1 times"}
    async with hanging_up(ann, "hold", name="one"), hanging_up(ann, "hold", name="two"):
        await module.said("holding one")
        await module.said("holding two")
        assert error(await ann.post("count", headers=key("c"), name="c")) == (429, "max_user_calls")
    await module.said("cancelled one")
    await module.said("cancelled two")
    retried = await ann.post("count", headers=key("c"), name="c")
    assert (said(retried.json()), retried.headers.get("idempotency-replayed")) == (1, None)


@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["JSON", "events"])
async def test_a_retry_gets_the_answer_that_its_first_client_did_not_wait_for(
    ann: User, module: Gateway, headers: dict[str, str]
) -> None:
    async with hanging_up(ann, "hold", key("k", **headers), name="kept"):
        await module.said("holding kept")
    answers: list[httpx2.Response] = []

    async def retry() -> None:
        answers.append(await ann.post("hold", headers=key("k"), name="kept"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retry)
        tasks.start_soon(retry)
        await ann.text("release")
    assert [said(each.json()) for each in answers] == ["released kept"] * 2
    state = await ann.text("held")
    assert (state["counts"], state["cancelled"]) == ({"kept": 1}, [])


async def test_a_key_is_nobody_elses_and_ends_with_its_session(ann: User, module: Gateway) -> None:
    async with user(module, "ben") as ben:
        for each in (ann, ben):
            assert said((await each.post("count", headers=key("k"), name="n")).json()) == 1
            assert (await each.post("count", headers=key("k"), name="n")).headers["idempotency-replayed"] == "true"
    async with user(module) as other:
        fresh = await other.post("count", headers=key("k"), name="n")
        assert "idempotency-replayed" not in fresh.headers
    await ann.http.delete("/api/sessionid", params={"sessionId": ann.id})
    assert error(await ann.post("count", headers=key("k"), name="n")) == (404, "session_not_found")


async def test_of_an_answer_that_is_too_large_to_be_kept_a_retry_is_told(ann: User) -> None:
    assert (await ann.post("big", headers=key("k"), bytes=1_100_000)).status_code == 200
    assert error(await ann.post("big", headers=key("k"), bytes=1_100_000)) == (409, "idempotency_conflict")
    assert (await ann.text("held"))["counts"] == {"": 1}
