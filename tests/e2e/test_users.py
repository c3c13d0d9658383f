"""Many users behind one key: each has sessions and children of their own, on every door, and after a restart, too."""

import base64
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ruamel.yaml import YAML

from tests.support.apart import gateway, stop, supervisor
from tests.support.gateway import Gateway, light, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import HELLO, Streamable, request, sse
from tests.support.rawmodern import at_once
from tests.support.rawws import Refused, websocket
from tests.support.users import FRONT, HEADER, KEYS, OTHER, of

pytestmark = pytest.mark.slow

SERVERS = {"light": light(), "keyed": light(affinity_header="X-Conversation")}


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway behind a front."""
    async with running(SERVERS, tmp_path=tmp_path_factory.mktemp("gateway"), **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def shared(module: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections that end with the test."""
    async with module.connecting():
        yield module


async def opened(gateway: Gateway, headers: dict[str, str]) -> Streamable:
    """A session of whoever sends `headers`."""
    session = Streamable(gateway.http)
    session.headers.update(headers)
    return await session.open()


async def test_two_users_of_one_key_have_two_children_and_one_session_is_no_use_to_the_other(shared: Gateway) -> None:
    ann, bob = [await opened(shared, of(name)) for name in ("ann", "bob")]
    assert (await ann.call(1, "whoami"))["pid"] != (await bob.call(1, "whoami"))["pid"]
    for headers in (of("bob"), FRONT, OTHER, {**OTHER, HEADER: "ann"}):
        thief = Streamable(shared.http)
        thief.headers.update({**ann.headers, **headers})
        if HEADER not in headers:
            del thief.headers[HEADER]
        assert (await thief.post(request(2, "ping"))).status_code == 404
    assert (await ann.post(request(3, "ping"))).status_code == 200


@pytest.mark.parametrize("value", ["", "{{LIBRECHAT_USER_ID}}", "b64:%", "x" * 257])
async def test_a_user_that_is_none_opens_nothing_and_every_door_says_what_to_write(shared: Gateway, value: str) -> None:
    headers = of(value)
    answers = [
        await shared.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=headers),
        await shared.http.get("/light/sse", headers=headers),
        await shared.http.get("/api/sessionid", headers=headers),
        await shared.http.get("/api/certificates/c1", headers=headers),
    ]
    with pytest.raises(Refused) as refused:
        async with websocket(shared.url, headers=headers):
            pass
    assert [each.status_code for each in answers] + [refused.value.status] == [403] * 5
    said = [answers[0].json()["error"], answers[1].json()["error"], refused.value.error]
    assert {each["data"]["code"] for each in said} == {"user_denied"}
    assert all("X-Gateway-User: '{{LIBRECHAT_USER_ID}}'" in each["message"] for each in said)
    assert [each.json()["error"]["code"] for each in answers[2:]] == ["user_denied"] * 2


async def test_a_header_that_was_sent_twice_names_nobody(shared: Gateway) -> None:
    twice = [*FRONT.items(), (HEADER, "ann"), (HEADER, "ann")]
    answer = await shared.http.get("/api/sessionid", headers=twice)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "user_denied")


async def test_a_user_is_the_same_raw_and_encoded_and_nobody_who_looks_alike_is(shared: Gateway) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in of("Zoë").items()]
    opened = await shared.http.get("/api/sessionid", headers=raw)
    params = {"sessionId": opened.json()["sessionId"]}
    alike, same = ("b64:" + base64.b64encode(name.encode()).decode() for name in ("Zoe\u0308", "Zoë"))
    for other in ("Zoe", alike):
        assert (await shared.http.delete("/api/sessionid", params=params, headers=of(other))).status_code == 404
    assert (await shared.http.delete("/api/sessionid", params=params, headers=of(same))).status_code == 204


async def test_a_key_that_is_no_front_becomes_nobody_and_the_log_says_so_once(shared: Gateway) -> None:
    for _ in range(2):
        assert (await shared.http.get("/api/sessionid", headers={**OTHER, HEADER: "ann"})).status_code == 200
    assert (await shared.said("bearer:ci sent X-Gateway-User, which is not heeded")) is not None
    assert sum("which is not heeded" in line for line in shared.lines) == 1


async def test_a_client_without_sessions_has_the_child_of_its_user(shared: Gateway) -> None:
    one, again, other = [await at_once(shared, "light", "whoami", **of(name)) for name in ("ann", "ann", "bob")]
    assert one == again != other
    keyed = [
        await at_once(shared, "keyed", "whoami", **of(name), **{"X-Conversation": "c1"}) for name in ("ann", "bob")
    ]
    assert keyed[0] != keyed[1]


async def test_health_needs_no_user(shared: Gateway) -> None:
    for value in ("", "{{X}}", "ann"):
        assert (await shared.http.get("/health", headers=of(value))).status_code == 200


async def test_a_user_keeps_the_session_when_the_gateway_restarts(tmp_path: Path) -> None:
    async with supervisor(tmp_path, **KEYS, require_user=True) as (_, path):
        async with gateway(path) as front:
            ann = await opened(front, of("ann"))
            before = await ann.call(1, "whoami")
            await stop(front, signal.SIGKILL)
        async with gateway(path) as front:
            async with httpx2.AsyncClient(base_url=front.url, timeout=PATIENCE) as ann.http:
                for headers in (of("bob"), OTHER):
                    answer = await ann.http.post(ann.path, json=request(2, "ping"), headers={**ann.headers, **headers})
                    assert answer.status_code in {403, 404}
                assert await ann.call(3, "whoami") == before
            nobody = await front.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=FRONT)
            assert (nobody.status_code, nobody.json()["error"]["data"]["code"]) == (403, "user_denied")
            assert (await front.http.get("/api/sessionid", headers=OTHER)).status_code == 200


async def test_a_front_that_is_believed_no_more_loses_its_users_sessions(tmp_path: Path) -> None:
    async def change(supervisor: Gateway, times: int, **keys: Any) -> None:
        file = tmp_path / "config.yaml"
        write_config(file, {**YAML(typ="safe").load(file.read_text()), **keys})
        supervisor.process.send_signal(signal.SIGHUP)
        await supervisor.said("the configuration was read again", times)

    async with supervisor(tmp_path, **KEYS) as (program, path):
        async with gateway(path) as front:
            async with websocket(front.url, headers=of("ann")) as ann, websocket(front.url, headers=FRONT) as own:
                await change(program, 1, trusted_fronts=["ci"])
                assert await ann.closed() == (1008, "credentials_removed")
                assert (await own.ask(request(7, "ping")))["id"] == 7
            await opened(front, {**OTHER, HEADER: "bob"})
            await stop(front, signal.SIGKILL)
        # It is the same for whoever is taken out while there is no gateway.
        await change(program, 2, trusted_fronts=["librechat"])
        async with gateway(path) as front:
            await front.said("bearer:ci for bob .*credentials_removed")


async def test_a_front_that_opens_a_session_for_all_is_told_of_once_through_any_door(shared: Gateway) -> None:
    shared.http.headers.update(FRONT)
    for _ in range(2):
        await Streamable(shared.http).open()
    async with sse(shared.http), websocket(shared.url, headers=FRONT):
        pass
    await opened(shared, of("ann"))
    await shared.said("bearer:librechat has opened a session with 'light' and named no user")
    async with websocket(shared.url, "/keyed/ws", headers=FRONT):
        await shared.said("bearer:librechat has opened a session with 'keyed' and named no user")
    assert sum("and named no user" in line for line in shared.lines) == 2
