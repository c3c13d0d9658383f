"""Keys, hashes and files on a real gateway, and what becomes of them when the file is read again."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from argon2 import PasswordHasher
from ruamel.yaml import YAML
from wsproto.events import CloseConnection, Event, TextMessage

from common.hashes import sha256_of
from tests.support.gateway import Gateway, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, call, request, sse
from tests.support.rawws import websocket
from tests.support.tokens import SECRET, token

ANN = {"X-API-Key": "s3cret-key-of-ann"}
BEN = {"Authorization": "Bearer s3cret-token-of-ben"}
TRUSTED = {"issuer": "https://login.example", "audience": "mcp", "secret_file": "secret", "leeway": 0}


def eve(**claims: Any) -> dict[str, str]:
    """A token of hers, as new as can be."""
    own = {"iss": "https://login.example", "aud": "mcp", "sub": "eve", **claims}
    return {"Authorization": f"Bearer {token(SECRET, 'HS256', **own)}"}


# Much quicker to check than what the command makes, for the machine may be busy.
CAT = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("s3cret-cat")


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("auth")
    (directory / "secret").write_text(f"{SECRET}\n")
    (directory / "ben").write_text("s3cret-token-of-ben\n")
    keys = {"keys": [{"name": "ann", "hash": sha256_of("s3cret-key-of-ann")}]}
    people = {"credentials": [{"username": "cat", "password_hash": CAT}]}
    bearer = {"tokens": [{"name": "ben", "file": "ben"}]}
    auth = {"api_keys": keys, "basic": people, "bearer": bearer, "jwt": [TRUSTED]}
    async with running(tmp_path=directory, auth=auth) as gateway:
        yield gateway


@pytest.fixture
async def gateway(shared: Gateway) -> AsyncIterator[Gateway]:
    await shared.quiet()
    async with shared.connecting():
        yield shared


async def test_each_way_admits_and_the_log_names_who_came(gateway: Gateway) -> None:
    for headers, name in ((ANN, "apikey:ann"), (BEN, "bearer:ben"), (eve(), "https://login.example:eve")):
        async with gateway.connecting():
            gateway.http.headers.update(headers)
            id_ = await gateway.session_id()
            await gateway.text(id_, "whoami")
            assert (await gateway.http.delete(f"/api/sessionid?sessionId={id_}")).status_code == 204
        await gateway.said(f" of {name} ")
    assert "s3cret" not in gateway.log
    assert SECRET not in gateway.log
    assert headers["Authorization"].split()[1] not in gateway.log


async def test_a_slow_hash_admits_and_who_guesses_is_kept_waiting(gateway: Gateway) -> None:
    right = ("cat", "s3cret-cat")
    assert (await gateway.http.get("/api/sessionid", auth=right)).status_code == 200
    statuses = []
    async with anyio.create_task_group() as tasks:

        async def guess(number: int) -> None:
            answer = await gateway.http.get("/api/sessionid", auth=("cat", f"s3cret-{number}"))
            statuses.append((answer.status_code, answer.headers.get("retry-after")))

        for number in range(60):
            tasks.start_soon(guess, number)
    assert set(statuses) == {(401, None), (429, "2")}
    assert statuses.count((401, None)) < 40
    # Neither whoever was verified before is kept waiting, nor who has a key.
    assert (await gateway.http.get("/api/sessionid", auth=right)).status_code == 200
    assert (await gateway.http.get("/api/sessionid", headers=ANN)).status_code == 200
    assert (await gateway.http.get("/health", auth=("cat", "another"))).json() == {"status": "ok"}


async def test_a_websocket_does_not_outlive_its_token(gateway: Gateway) -> None:
    expires = int(time.time()) + 2
    async with websocket(gateway.url, headers=eve(exp=expires)) as connection:
        answers = 0
        event: Event | None = None
        with anyio.fail_after(PATIENCE):
            while not isinstance(event, CloseConnection):
                await connection.send(call(answers, "echo", text="hi"))
                event = await connection.event()
                answers += isinstance(event, TextMessage)
    assert (event.code, event.reason) == (1008, "credentials_expired")
    assert answers > 0
    assert time.time() >= expires


async def test_a_key_and_a_token_of_two_are_refused(gateway: Gateway) -> None:
    answer = await gateway.http.post("/light/mcp", json=request(0, "initialize", HELLO), headers=BOTH | ANN | BEN)
    assert answer.status_code == 400
    twice = [*ANN.items(), *ANN.items()]
    assert (await gateway.http.get("/api/sessionid", headers=twice)).status_code == 400


async def test_what_is_taken_out_of_the_file_admits_no_more_and_ends_its_sessions(tmp_path: Path) -> None:
    secret = "s3cret-token-of-ben"
    plain = {"bearer": {"tokens": [{"name": "ben", "token": secret}]}}
    people = {"credentials": [{"username": "cat", "password": "s3cret-cat"}]}
    keys = {"keys": [{"name": "ann", "key": "s3cret-key-of-ann"}]}
    before = {**plain, "basic": people, "api_keys": keys}
    async with running(tmp_path=tmp_path, auth=before) as gateway:
        gateway.http.headers.update(BEN)
        async with websocket(gateway.url, headers=ANN) as gone, sse(gateway.http) as stays:
            path = tmp_path / "config.yaml"
            config = YAML(typ="safe").load(path.read_text())
            write_config(path, {**config, "auth": {"bearer": {"tokens": [{"name": "ben", "hash": sha256_of(secret)}]}}})
            os.kill(gateway.program("supervisor"), signal.SIGHUP)
            await gateway.said("apikey:ann .*credentials_removed")
            # An open connection of hers is no way in any more; his goes on, for his secret is the same.
            assert await gone.closed() == (1008, "credentials_removed")
            assert (await stays.ask(request(7, "ping")))["id"] == 7
            assert (await gateway.http.get("/api/sessionid")).status_code == 200
            async with gateway.connecting():
                assert (await gateway.http.get("/api/sessionid", headers=ANN)).status_code == 401
                assert (await gateway.http.get("/api/sessionid", auth=("cat", "s3cret-cat"))).status_code == 401
        assert "s3cret" not in gateway.log
        assert "not taken over until a restart" not in gateway.log
