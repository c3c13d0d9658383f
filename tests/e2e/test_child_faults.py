"""What a child can do wrong, and what its caller gets then."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.processes import watching
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, request, said, sse

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("death", "about"),
    [({"code": 3}, {"exitCode": 3}), ({"signal": "SIGKILL"}, {"signal": 9}), ({"code": 0}, {"exitCode": 0})],
)
async def test_a_child_that_dies_in_a_call_fails_every_call_in_flight(
    one_gateway: Gateway, death: dict[str, Any], about: dict[str, Any]
) -> None:
    id_ = await one_gateway.session_id()
    await one_gateway.text(id_, "whoami")
    answers = []

    async def ask() -> None:
        answers.append(await one_gateway.call(id_, "hold"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        tasks.start_soon(ask)
        await one_gateway.said("stderr: holding", times=2)
        answers.append(await one_gateway.call(id_, "die", **death))
    for answer in answers:
        assert answer.status_code == 502
        error = answer.json()["error"]
        certificate = error["about"].pop("certificate")
        assert (error["code"], error["about"]) == ("child_exited", {"server": "light", **about})
        assert "last words" not in answer.text
    afterwards = await one_gateway.call(id_, "whoami")
    assert afterwards.status_code == 404
    expected = {"reason": "child_exited", "server": "light", "certificate": certificate}
    assert afterwards.json()["error"]["about"] == expected


async def test_its_last_words_are_in_the_log(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    await one_gateway.call(id_, "die", code=4)
    await one_gateway.said("WARNING supervisor light pid .* is gone: child_exited, exit code 4")
    await one_gateway.said("WARNING supervisor its command was: .*light.py")
    await one_gateway.said("WARNING supervisor its stderr: last words")


async def test_on_streamable_http_a_death_is_an_error_in_a_200_and_then_a_404(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    async with session.streaming(call(1, "hold")) as waiting:
        answer = await session.post(call(2, "die", code=1))
        assert answer.status_code == 200
        for message in (answer.json(), await waiting.message()):
            assert message["error"]["code"] == -32000
            assert message["error"]["data"]["about"].pop("certificate")
            assert message["error"]["data"] == {"code": "child_exited", "about": {"server": "light", "exitCode": 1}}
        assert await waiting.at_end()
    assert (await session.post(call(3, "whoami"))).status_code == 404


async def test_on_sse_a_death_is_an_error_and_the_end_of_the_stream(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        await session.post(call(1, "die", code=1))
        assert (await session.events.message())["error"]["data"]["code"] == "child_exited"
        assert await session.events.at_end()


async def test_an_answer_that_was_written_before_the_death_arrives(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    line = '{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"made it"}]}}\n'
    async with anyio.create_task_group() as tasks:
        answers: dict[int, Any] = {}

        async def ask(id_: int, tool: str, **arguments: Any) -> None:
            answers[id_] = (await session.post(call(id_, tool, **arguments))).json()

        tasks.start_soon(ask, 2, "hold")
        await one_gateway.said("stderr: holding")
        # Towards the child the ids are the gateway's own: initialize was 1, hold is 2, this is 3.
        await session.post(call(9, "write", text=line))
        await session.post(call(10, "die", code=1))
    assert answers[2]["error"]["data"]["code"] == "child_exited"


@pytest.mark.parametrize(
    "noise",
    [
        "Welcome!\n",
        "Traceback (most recent call last):\n  File x\n",
        "\n\n \n",
        "{}\n",
        '{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}\n',
        '{"jsonrpc":"2.0","id":9999,"result":{}}\n',
        '{"jsonrpc":"2.0","id":"no","result":{}}\n',
        "Content-Length: 17\r\n\r\n",
        "\x00\n",
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"nobody"}}\n',
    ],
)
async def test_noise_on_stdout_is_skipped_and_counted(one_gateway: Gateway, noise: str) -> None:
    id_ = await one_gateway.session_id()
    before = sum((await one_gateway.health())["droppedMessages"].values())
    assert await one_gateway.text(id_, "write", text=noise) == "written"
    assert await one_gateway.text(id_, "echo", text="on") == "on"
    expected = 0 if not noise.strip() else 1
    assert sum((await one_gateway.health())["droppedMessages"].values()) >= before + expected
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_half_a_line_spoils_one_message_at_most(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    # The answer to `write` is glued to the half line, and lost with it.
    async with anyio.create_task_group() as tasks:
        answers = []

        async def ask() -> None:
            answers.append(await one_gateway.call(id_, "write", text='{"jsonrpc":'))

        tasks.start_soon(ask)
        await one_gateway.said("wrote what is no message")
        assert await one_gateway.text(id_, "echo", text="on") == "on"
        await one_gateway.call(id_, "die")
    assert answers[0].json()["error"]["code"] == "child_exited"


async def test_a_banner_before_the_handshake_is_skipped(tmp_path: Path) -> None:
    async with running({"light": light("--banner")}, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        assert await gateway.text(id_, "echo", text="on") == "on"
        assert (await gateway.health())["droppedMessages"] == {"noise": 1}


async def test_a_line_over_the_limit_is_dropped_and_the_session_goes_on(tmp_path: Path) -> None:
    servers = {"light": light(max_message_bytes="64KiB")}
    async with running(servers, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        answer = await gateway.call(id_, "big", bytes=1_000_000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "child_error")
        assert "max_message_bytes is 65536" in answer.json()["error"]["message"]
        assert await gateway.text(id_, "echo", text="on") == "on"
        assert (await gateway.health())["droppedMessages"]["oversized"] == 1


async def test_a_large_line_within_the_limit_passes(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    assert len(await one_gateway.text(id_, "big", bytes=15_000_000)) == 15_000_000
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_a_call_that_takes_too_long_fails_and_the_session_goes_on(tmp_path: Path) -> None:
    async with running({"light": light(request_timeout="100ms")}, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        answer = await gateway.call(id_, "hold")
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "request_timeout"
        assert await gateway.text(id_, "held") == {"held": 0, "cancelled": 1}
        session = await Streamable(gateway.http).open()
        late = await session.post(call(1, "hold"))
        assert late.status_code == 200
        assert late.json()["error"]["data"]["code"] == "request_timeout"
        assert await session.call(2, "held") == {"held": 0, "cancelled": 1}


BROKEN: dict[str, Any] = {
    "missing": {"command": "no-such-command-anywhere"},
    "nowhere": light(path="/no/such/directory"),
    "dies": light("--die-at-start"),
    "mute": light("--mute", start_timeout="200ms"),
    "refuses": light("--refuse"),
    "notexec": {"command": "/etc/passwd"},
    "script": {"command": sys.executable, "args": ["/no/such/script.py"]},
}
EXPECTED = [
    ("missing", "command_not_found", 502),
    ("nowhere", "path_not_found", 502),
    ("dies", "child_exited", 502),
    ("mute", "start_timeout", 504),
    ("refuses", "start_failed", 502),
    ("notexec", "command_not_found", 502),
    ("script", "child_exited", 502),
]


@pytest.fixture(scope="module")
async def broken_shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Any:
    # Each door has servers of its own, for who keeps failing is given a rest.
    servers = {f"{name}{door}": spec for name, spec in BROKEN.items() for door in ("", ".mcp", ".log")}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("broken")) as gateway:
        yield gateway


@pytest.fixture
async def broken(broken_shared: Gateway) -> Any:
    """A gateway none of whose servers can be used."""
    await broken_shared.quiet()
    async with broken_shared.connecting():
        yield broken_shared


@pytest.mark.parametrize(("server", "reason", "status"), EXPECTED)
async def test_a_server_that_does_not_start_is_named_and_may_be_tried_again(
    broken: Gateway, server: str, reason: str, status: int
) -> None:
    id_ = await broken.session_id()
    for _ in range(2):
        answer = await broken.call(id_, "echo", server)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, reason)
        assert answer.json()["error"]["about"]["server"] == server
    await broken.quiet()
    assert (await broken.health())["sessions"] == 0


@pytest.mark.parametrize(("server", "reason", "status"), EXPECTED)
async def test_on_streamable_http_it_is_an_error_without_a_session(
    broken: Gateway, server: str, reason: str, status: int
) -> None:
    answer = await broken.http.post(f"/{server}.mcp/mcp", json=request("i", "initialize", HELLO), headers=BOTH)
    assert answer.status_code == 200
    assert "mcp-session-id" not in answer.headers
    assert answer.json()["id"] == "i"
    error = answer.json()["error"]
    assert reason == "start_failed" or error["data"]["code"] == reason
    await broken.quiet()
    assert (await broken.health())["sessions"] == 0


async def test_on_sse_a_child_that_cannot_be_spawned_is_an_answer_to_the_get(broken: Gateway) -> None:
    answer = await broken.http.get("/missing.log/sse")
    assert answer.status_code == 502
    assert answer.json()["error"]["data"]["code"] == "command_not_found"


async def test_the_log_says_what_was_looked_for(broken: Gateway) -> None:
    id_ = await broken.session_id()
    await broken.call(id_, "echo", "missing.log")
    await broken.said(
        "ERROR .* server missing.log: command_not_found: command 'no-such-command-anywhere' not found on PATH="
    )
    await broken.call(id_, "echo", "dies.log")
    await broken.said("WARNING supervisor its stderr: cannot start: no license")


async def test_a_child_that_closes_its_stdout_is_ended(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    whoami = await one_gateway.text(id_, "whoami")
    with watching(whoami["pid"]) as [server]:
        answer = await one_gateway.call(id_, "close_stdout")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "child_closed_stdout")
        await server.ended()


async def test_the_number_of_sessions_is_bounded_and_the_refusal_is_a_429(tmp_path: Path) -> None:
    servers = {"one": light(max_sessions=1), "many": light()}
    async with running(servers, tmp_path=tmp_path, max_sessions=2, queue_max=0) as gateway:
        first = await Streamable(gateway.http, "/one").open()
        second = await gateway.http.post("/one", json=request(1, "initialize", HELLO), headers=BOTH)
        assert (second.status_code, second.json()["error"]["data"]["code"]) == (429, "max_sessions")
        await Streamable(gateway.http, "/many").open()
        id_ = await gateway.session_id()
        third = await gateway.call(id_, "echo", "many")
        assert (third.status_code, third.json()["error"]["code"]) == (429, "max_sessions")
        await first.delete()
        await gateway.gone(1)
        assert await gateway.text(id_, "echo", "many", text="room") == "room"


async def test_a_child_that_is_not_read_waits_and_nobody_else_does(one_gateway: Gateway) -> None:
    slow, other = await Streamable(one_gateway.http).open(), await Streamable(one_gateway.http).open()
    async with slow.http.stream("POST", slow.path, json=call(1, "flood", lines=20_000), headers=slow.headers) as unread:
        assert unread.status_code == 200
        for number in range(20):
            assert await other.call(number, "echo", text="quick") == "quick"
        count = 0
        async for line in unread.aiter_lines():
            count += line.startswith("data: {")
    assert count == 20_001
    await slow.delete()
    await other.delete()


async def test_what_the_child_gets_of_the_environment(tmp_path: Path) -> None:
    env = {"SECRET_OF_THE_GATEWAY": "s3cret", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TOKEN": "t0ken"}
    servers = {"light": light(env={"GITHUB_TOKEN": "${TOKEN}", "PORT": 8080}, path=str(tmp_path))}
    async with running(servers, tmp_path=tmp_path, env=env) as gateway:
        id_ = await gateway.session_id()
        environment = await gateway.text(id_, "environment")
        assert (environment["GITHUB_TOKEN"], environment["PORT"], environment["LANG"]) == ("t0ken", "8080", "C.UTF-8")
        assert "SECRET_OF_THE_GATEWAY" not in environment
        assert "TOKEN" not in environment
        assert (await gateway.text(id_, "whoami"))["cwd"] == str(tmp_path)
        await gateway.call(id_, "die", code=1)
        await gateway.said("is gone: child_exited")
    assert "t0ken" not in gateway.log
    assert "s3cret" not in gateway.log


async def test_stderr_is_for_the_log(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    await one_gateway.text(id_, "complain", text="something is odd")
    await one_gateway.said("DEBUG .* light pid [0-9]+ stderr: something is odd")
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_a_child_killed_from_outside_is_reported_with_the_signal(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    pid = (await session.call(1, "whoami"))["pid"]
    async with session.streaming(call(2, "hold")) as events:
        os.kill(pid, signal.SIGTERM)
        message = await events.message()
    assert message["error"]["data"]["about"].pop("certificate")
    assert message["error"]["data"]["about"] == {"server": "light", "signal": 15}


async def test_twenty_calls_at_once_get_their_own_answers(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    answers: dict[int, str] = {}

    async def ask(number: int) -> None:
        answers[number] = said((await session.post(call(number, "hold", text=f"n{number}"))).json())

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
        await one_gateway.said("stderr: holding", times=20)
        await session.call("r", "release")
    assert answers == {number: f"n{number}" for number in range(20)}
    await session.delete()
