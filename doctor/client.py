"""A client of the gateway, message by message: for what no SDK's client would do, such as using another's session id."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2

from common.redact import Redactor

_ACCEPT: Final = {"Accept": "application/json, text/event-stream"}
_VERSION: Final = "2025-11-25"
_SESSION: Final = "Mcp-Session-Id"
_PAD: Final = "io.github.mcp-gateway/doctor"
_CLOSING: Final = 5.0
"""Seconds that the end of a session may take to be acknowledged."""

_LONGEST: Final = 240
"""Characters of what the gateway says that are passed on."""

_MOST_PAGES: Final = 50


class Refused(Exception):
    """The gateway, or the server behind it, said no; the text is fit for a terminal."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(printable(message))
        self.status = status
        self.code = code


class Strange(Exception):
    """What came back is nothing that a gateway says."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One of the two made-up users: the headers by which the gateway knows it. No `repr` shows them."""

    name: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Asks(Protocol):
    """A session of whichever door that answers requests."""

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The result of one request. Raises Refused, Strange, httpx2.HTTPError."""
        ...


def printable(text: str) -> str:
    """`text` on one line, not too long, and without what looks like a secret or would move a terminal's cursor."""
    line = " ".join(Redactor({})(text).split())
    line = "".join(each if each.isprintable() else "�" for each in line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def http_client(url: str, caller: Caller, patience: float) -> httpx2.AsyncClient:
    """A client whose every request is the caller's. Proxies of the environment are not asked."""
    return httpx2.AsyncClient(
        base_url=url, headers=dict(caller.headers), timeout=patience, trust_env=False, follow_redirects=False
    )


def _request(id_: int, method: str, params: Mapping[str, object] | None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": dict(params or {})}


def hello() -> dict[str, object]:
    """The params of `initialize`."""
    info = {"name": "mcp-gateway-doctor", "version": version("mcp-gateway")}
    return {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": info}


class StreamableSession:
    """A session of Streamable HTTP at `path`. Use `opened`."""

    def __init__(self, http: httpx2.AsyncClient, path: str) -> None:
        self._http = http
        self.path = path
        self.id = ""
        self._last = 0

    def __repr__(self) -> str:
        return f"<StreamableSession at {self.path}>"

    async def open(self) -> None:
        """Shake hands. Raises Refused, Strange, httpx2.HTTPError."""
        async with self._http.stream(
            "POST", self.path, json=_request(0, "initialize", hello()), headers=_ACCEPT
        ) as got:
            self.id = got.headers.get(_SESSION, "")
            await _answer(got, 0)
        if not self.id:
            raise Strange("the answer to initialize bears no Mcp-Session-Id")
        await self.notify("notifications/initialized")

    async def notify(self, method: str) -> None:
        """Send one notification."""
        message = {"jsonrpc": "2.0", "method": method}
        answer = await self._http.post(self.path, json=message, headers=self.headers())
        if answer.status_code != 202:
            raise refusal(answer.status_code, answer.content)

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        """See Asks."""
        self._last += 1
        id_ = self._last
        message = _request(id_, method, params)
        async with self._http.stream("POST", self.path, json=message, headers=self.headers()) as response:
            return await _answer(response, id_)

    async def close(self) -> None:
        """End the session, whatever happens; bounded, and not to be cancelled."""
        if self.id:
            with anyio.move_on_after(_CLOSING, shield=True):
                try:
                    await self._http.delete(self.path, headers=self.headers())
                except httpx2.HTTPError:
                    return  # it may be gone, or the gateway; what is left is looked for among the processes

    def headers(self, id_: str | None = None) -> dict[str, str]:
        """What every message of the session comes with, or of the one whose id is given."""
        return {**_ACCEPT, _SESSION: self.id if id_ is None else id_, "Mcp-Protocol-Version": _VERSION}


@asynccontextmanager
async def opened(http: httpx2.AsyncClient, server: str) -> AsyncIterator[StreamableSession]:
    """A session of Streamable HTTP with `server`, past its handshake; it ends with the block. Raises as `open`."""
    session = StreamableSession(http, f"/{server}/mcp")
    try:
        await session.open()
        yield session
    finally:
        await session.close()


class SseSession:
    """A session of HTTP+SSE, past its first event; `url` is where to post to."""

    def __init__(self, http: httpx2.AsyncClient, lines: AsyncIterator[str], url: str) -> None:
        self._http = http
        self._lines = lines
        self.url = url
        self._last = 0

    @property
    def id(self) -> str:
        """The session's id; empty where the URL has none that we know."""
        return next(iter(parse_qs(urlsplit(self.url).query).get("sessionId", ())), "")

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        """See Asks."""
        self._last += 1
        answer = await self._http.post(self.url, json=_request(self._last, method, params))
        if answer.status_code not in (200, 202):
            raise refusal(answer.status_code, answer.content)
        return await _from_events(self._lines, self._last)


@asynccontextmanager
async def listening(http: httpx2.AsyncClient, server: str) -> AsyncIterator[SseSession]:
    """A session of HTTP+SSE with `server`, past its handshake. Raises Refused, Strange, httpx2.HTTPError."""
    async with http.stream("GET", f"/{server}/sse", headers={"Accept": "text/event-stream"}) as response:
        if response.status_code != 200:
            raise refusal(response.status_code, await response.aread())
        lines = response.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                break
        else:
            raise Strange("the stream of HTTP+SSE ended without an endpoint")
        session = SseSession(http, lines, str(response.url.join(line.removeprefix("data:").strip())))
        await session.ask("initialize", hello())
        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post(session.url, json=message)
        yield session


async def tools(session: Asks, padding: int = 0) -> list[str]:
    """The names of all tools. The request for the first page is `padding` bytes longer than it need be."""
    names: list[str] = []
    params: dict[str, object] = {"_meta": {_PAD: "x" * padding}} if padding else {}
    for _ in range(_MOST_PAGES):
        result = await session.ask("tools/list", params)
        listed = result.get("tools")
        if not isinstance(listed, list):
            raise Strange("the answer to tools/list has no tools")
        names += [str(each.get("name")) for each in listed if isinstance(each, dict)]
        if not result.get("nextCursor"):
            break
        params = {"cursor": result["nextCursor"]}
    return names


async def call(session: Asks, tool: str, **arguments: object) -> str:
    """Call a tool; the text that it gives."""
    result = await session.ask("tools/call", {"name": tool, "arguments": arguments})
    return "\n".join(str(each.get("text", "")) for each in result.get("content", ()) if isinstance(each, dict))


async def _answer(response: httpx2.Response, id_: int) -> dict[str, Any]:
    if response.status_code != 200:
        raise refusal(response.status_code, await response.aread())
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        return await _from_events(response.aiter_lines(), id_)
    return _result(_json(await response.aread()))


async def _from_events(lines: AsyncIterator[str], id_: int) -> dict[str, Any]:
    """The result of the request `id_`, from a stream of events of which each has one line of data."""
    async for line in lines:
        if line.startswith("data:") and line[5:].strip():
            message = _json(line[5:].encode())
            if message.get("id") == id_ and "method" not in message:
                return _result(message)
    raise Strange("the event stream ended without an answer")


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if isinstance(message.get("error"), dict):
        raise _of_error(200, message["error"])
    result = message.get("result")
    if not isinstance(result, dict):
        raise Strange("the answer has no result")
    return result


def refusal(status: int, body: bytes) -> Refused:
    """What an answer that is no success says, in either of the gateway's shapes."""
    try:
        error = json.loads(body).get("error")
    except (ValueError, AttributeError):
        error = None
    return _of_error(status, error if isinstance(error, dict) else {})


def _of_error(status: int, error: dict[str, Any]) -> Refused:
    data = error.get("data")
    code = data.get("code") if isinstance(data, dict) else error.get("code")
    return Refused(status, re.sub(r"[^A-Za-z0-9_-]", "", str(code))[:40], str(error.get("message") or f"HTTP {status}"))


def _json(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Strange("the answer is no JSON object")
    return message
