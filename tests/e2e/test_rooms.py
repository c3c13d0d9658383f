"""A session's own room, and its own user: real children, that look for those of others."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, for_anybody, light, running, starting, write_config
from tests.support.processes import watching
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, request

pytestmark = pytest.mark.slow

FIRST, LAST = 3_000_000_000, 3_000_000_001
"""User ids that no machine gives anybody."""


async def run(session: Streamable, script: str) -> str:
    """What a shell's script says that a session's child runs; it must succeed."""
    done = await session.call("run", "run", script=script)
    assert done["status"] == 0, done
    return str(done["out"]).strip()


async def failing(session: Streamable, script: str) -> str:
    """What a shell's script complains of that a session's child runs; it must fail."""
    done = await session.call("run", "run", script=script)
    assert done["status"] != 0, done
    return str(done["err"])


@asynccontextmanager
async def two_users(directory: Path, tmp_path: Path, **keys: Any) -> AsyncIterator[tuple[Gateway, list[Streamable]]]:
    """A gateway that gives each session a user id, and two sessions."""
    servers = {"light": for_anybody(directory, uid_range=f"{FIRST}-{LAST}", **keys)}
    async with running(servers, tmp_path=tmp_path, sessions_dir=str(directory / "sessions")) as gateway:
        yield gateway, [await Streamable(gateway.http).open() for _ in range(2)]


async def test_each_session_has_a_room_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    base = tmp_path / "sessions"
    async with running(tmp_path=tmp_path, sessions_dir=str(base)) as gateway:
        sessions = [await Streamable(gateway.http).open() for _ in range(2)]
        rooms = set()
        for session in sessions:
            home, tmp, work = (await run(session, 'echo "$HOME $TMPDIR $PWD"; touch "$HOME/x" "$TMPDIR/x" x')).split()
            room = Path(home).parent
            assert (Path(tmp), Path(work)) == (room / "tmp", room / "work")
            assert room.parent.parent == base
            assert room.stat().st_mode & 0o777 == 0o700
            rooms.add(room)
        assert len(rooms) == 2
        await sessions[0].delete()
        await gateway.said("wiped ")
        assert sum(room.exists() for room in rooms) == 1
    assert list(base.iterdir()) == []


async def test_a_servers_configuration_may_name_the_room(tmp_path: Path) -> None:
    server = light("${session.dir}", env={"NOTES": "${session.work}/notes", "TEXT": "$${session.dir}"})
    async with running({"light": server}, tmp_path=tmp_path, sessions_dir=str(tmp_path / "sessions")) as gateway:
        session = await Streamable(gateway.http).open()
        work = await run(session, "pwd")
        assert await run(session, 'echo "$NOTES $TEXT"') == f"{work}/notes ${{session.dir}}"
        assert await run(session, "tr '\\0' '\\n' < /proc/$PPID/cmdline | tail -n 1") == str(Path(work).parent)


async def test_what_a_hostile_child_leaves_is_wiped(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    script = f"""
    ln -s {tmp_path} out; ln {precious} hard; mkfifo fifo
    i=0; while [ $i -lt 200 ]; do mkdir dddddddddddddddddddd && cd dddddddddddddddddddd; i=$((i+1)); done
    touch file; chmod 000 . "$HOME" "$TMPDIR/.."
    """
    async with running(tmp_path=tmp_path, sessions_dir=str(tmp_path / "sessions")) as gateway:
        session = await Streamable(gateway.http).open()
        await run(session, script)
        await session.delete()
        await gateway.said("wiped ")
    assert precious.read_text() == "kept"
    assert list((tmp_path / "sessions").iterdir()) == []


async def test_a_child_that_could_not_be_started_leaves_no_room(tmp_path: Path) -> None:
    servers = {"light": {"command": "no-such-command"}}
    async with running(servers, tmp_path=tmp_path, sessions_dir=str(tmp_path / "sessions")) as gateway:
        assert (await gateway.call(await gateway.session_id(), "echo")).status_code == 502
        await gateway.said("wiped ")
    assert list((tmp_path / "sessions").iterdir()) == []


async def test_each_session_has_a_user_of_its_own(reachable: Path, tmp_path: Path) -> None:
    async with two_users(reachable, tmp_path) as (_, sessions):
        for session, uid in zip(sessions, (FIRST, LAST), strict=True):
            assert await run(session, "id -u; id -g; id -G; echo $USER") == f"{uid}\n{uid}\n{uid}\n{uid}"
            assert await run(session, "touch file; stat -c '%u %a' file ~ .; echo said > /dev/stderr") == (
                f"{uid} 644\n{uid} 700\n{uid} 700"
            )
            assert "NoNewPrivs:\t1" in await run(session, "cat /proc/self/status")


async def test_no_session_reads_anything_of_another_users(reachable: Path, tmp_path: Path) -> None:
    async with two_users(reachable, tmp_path, env={"TOKEN": "t0ken"}) as (_, (one, other)):
        theirs = await run(one, "echo secret > file; pwd")
        pid = (await one.call("w", "whoami"))["pid"]
        assert "t0ken" in await run(one, f"cat /proc/{pid}/environ")
        for path in (f"{theirs}/file", f"/proc/{pid}/environ", f"/proc/{pid}/cwd/file", f"/proc/{pid}/fd/0"):
            assert "Permission denied" in await failing(other, f"cat {path}")
        assert "Permission denied" in await failing(other, f"ls {Path(theirs).parent.parent}")
        assert "not permitted" in await failing(other, f"kill {pid}")


async def test_at_the_end_of_the_range_a_session_is_refused_until_one_is_gone(reachable: Path, tmp_path: Path) -> None:
    async with two_users(reachable, tmp_path) as (gateway, sessions):
        third = await gateway.http.post("/light", json=request(1, "initialize", HELLO), headers=BOTH)
        assert (third.status_code, third.json()["error"]["data"]["code"]) == (429, "max_sessions")
        await sessions[0].delete()
        await gateway.gone(1)
        again = await Streamable(gateway.http).open()
        assert await run(again, "id -u") == str(FIRST)


async def test_a_child_of_another_user_dies_with_the_supervisor_and_its_room_is_known_for_dead(
    reachable: Path, tmp_path: Path
) -> None:
    async with two_users(reachable, tmp_path) as (gateway, sessions):
        pids = [(await session.call("w", "whoami"))["pid"] for session in sessions]
        with watching(*pids) as children:
            os.kill(gateway.program("supervisor"), 9)
            for child in children:
                await child.ended()
            await gateway.process.wait()
    [left] = (reachable / "sessions").iterdir()
    assert len(list(left.iterdir())) == 2


async def test_a_server_may_run_as_one_user(reachable: Path, tmp_path: Path) -> None:
    servers = {"light": for_anybody(reachable, user="nobody", group="daemon")}
    async with running(servers, tmp_path=tmp_path, sessions_dir=str(reachable / "sessions")) as gateway:
        session = await Streamable(gateway.http).open()
        assert await run(session, "id -un; id -gn; echo $LOGNAME; stat -c %U .") == "nobody\ndaemon\nnobody\nnobody"
        async with session.streaming(call(2, "hold")):
            await gateway.said("stderr: holding")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"user": "no-such-user"}, "servers.light.user: there is no such user on this machine"),
        ({"uid_range": f"{FIRST}-{LAST}", "closed": True}, "cannot reach .*, because .* is closed to them"),
    ],
)
async def test_a_user_that_cannot_be_had_is_told_and_nothing_starts(
    keys: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    places = {"sessions_dir": str(tmp_path / "sessions")} if keys.pop("closed", False) else {}
    config = write_config(tmp_path / "config.yaml", {"servers": {"light": light(**keys)}, **places})
    async with starting(config) as gateway:
        await gateway.said(problem)
        await gateway.process.wait()
        assert gateway.process.returncode == 2
