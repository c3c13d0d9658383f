"""When there is no child to be had: what each door says, and how long the caller waits."""

import re

import pytest

from common.reasons import Reason
from supervisor.protocol import Answer, Open, ServerReport, Withdraw
from tests.support.gateway import Gateway
from tests.support.rawmcp import BOTH, HELLO, request
from tests.support.supervisor import Played, played

AUTH = {"bearer": {"tokens": ["s3cret-token-1", "s3cret-token-2"]}}


async def doors(gateway: Gateway) -> list[tuple[int, str | None, dict[str, object]]]:
    """What Streamable HTTP, HTTP+SSE and REST say to one who wants a child: status, Retry-After, and data."""
    mcp = await gateway.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=BOTH)
    sse = await gateway.http.get("/light/sse")
    rest = await gateway.call(await gateway.session_id(), "echo")
    assert "mcp-session-id" not in mcp.headers
    data = [mcp.json()["error"]["data"], sse.json()["error"]["data"], rest.json()["error"]]
    return [
        (each.status_code, each.headers.get("retry-after"), {key: said[key] for key in ("code", "about")})
        for each, said in zip((mcp, sse, rest), data, strict=True)
    ]


@pytest.mark.parametrize("reason", [Reason.MAX_SESSIONS, Reason.MAX_USER_SESSIONS])
async def test_where_there_is_no_room_every_door_says_429_and_when_to_come_again(reason: Reason) -> None:
    async with played() as (supervisor, gateway):
        supervisor.refuse(reason, "there is no room", retry_after=2.1)
        said = {"code": reason.value, "about": {"server": "light", "retryAfter": 3}}
        assert await doors(gateway) == [(429, "3", said)] * 3


async def test_a_failing_server_is_one_that_cannot_be_started_and_says_when_to_come_again() -> None:
    async with played() as (supervisor, gateway):
        supervisor.refuse(Reason.SERVER_FAILING, "it keeps dying", retry_after=0.2)
        said = {"code": "server_failing", "about": {"server": "light", "retryAfter": 1}}
        assert await doors(gateway) == [(200, "1", said), (502, "1", said), (502, "1", said)]


async def test_without_a_time_there_is_no_header() -> None:
    async with played() as (supervisor, gateway):
        supervisor.refuse(Reason.ROOM_FAILED, "no directory")
        said = {"code": "room_failed", "about": {"server": "light"}}
        assert await doors(gateway) == [(200, None, said), (502, None, said), (502, None, said)]


async def test_waiting_counts_against_the_start_timeout() -> None:
    async with played(start_timeout=0.2) as (supervisor, gateway):

        async def keep_waiting(_: Open) -> None:
            """The queue is long."""

        supervisor.on_open = keep_waiting
        answers = await doors(gateway)
        assert [status for status, _, _ in answers] == [200, 504, 504]
        assert [data["code"] for _, _, data in answers] == ["start_timeout"] * 3
        await supervisor.told(Withdraw, times=3)


async def test_principals_are_told_apart_and_not_named() -> None:
    async with played(AUTH) as (supervisor, gateway):
        for token in ("s3cret-token-1", "s3cret-token-1", "s3cret-token-2"):
            headers = {**BOTH, "Authorization": f"Bearer {token}"}
            await gateway.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=headers)
        one, again, two = [each.user for each in await opens(supervisor, 3)]
        assert one == again != two
        assert re.fullmatch("[0-9a-f]{16}", one)


async def test_the_anonymous_are_not_counted() -> None:
    async with played() as (supervisor, gateway):
        await gateway.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=BOTH)
        assert (await supervisor.told(Open)).user == ""


async def opens(supervisor: Played, times: int) -> list[Open]:
    await supervisor.told(Open, times)
    return [each for each in supervisor.heard if isinstance(each, Open)]


async def test_health_shows_what_the_supervisor_says() -> None:
    async with played() as (supervisor, gateway):
        servers = {"light": ServerReport(2, 1, warm=3), "other": ServerReport(failing="it exits at once")}
        supervisor.answer = Answer(0, running=2, ending=1, waiting=1, reaping="cgroup", servers=servers)
        answer = await gateway.http.get("/health")
        report = answer.json()
        # A server that fails is shown; the gateway itself is well.
        assert (answer.status_code, report["status"]) == (200, "ok")
        assert (report["reaping"], report["outlived"]) == ("cgroup", 0)
        assert report["children"] == {"running": 2, "ending": 1, "waiting": 1}
        assert report["servers"] == {
            "light": {"running": 2, "waiting": 1, "warm": 3},
            "other": {"running": 0, "waiting": 0, "failing": "it exits at once"},
        }


async def test_a_process_that_outlived_its_session_degrades_health() -> None:
    async with played(AUTH) as (supervisor, gateway):
        supervisor.answer = Answer(0, running=0, ending=1, outlived=1)
        answer = await gateway.http.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "degraded"})
        known = await gateway.http.get("/health", headers={"Authorization": "Bearer s3cret-token-1"})
        assert known.json()["outlived"] == 1
