"""What ended a child: the error that its caller gets, and the certificate that its owner may read."""

import json
import re
from pathlib import Path

import pytest

from common.reasons import Reason
from supervisor.protocol import Certificate, Exit, Open
from tests.support.gateway import Gateway, light, running
from tests.support.rawmcp import Streamable, call, request, sse
from tests.support.supervisor import played

pytestmark = pytest.mark.slow

AUTH = {
    "basic": {
        "credentials": [{"username": "ann", "password": "s3cret-ann"}, {"username": "bob", "password": "s3cret-bob"}]
    }
}
ANN, BOB = ("ann", "s3cret-ann"), ("bob", "s3cret-bob")


async def test_a_child_that_ends_names_its_certificate_and_says_how(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    answer = await session.post(call(1, "die", code=3))
    assert answer.status_code == 200
    error = answer.json()["error"]
    assert error["data"]["code"] == "child_exited"
    about = error["data"]["about"]
    assert (about["exitCode"], about["server"]) == (3, "light")
    assert "last words" not in answer.text
    found = await one_gateway.http.get(f"/api/certificates/{about['certificate']}")
    assert found.status_code == 200
    said = found.json()
    assert (said["id"], said["server"], said["reason"]) == (about["certificate"], "light", "child_exited")
    assert (said["exitCode"], said["limit"]) == (3, None)
    assert said["livedSeconds"] > 0
    await one_gateway.said(f"session .* ended: child_exited, certificate {re.escape(about['certificate'])}")


async def test_a_signal_is_named_on_rest_and_so_is_the_certificate_when_one_comes_back(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    died = await one_gateway.call(id_, "die", signal="SIGKILL")
    about = died.json()["error"]["about"]
    assert (died.status_code, about["signal"]) == (502, 9)
    late = await one_gateway.call(id_, "echo")
    assert late.status_code == 404
    assert late.json()["error"]["about"]["certificate"] == about["certificate"]


async def test_a_certificate_is_told_on_a_stream_too(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        answer = await session.ask(call(1, "die", code=0))
        assert answer["error"]["data"]["about"]["certificate"]


async def test_somebody_elses_certificate_is_like_one_that_never_was(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, auth=AUTH) as gateway:
        opened = await gateway.http.get("/api/sessionid", auth=ANN)
        params = {"sessionId": opened.json()["sessionId"]}
        died = await gateway.http.post("/api/light/die", params=params, json={}, auth=ANN)
        path = f"/api/certificates/{died.json()['error']['about']['certificate']}"
        assert (await gateway.http.get(path, auth=ANN)).status_code == 200
        foreign = await gateway.http.get(path, auth=BOB)
        unknown = await gateway.http.get("/api/certificates/000000000000", auth=BOB)
        assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "certificate_not_found")
        assert (await gateway.http.get(path)).status_code == 401


@pytest.mark.parametrize("limit", ["memory_max", "tasks_max", "file_size_max", "dir_size_max"])
async def test_what_ended_by_a_limit_says_which(limit: str) -> None:
    async with played() as (supervisor, gateway):
        session = await Streamable(gateway.http).open()
        lease = (await supervisor.told(Open)).ref
        async with session.streaming(call(1, "hold")) as events:
            reason = Reason(limit)
            await supervisor.end(lease, reason, Exit(signal=9), "c1")
            error = (await events.message())["error"]
        assert error["code"] == -32000
        assert limit in error["message"]
        assert error["data"] == {"code": limit, "about": {"server": "light", "signal": 9, "certificate": "c1"}}
        stderr = ("Traceback", "MemoryError")
        await supervisor.bury(lease, Certificate("c1", "light", reason, Exit(signal=9), limit, 2.5, stderr))
        assert (await gateway.http.get("/api/certificates/c1")).json() == {
            "id": "c1",
            "server": "light",
            "reason": limit,
            "limit": limit,
            "livedSeconds": 2.5,
            "stderr": list(stderr),
            "signal": 9,
        }


async def test_on_rest_a_limit_is_a_502() -> None:
    async with played() as (supervisor, gateway):

        async def spawn_and_end(message: Open) -> None:
            await supervisor.spawn(message, "--mute")
            await supervisor.end(message.ref, Reason.MEMORY_MAX, Exit(signal=9), "c1")

        supervisor.on_open = spawn_and_end
        answer = await gateway.call(await gateway.session_id(), "echo")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "memory_max")


async def test_the_certificate_of_a_handshake_that_failed_is_named_where_the_child_ended_by_itself() -> None:
    async with played() as (supervisor, gateway):

        async def spawn_and_end(message: Open) -> None:
            await supervisor.spawn(message, "--mute")
            await supervisor.end(message.ref, Reason.CHILD_EXITED, Exit(code=3), "c1")

        supervisor.on_open = spawn_and_end
        session = Streamable(gateway.http)
        answer = await session.post(request(0, "initialize", {}))
        assert json.loads(answer.text)["error"]["data"]["about"] == {
            "server": "light",
            "exitCode": 3,
            "certificate": "c1",
        }


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (light("--mute", start_timeout=1), "start_timeout"),
        (light("--refuse"), "start_failed"),
    ],
    ids=["start_timeout", "start_failed"],
)
async def test_a_child_that_the_gateway_ends_has_a_certificate_too(
    tmp_path: Path, spec: dict[str, object], reason: str
) -> None:
    async with running({"light": spec}, tmp_path=tmp_path) as gateway:
        failed = await gateway.call(await gateway.session_id(), "whoami")
        assert failed.json()["error"]["code"] == reason
        certificate = failed.json()["error"]["about"]["certificate"]
        said = (await gateway.http.get(f"/api/certificates/{certificate}")).json()
        assert (said["id"], said["reason"]) == (certificate, reason)
