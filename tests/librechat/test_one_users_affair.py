"""What one of LibreChat's users may not do, or did not bring, is that user's affair: it keeps nobody else away."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.credentials import HEADER, PERSONAL, SHARED
from tests.support.gateway import LIGHT, Gateway, running
from tests.support.librechat import OPERATORS, SNIPPET, Chats

pytestmark = pytest.mark.slow

PICKY: dict[str, Any] = {
    "command": "/bin/bash",
    "args": ["-c", f'[ "$PLAIN_NAME" != bad ] || exit 1; exec "{sys.executable}" -I -S "{LIGHT["args"][-1]}"'],
    **PERSONAL,
    "allow_shared_uid": True,
}
SLOW = {**PICKY, "args": ["-c", PICKY["args"][1].replace("|| exit 1", "|| { read; read -t 2; exit 1; }")]}
"""It takes so long over it that others would have their answer on a stream by then."""

SERVERS = {"light": LIGHT, "personal": SHARED, "picky": PICKY, "slow": SLOW}
ACCESS = [{"allow": "*", "to": "*"}, {"deny": "user:ann", "to": "light"}]
USERS = {"ann": {"email": "bad"}, "bob": {"email": "good"}, "cyd": {"email": None}}
"""Each has a token in a field of LibreChat's, or none."""


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway where not everybody may use everything, with servers that are given each user's own."""
    directory = tmp_path_factory.mktemp("gateway")
    async with running(SERVERS, tmp_path=directory, access=ACCESS, **OPERATORS) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("server", "user", "type_"),
    [
        ("light", "ann", "streamable-http"),
        ("light", "ann", "sse"),
        ("personal", "cyd", "streamable-http"),
        ("personal", "cyd", "sse"),
        ("slow", "ann", "streamable-http"),
        ("picky", "ann", "streamable-http"),  # with HTTP+SSE that comes on the stream, which has its status
    ],
)
async def test_r08_a_user_who_is_refused_keeps_nobody_else_away(
    gateway: Gateway, process: Chats, server: str, user: str, type_: str
) -> None:
    headers = {**SNIPPET["headers"], HEADER: "{{LIBRECHAT_USER_EMAIL}}"}
    url = f"{gateway.url}/{server}/{'sse' if type_ == 'sse' else 'mcp'}"
    async with process.librechat(url, type=type_, headers=headers, users=USERS) as chat:
        [refusal] = await chat.connect(user)
        assert refusal != "connected"
        breaker = await chat.do("breaker")
        assert (breaker["failedRounds"], breaker["trips"]) == (0, 0), await chat.journal()
        assert await chat.connect("bob") == ["connected"]
