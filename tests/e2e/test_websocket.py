"""WebSocket, frame by frame."""

import json
from pathlib import Path

import anyio
import pytest
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from common.reasons import Reason
from supervisor.protocol import Release
from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE, watching
from tests.support.rawmcp import HELLO, call, notification, request, said
from tests.support.rawws import Refused, connected, handshake, upgrade, websocket
from tests.support.supervisor import played

pytestmark = pytest.mark.slow

AUTH = {"bearer": {"tokens": ["s3cret-token-1"]}}
LIMIT = 64 * 1024


# What goes over it.


@pytest.mark.parametrize("path", ["/light/ws", "/light/ws/"])
async def test_each_text_frame_is_one_message_both_ways(one_gateway: Gateway, path: str) -> None:
    async with websocket(one_gateway.url, path, hello=False) as session:
        assert session.headers["sec-websocket-protocol"] == "mcp"
        answer = await session.ask(request("first", "initialize", HELLO))
        assert answer["result"]["serverInfo"]["name"] == "light"
        await session.send(notification("notifications/initialized"))
        assert said(await session.ask(call(1, "echo", text="here ☃"))) == "here ☃"
        assert (await session.ask(request(2, "ping")))["result"] == {}


async def test_two_connections_have_two_processes_and_two_states(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as one, websocket(one_gateway.url) as two:
        await one.ask(call(1, "add", text="mine"))
        assert said(await one.ask(call(2, "notes"))) == ["mine"]
        assert said(await two.ask(call(2, "notes"))) == []
        assert said(await one.ask(call(3, "whoami")))["pid"] != said(await two.ask(call(3, "whoami")))["pid"]


async def test_parallel_requests_each_get_their_own_answer(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        for number in range(20):
            await session.send(call(f"c{number}", "echo", text=str(number)))
        answers = {each["id"]: said(each) for each in [await session.message() for _ in range(20)]}
        assert answers == {f"c{number}": number for number in range(20)}


async def test_progress_and_log_lines_come_before_the_answer(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        message = call(1, "progress", steps=2)
        message["params"]["_meta"] = {"progressToken": "p"}
        await session.send(message)
        reports = [(await session.message())["params"] for _ in range(2)]
        assert reports == [{"progressToken": "p", "progress": step} for step in range(2)]
        assert said(await session.message()) == "done"
        await session.send(call(2, "log", text="aside"))
        assert (await session.message())["params"]["data"] == "aside"
        assert said(await session.message()) == "logged"


async def test_a_question_of_the_child_is_answered(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        await session.send(call(1, "ask", method="sampling/createMessage"))
        question = await session.message()
        assert question["method"] == "sampling/createMessage"
        await session.send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "no"}})
        assert said(await session.message()) == {"code": -32601, "message": "no"}


async def test_a_cancelled_request_reaches_the_child_and_is_not_answered(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        await session.send(call(1, "hold"))
        await one_gateway.said("holding")
        await session.send(notification("notifications/cancelled", {"requestId": 1}))
        assert said(await session.ask(call(2, "held")))["cancelled"] == 1


async def test_a_message_in_several_frames_is_one(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        text = json.dumps(call(1, "echo", text="in pieces ☃"), ensure_ascii=False)
        await session.send_event(TextMessage(data=text[:20], message_finished=False))
        await session.send_event(Ping(payload=b"in between"))
        await session.send_event(TextMessage(data=text[20:-1], message_finished=False))
        await session.send_event(TextMessage(data=text[-1:]))
        assert isinstance(pong := await session.event(), Pong)
        assert bytes(pong.payload) == b"in between"
        assert said(await session.message()) == "in pieces ☃"


async def test_no_compression_is_agreed_on(one_gateway: Gateway) -> None:
    offered = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    async with websocket(one_gateway.url, headers=offered) as session:
        assert "sec-websocket-extensions" not in session.headers


# How it ends.


async def test_the_end_of_the_connection_is_the_end_of_the_session(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        whoami = said(await session.ask(call(1, "whoami")))
        with watching(whoami["pid"]) as [server]:
            await session.stream.aclose()
            await server.ended()
    await one_gateway.said("on light ended: client_gone")


async def test_a_client_that_closes_in_order_is_answered_in_order(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        await session.send_event(CloseConnection(code=1000, reason="done"))
        event = await session.event()
        assert isinstance(event, CloseConnection)
        assert event.code == 1000
    await one_gateway.said("on light ended: client_closed")


async def test_a_child_that_dies_is_the_error_of_its_calls_and_a_1011(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        await session.send(call(1, "hold"))
        await session.send(call(2, "die", code=3))
        errors = [await session.message() for _ in range(2)]
        assert [each["id"] for each in errors] == [1, 2]
        assert {each["error"]["data"]["code"] for each in errors} == {"child_exited"}
        assert await session.closed() == (1011, "child_exited")


async def test_a_child_that_refuses_to_initialize_is_an_error_and_a_1011(tmp_path: Path) -> None:
    servers = {"light": light("--refuse")}
    async with running(servers, tmp_path=tmp_path) as gateway, websocket(gateway.url, hello=False) as session:
        assert (await session.ask(request(0, "initialize", HELLO)))["error"]["message"] == "not today"
        assert await session.closed() == (1011, "start_failed")


async def test_the_longest_life_ends_with_a_1001(tmp_path: Path) -> None:
    servers = {"light": light(max_lifetime="1s")}
    async with running(servers, tmp_path=tmp_path) as gateway, websocket(gateway.url) as session:
        assert await session.closed() == (1001, "max_lifetime")


async def test_an_open_connection_is_not_idle(tmp_path: Path) -> None:
    servers = {"light": light(idle_timeout="1s")}
    async with running(servers, tmp_path=tmp_path) as gateway, websocket(gateway.url) as session:
        await gateway.text(await gateway.session_id(), "echo", text="here")
        await gateway.said("on light ended: idle_timeout")  # that one, which began to be idle later
        assert said(await session.ask(call(1, "echo", text="still here"))) == "still here"


async def test_the_gateways_end_answers_calls_and_closes_with_a_1001(tmp_path: Path) -> None:
    async with (
        running(tmp_path=tmp_path, drain_timeout="1s") as gateway,
        websocket(gateway.url) as held,
        websocket(gateway.url) as idle,
    ):
        await held.send(call(1, "hold"))
        await gateway.said("holding")
        gateway.process.terminate()
        assert (await held.message())["error"]["data"]["code"] == "shutdown"
        assert await held.closed() == (1001, "shutdown")
        assert await idle.closed() == (1001, "shutdown")
        with anyio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 0


# Who may come in: every refusal is an HTTP answer, and nothing was spawned for it.


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Sec-WebSocket-Protocol": None}, 400, "bad_request"),
        ({"Sec-WebSocket-Protocol": "graphql-ws, MCP"}, 400, "bad_request"),
        ({"Origin": "http://evil.example"}, 403, "origin_denied"),
        ({"Origin": "null"}, 403, "origin_denied"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "origin_denied"),
        ({"Host": "evil.example"}, 421, "host_denied"),
    ],
)
async def test_a_handshake_that_may_not_be_is_refused(
    one_gateway: Gateway, headers: dict[str, str | None], status: int, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        async with websocket(one_gateway.url, headers=headers):
            pass
    assert (refused.value.status, refused.value.error["data"]["code"]) == (status, code)
    assert refused.value.headers["content-type"] == "application/json"
    assert refused.value.headers["cache-control"] == "no-store"
    assert one_gateway.children() == set()


async def test_a_page_of_the_gateways_own_and_one_of_several_subprotocols_may_come_in(one_gateway: Gateway) -> None:
    headers = {"Origin": one_gateway.url, "Sec-WebSocket-Protocol": "other, mcp"}
    async with websocket(one_gateway.url, headers=headers) as session:
        assert said(await session.ask(call(1, "echo", text="here"))) == "here"


async def test_credentials_are_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, auth=AUTH) as gateway:
        for headers in ({}, {"Authorization": "Bearer s3cret-but-wrong"}):
            with pytest.raises(Refused) as refused:
                async with websocket(gateway.url, headers=headers):
                    pass
            assert (refused.value.status, refused.value.error["data"]["code"]) == (401, "unauthenticated")
            assert refused.value.headers["www-authenticate"] == 'ApiKey realm="mcp-gateway"'
        async with websocket(gateway.url, headers={"Authorization": "Bearer s3cret-token-1"}) as session:
            assert said(await session.ask(call(1, "echo", text="here"))) == "here"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/nowhere/ws", 404, "server_not_found"), ("/light/web", 404, "route_not_found")],
)
async def test_where_there_is_nothing_is_a_404(one_gateway: Gateway, path: str, status: int, code: str) -> None:
    with pytest.raises(Refused) as refused:
        async with websocket(one_gateway.url, path):
            pass
    error = refused.value.error
    assert (refused.value.status, error.get("data", error)["code"]) == (status, code)


async def test_where_there_is_no_room_the_handshake_says_when_to_come_again() -> None:
    async with played() as (supervisor, gateway):
        supervisor.refuse(Reason.MAX_SESSIONS, "there is no room", retry_after=2.1)
        with pytest.raises(Refused) as refused:
            async with websocket(gateway.url):
                pass
        assert (refused.value.status, refused.value.headers["retry-after"]) == (429, "3")
        assert refused.value.error["data"] == {"code": "max_sessions", "about": {"server": "light", "retryAfter": 3}}
        assert (await gateway.health())["sessions"] == 0


async def test_a_request_that_asks_for_no_upgrade_is_told_what_is_expected(one_gateway: Gateway) -> None:
    answer = await one_gateway.http.get("/light/ws")
    assert (answer.status_code, answer.json()["error"]["data"]["about"]) == (400, {"header": "Upgrade"})
    assert (await one_gateway.http.post("/light/ws")).status_code == 405
    assert (await one_gateway.http.get("/nowhere/ws")).status_code == 404


async def test_another_door_is_none_for_it(one_gateway: Gateway) -> None:
    for path in ("/light/mcp", "/light/sse", "/light", "/health"):
        with pytest.raises(Refused) as refused:
            async with websocket(one_gateway.url, path):
                pass
        assert refused.value.status in (400, 405)


@pytest.mark.parametrize("headers", [{"Sec-WebSocket-Version": "12"}, {"Sec-WebSocket-Key": None}])
async def test_what_is_no_handshake_is_a_400_and_ends_the_connection(
    one_gateway: Gateway, headers: dict[str, str | None]
) -> None:
    with pytest.raises(Refused) as refused:
        async with websocket(one_gateway.url, headers=headers):
            pass
    assert refused.value.status == 400


async def test_a_client_that_speaks_before_the_handshake_is_done_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path) as gateway, connected(gateway.url) as stream:
        with pytest.raises(Refused) as refused:
            await upgrade(stream, handshake(gateway.url, "/light/ws", {}) + b"\x81\x80early")
        assert refused.value.status == 400
        assert (await gateway.health())["sessions"] == 0


async def test_a_client_that_leaves_while_its_child_is_started_leaves_nothing() -> None:
    async with played() as (supervisor, gateway):
        asked = anyio.Event()

        async def keep_waiting(_: object) -> None:
            asked.set()

        supervisor.on_open = keep_waiting
        async with connected(gateway.url) as stream:
            await stream.send(handshake(gateway.url, "/light/ws", {}))
            with anyio.fail_after(PATIENCE):
                await asked.wait()
        await gateway.said("on light ended: client_gone")


# What is wrong with a message, and with a frame.


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", -32700, "invalid_json"),
        ("not JSON", -32700, "invalid_json"),
        ('"text"', -32600, "invalid_message"),
        ("[]", -32600, "invalid_message"),
        (json.dumps([request(1, "ping")]), -32600, "invalid_message"),
        ('{"id": 1, "method": "ping"}', -32600, "invalid_message"),
        ('{"jsonrpc": "2.0", "id": {}, "method": "ping"}', -32600, "invalid_message"),
        ('{"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}', -32600, "invalid_message"),
    ],
)
async def test_what_is_no_message_is_an_error_and_the_session_goes_on(
    one_gateway: Gateway, text: str, code: int, reason: str
) -> None:
    async with websocket(one_gateway.url) as session:
        await session.send_text(text)
        error = await session.message()
        assert (error["id"], error["error"]["code"], error["error"]["data"]["code"]) == (None, code, reason)
        assert said(await session.ask(call(1, "echo", text="still here"))) == "still here"


async def test_a_binary_frame_is_a_1003(one_gateway: Gateway) -> None:
    for data in (json.dumps(request(1, "ping")).encode(), b""):
        async with websocket(one_gateway.url) as session:
            await session.send_binary(data)
            assert await session.closed() == (1003, "unsupported_media_type")
    await one_gateway.said("on light ended: unsupported_media_type", times=2)


WRONG_FRAMES = [
    (b"\x81\x82\0\0\0\0\xff\xfe", (1007, "invalid_json")),
    (b"\x81\x83\0\0\0\0\xed\xa0\x80", (1007, "invalid_json")),  # half of a pair
    (b"\x81\x02{}", (1002, "bad_request")),  # not masked
    (b"\x80\x80\0\0\0\0", (1002, "bad_request")),  # goes on with nothing
    (b"\x83\x80\0\0\0\0", (1002, "bad_request")),  # of no known kind
    (b"\xc1\x80\0\0\0\0", (1002, "bad_request")),  # compressed
]


async def test_a_frame_that_is_wrong_ends_the_session_and_says_how(one_gateway: Gateway) -> None:
    async def send(frame: bytes, closed: tuple[int, str]) -> None:
        async with websocket(one_gateway.url) as session:
            await session.send_bytes(frame + b"whatever comes then is not looked at")
            assert await session.closed() == closed

    async with anyio.create_task_group() as tasks:
        for frame, closed in WRONG_FRAMES:
            tasks.start_soon(send, frame, closed)
    await one_gateway.gone(len(WRONG_FRAMES))


async def test_a_servers_own_limit_holds_in_bytes(tmp_path: Path) -> None:
    servers = {"light": light(max_message_bytes=LIMIT), "large": light(max_message_bytes=1 << 25)}
    async with running(servers, tmp_path=tmp_path) as gateway:
        for filler in ("x", "☃"):
            async with websocket(gateway.url) as session:
                text = json.dumps(call(1, "add", text=""), ensure_ascii=False)
                room = LIMIT - len(text.encode())
                fits, rest = divmod(room, len(filler.encode()))
                whole = json.dumps(call(1, "add", text=filler * fits + "x" * rest), ensure_ascii=False)
                await session.send_text(whole)
                assert said(await session.message()) == 1
                await session.send_text(whole + " ")
                assert await session.closed() == (1009, "message_too_large")
        async with websocket(gateway.url, "/large/ws") as session:
            assert len(said(await session.ask(call(1, "echo", text="x" * 20_000_000)))) == 20_000_000


async def test_a_supervisor_is_told_why(tmp_path: Path) -> None:
    async with played() as (supervisor, gateway):
        async with websocket(gateway.url) as session:
            await session.send_binary(b"x")
            await session.closed()
        assert (await supervisor.told(Release)).reason is Reason.UNSUPPORTED_MEDIA_TYPE
