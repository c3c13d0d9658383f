"""A real authorization server for a test, in a process of its own: see tests/servers/authorization.py."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
from anyio.streams.text import TextReceiveStream

from tests.support.gateway import SERVERS
from tests.support.processes import PATIENCE


class Authority:
    """One that runs, and what a test may ask of it."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url = url
        self.http = http

    async def token(self, resource: str, scope: str = "mcp") -> str:
        """An access token for the client `service`, by its credentials."""
        asked = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        answer = await self.http.post("/token", data=asked, auth=("service", "service-secret"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def mint(self, **claims: Any) -> str:
        """A token with whatever claims, signed with the key of the moment."""
        return (await self.http.post("/mint", json=claims)).text

    async def rotate(self) -> None:
        """Sign with a new key from now on, and publish no other."""
        await self.http.post("/rotate")

    async def fetches(self) -> int:
        """How often its keys were fetched."""
        return int((await self.http.get("/fetches")).json())


@asynccontextmanager
async def authority() -> AsyncIterator[Authority]:
    """An authorization server that listens; it ends with the test."""
    command = [sys.executable, str(SERVERS / "authorization.py")]
    process = await anyio.open_process(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    async with process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(PATIENCE):
                url = (await TextReceiveStream(process.stdout).receive()).strip()
            async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http:
                yield Authority(url, http)
        finally:
            process.terminate()
