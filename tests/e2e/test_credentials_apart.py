"""Where nobody else can read a user's credentials, nobody does: real children that look into each other's environment."""

from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.credentials import PERSONAL, user
from tests.support.gateway import for_anybody, running
from tests.support.rawmcp import Streamable

pytestmark = pytest.mark.slow

LOOK = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep '^PLAIN_NAME=' | sort -u"
GET_OUT = f"umount /proc 2>/dev/null; {LOOK}"
RANGE = "3000000000-3000000009"


def asking(directory: Path, **keys: Any) -> dict[str, Any]:
    """A server that asks for a credential, as every user can start it."""
    return for_anybody(directory, **PERSONAL, **keys)


@pytest.mark.parametrize("reaping", ["tagged", "namespace"])
async def test_only_where_the_operator_says_so_can_one_session_read_the_credentials_of_another(
    reachable: Path, tmp_path: Path, reaping: Literal["tagged", "namespace"]
) -> None:
    boxed = {"sandbox": {"writable": [str(reachable)]}}
    keys: dict[str, dict[str, Any]] = {
        "range": {"uid_range": RANGE},
        "boxed": {**boxed, "user": "nobody"},
        "root": boxed,
    }
    if reaping == "namespace":
        # Root's own get out of a namespace, and then see everybody; so that is the operator's word, not a remedy.
        keys = {"namespace": {"user": "nobody"}}
    servers = {name: asking(reachable, **own) for name, own in keys.items()}
    servers["shared"] = asking(reachable, user="root" if reaping == "namespace" else "daemon", allow_shared_uid=True)
    async with (
        running(servers, tmp_path=tmp_path, sessions_dir=str(reachable / "sessions"), reaping=reaping) as gateway,
        user(gateway, "of-alice") as alice,
        user(gateway, "of-bob") as bob,
    ):
        for name in servers:
            sessions = [await Streamable(http, f"/{name}/mcp").open() for http in (alice, bob)]
            seen = [set((await each.call(1, "run", script=GET_OUT))["out"].split()) for each in sessions]
            own = [{"PLAIN_NAME=of-alice"}, {"PLAIN_NAME=of-bob"}]
            assert seen == (own if name != "shared" else [own[0] | own[1]] * 2), name
