"""REST: a session id, then a POST for each call."""

from pathlib import Path

from tests.support.gateway import running


async def test_two_ids_have_two_processes_and_two_states(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path) as gateway:
        one, two = await gateway.session_id(), await gateway.session_id()
        await gateway.text(one, "add", text="mine")
        assert await gateway.text(one, "notes") == ["mine"]
        assert await gateway.text(two, "notes") == []
        first, second = await gateway.text(one, "whoami"), await gateway.text(two, "whoami")
        assert first["pid"] != second["pid"]
        assert first["instance"] != second["instance"]
        assert await gateway.text(one, "whoami") == first
