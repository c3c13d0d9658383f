"""Each user's own credentials: to that user's child alone, and nowhere else."""

import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.apart import gateway as front
from tests.support.apart import stop, supervisor
from tests.support.credentials import DOORS, HEADER, PERSONAL, SHARED, Door, by_rest, by_streamable, seen, user
from tests.support.gateway import Gateway, light, running
from tests.support.processes import tree_of
from tests.support.rawmcp import BOTH, HELLO, Sse, Streamable, call, request, sse
from tests.support.rawws import Refused, websocket

pytestmark = pytest.mark.slow

TOKEN = "of-the-front"
FRONT = {"Authorization": f"Bearer {TOKEN}"}

SPILL = "env >&2; exit 3"

KEPT = ("streamable", "rest")
"""Doors of anonymous clients whose sessions outlive a gateway."""


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway, all of whose users come through one front that does not say whom it speaks for."""
    directory, auth = tmp_path_factory.mktemp("gateway"), {"bearer": {"tokens": [TOKEN]}}
    async with running({"light": SHARED}, tmp_path=directory, auth=auth) as gateway:
        yield gateway


@pytest.mark.parametrize("door", DOORS)
async def test_the_second_user_never_has_the_first_ones_credentials(place: Gateway, door: str) -> None:
    """ContextForge's sequence: within its 30 seconds a second user's requests go to the first one's child."""
    ask = DOORS[door]
    async with user(place, "first-one", **FRONT) as first, user(place, "other-one", **FRONT) as second:
        assert await asks(ask, first) == "first-one"
        _, theirs = await ask(first, None)
        assert (await ask(second, None))[0] == "other-one"
        # With an id that is not theirs, as all have the same token.
        assert (await ask(second, theirs))[0] == "other-one"
        assert (await ask(first, theirs))[0] == "first-one"
    async with user(place, **FRONT) as nobody, user(place, "{{TOKEN}}", **FRONT) as unresolved:
        assert await asks(ask, nobody) == "credential_missing"
        assert (await ask(nobody, theirs))[0] == "credential_missing"
        assert (await ask(unresolved, theirs))[0] == "credential_malformed"


async def asks(ask: Door, http: httpx2.AsyncClient) -> str:
    """What a user sees in a session of their own."""
    return (await ask(http, None))[0]


async def test_a_live_session_outlasts_a_request_that_is_refused(place: Gateway) -> None:
    async with user(place, "the-right-one", **FRONT) as http:
        _, id_ = await by_streamable(http)
        own = {**BOTH, "Mcp-Session-Id": id_}
        for wrong in ("", "{{TOKEN}}", "b64:!"):
            answer = await http.post("/light/mcp", json=call(7, "echo", text="x"), headers={**own, HEADER: wrong})
            assert (answer.status_code, answer.json()["id"]) == (200, 7)
            assert answer.json()["error"]["data"]["about"] == {"header": HEADER}
        await place.said(f"credential_malformed: the header {HEADER} ")
        twice = httpx2.Headers([*own.items(), (HEADER, "the-right-one"), (HEADER, "the-right-one"), *FRONT.items()])
        async with httpx2.AsyncClient(base_url=place.url) as plain:
            answer = await plain.post("/light/mcp", json=call(8, "echo", text="x"), headers=twice)
        assert "sent more than once" in answer.json()["error"]["message"]
        # What is no request of the child need bear nothing.
        async with user(place, **FRONT) as bare:
            cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
            assert (await bare.post("/light/mcp", json=cancelled, headers=own)).status_code == 202
            assert (await by_streamable(http, id_))[0] == "the-right-one"
            assert (await bare.delete("/light/mcp", headers=own)).status_code == 204


async def test_each_call_of_a_batch_is_refused(place: Gateway) -> None:
    async with user(place, "the-right-one", **FRONT) as http:
        session = await Streamable(http).open("2025-03-26")
        session.headers[HEADER] = "{{TOKEN}}"
        answer = await session.post([call(1, "environment"), call(2, "environment")])
        assert answer.status_code == 200
        assert [(each["id"], seen(each)) for each in answer.json()] == [
            (1, "credential_malformed"),
            (2, "credential_malformed"),
        ]
        del session.headers[HEADER]
        assert {seen(each) for each in (await session.post([call(3, "environment")])).json()} == {"the-right-one"}


async def test_on_a_stream_the_refusal_comes_as_an_answer(place: Gateway) -> None:
    async with user(place, "the-right-one", **FRONT) as http, sse(http) as session:
        assert seen(await session.ask(call(1, "environment"))) == "the-right-one"
        async with user(place, **FRONT) as other:
            theirs = Sse(other, session.events, session.endpoint, session.url)
            assert seen(await theirs.ask(call(2, "environment"))) == "credential_missing"
        assert seen(await session.ask(call(3, "environment"))) == "the-right-one"


async def test_a_websocket_is_opened_with_credentials_or_not_at_all(place: Gateway) -> None:
    async with websocket(place.url, "/light/ws", headers={**FRONT, HEADER: "on-a-socket"}) as connection:
        assert seen(await connection.ask(call(1, "environment"))) == "on-a-socket"
    with pytest.raises(Refused) as caught:
        async with websocket(place.url, "/light/ws", headers=FRONT):
            pass
    assert (caught.value.status, caught.value.error["data"]["code"]) == (400, "credential_missing")


async def test_what_is_no_latin_comes_in_base64(place: Gateway) -> None:
    async with user(place, "b64:0LrQu9GO0Yc=", **FRONT) as http:
        assert await asks(by_rest, http) == "ключ"


async def test_one_users_bad_token_gives_nobody_elses_server_a_rest(tmp_path: Path) -> None:
    picky = {
        "command": "/bin/sh",
        "args": ["-c", f'[ "$PLAIN_NAME" = good ] || exit 1; exec "{sys.executable}" -I -S "{light()["args"][-1]}"'],
        **PERSONAL,
        "allow_shared_uid": True,
    }
    async with running({"light": picky}, tmp_path=tmp_path) as gateway:
        async with user(gateway, "bad") as http:
            for _ in range(4):
                assert (await by_streamable(http))[0] == "child_exited"
        async with user(gateway, "good") as http:
            assert (await by_streamable(http))[0] == "good"


async def test_a_gateway_that_comes_next_knows_what_belongs_to_a_session(tmp_path: Path) -> None:
    async with supervisor(tmp_path, {"light": SHARED}) as (below, path):
        async with front(path) as one:
            async with user(one, "marked-one") as http:
                ids = {name: (await DOORS[name](http, None))[1] for name in KEPT}
                pids = one_and_all(below)
            assert not holders(one.process.pid, "marked-one")
            await stop(one, signal.SIGKILL)
        async with front(path) as other:
            async with user(other, "marked-one") as http:
                shown = {name: (await DOORS[name](http, id_))[0] for name, id_ in ids.items()}
                assert shown == dict.fromkeys(KEPT, "marked-one")
            assert one_and_all(below) == pids
            async with user(other, "other-one") as http:
                assert (await by_streamable(http, ids["streamable"]))[0] == "other-one"


def one_and_all(below: Gateway) -> set[int]:
    """The pids of the children."""
    return tree_of(below.process.pid) - {below.process.pid}


def holders(pid: int, mark: str) -> list[str]:
    """The files in memory that a process has, and that hold `mark`: what it notes for whoever comes next."""
    return [fd.name for fd in Path(f"/proc/{pid}/fd").iterdir() if is_memory(fd) and mark.encode() in fd.read_bytes()]


def is_memory(fd: Path) -> bool:
    try:
        return "memfd:" in str(fd.readlink())
    except FileNotFoundError:  # it was there for a moment
        return False


# In no log, no error, no file, no command line.

MARKS = [f"marked{number}-{'q' * 20}" for number in range(4)]


async def test_what_is_marked_is_found_nowhere(tmp_path: Path) -> None:
    """A run with all that goes wrong, and then a look at all that is left of it and was said."""
    spilling = {"command": "/bin/sh", "args": ["-c", SPILL], **PERSONAL, "allow_shared_uid": True}
    missing = {"command": "no-such-command", **PERSONAL, "allow_shared_uid": True}
    servers = {"light": SHARED, "spilling": spilling, "missing": missing}
    heard: list[str] = []
    audit = {"file": str(tmp_path / "audit.jsonl"), "arguments": True}
    keys: dict[str, Any] = {"debug": {"level": "verbose"}, "stderr_files": True, "audit": audit}
    async with running(servers, tmp_path=tmp_path, **keys) as gateway:
        keeper = {"response": [lambda response: keep(response, heard)]}
        for mark in MARKS:
            async with user(gateway, mark) as http:
                http.event_hooks = keeper
                await use_all(gateway, http, mark)
                assert found_in_proc(gateway, mark) == {"environ of a child"}
        heard.append((await gateway.http.get("/health")).text)
        alive = files(tmp_path)
    said = "".join(heard)
    assert said.count("certificate") > len(MARKS)
    left = files(tmp_path)
    assert any("stderr" in path for path in left)
    recorded = left[str(audit["file"])]
    assert recorded.count(b"my token is [redacted]") == 2 * len(MARKS)
    everything = [("the log", gateway.log.encode()), ("the answers", said.encode()), *alive.items(), *left.items()]
    found = [(where, mark) for where, text in everything for mark in MARKS if mark.encode() in text]
    assert not found
    assert "[redacted]" in gateway.log


def files(directory: Path) -> dict[str, bytes]:
    """All that stands below `directory`."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and not path.is_symlink()}


async def keep(response: httpx2.Response, heard: list[str]) -> None:
    """All that is answered, but for what the child itself is asked for."""
    if "event-stream" not in response.headers.get("content-type", ""):
        text = (await response.aread()).decode()
        if "PLAIN_NAME" not in text:
            heard.append(f"{response.headers}\n{text}\n")


async def use_all(gateway: Gateway, http: httpx2.AsyncClient, mark: str) -> None:
    """Sessions of all doors; some die, some are refused."""
    for ask in DOORS.values():
        assert await asks(ask, http) == mark
    session = await Streamable(http).open()
    await session.call(1, "complain", text=f"my token is {mark}, which I tell everybody")
    await session.call(1, "write", text=f'{mark}, which is no message\n{{"{mark}": 1}}\n')
    limits = await session.call(2, "run", script="grep core /proc/self/limits")
    assert limits["out"].split()[4] == "1"
    http.headers[HEADER] = f"{mark}-changed"
    await session.call(1, "complain", text=f"my token is {mark}-changed, which I tell everybody")
    http.headers[HEADER] = mark
    await session.post(call(3, "die", signal="SIGABRT"))
    async with sse(http) as stream:
        assert seen(await stream.ask(call(1, "environment"))) == mark
    async with websocket(gateway.url, "/light/ws", headers={HEADER: mark}) as connection:
        assert seen(await connection.ask(call(1, "environment"))) == mark
    for wrong in (f"{{{{{mark}}}}}", f"b64:{mark}!", f"{mark}\x7f", mark * 400):
        encoded = {**BOTH, HEADER: wrong}
        hello = await http.post("/light/mcp", json=request(0, "initialize", HELLO), headers=encoded)
        assert hello.json()["error"]["data"]["code"] == "credential_malformed"
        assert (await http.get("/light/sse", headers=encoded)).status_code == 400
    for server in ("spilling", "missing"):
        hello = await http.post(f"/{server}/mcp", json=request(0, "initialize", HELLO), headers=BOTH)
        about = hello.json()["error"]["data"]["about"]
        if "certificate" in about:
            await http.get(f"/api/certificates/{about['certificate']}")


def found_in_proc(gateway: Gateway, mark: str) -> set[str]:
    """Where /proc shows `mark` of any process of ours: its name, its command line, its environment."""
    found: set[str] = set()
    supervisor = gateway.program("supervisor")
    for pid in tree_of(gateway.launcher):
        below = pid in tree_of(supervisor) - {supervisor}
        for what in ("cmdline", "comm", "environ", "stat", "status"):
            try:
                text = Path(f"/proc/{pid}/{what}").read_bytes()
            except OSError:
                continue
            if mark.encode() in text:
                found.add(f"{what} of {'a child' if below else 'ours'}")
    return found
