"""What becomes of somebody else's session id: on every door it must be as good as one that never was."""

import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import httpx2

from doctor.client import SseSession, StreamableSession, refusal

_NO_TOOL: Final = "mcp-gateway-doctor"
_CHARACTERS: Final = string.ascii_letters + string.digits + "-_"
_NEXT: Final = str.maketrans(_CHARACTERS, _CHARACTERS[1:] + _CHARACTERS[0])


@dataclass(frozen=True, slots=True)
class Try:
    """One request that B makes with an id: A's, or one that never was. No `repr` shows the id."""

    door: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: dict[str, str] = field(default_factory=dict, repr=False)
    body: dict[str, object] | None = field(default=None, repr=False)


def unknown(id_: str) -> str:
    """An id of the same looks as `id_` that nobody was given: its last characters are others."""
    return id_[:-8] + id_[-8:].translate(_NEXT)


def of_streamable(session: StreamableSession, id_: str) -> list[Try]:
    """All that one can do to a session of Streamable HTTP; its end last."""
    ping: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
    headers = session.headers(id_)
    listen = {**headers, "Accept": "text/event-stream"}
    return [
        Try("POST", "POST", session.path, headers, body=ping),
        Try("GET", "GET", session.path, listen),
        Try("DELETE", "DELETE", session.path, headers),
    ]


def of_rest(server: str, id_: str) -> list[Try]:
    """All that one can do to a session id of REST; its end last."""
    query = {"sessionId": id_}
    return [
        Try("REST", "POST", f"/api/{server}/{_NO_TOOL}", query=query, body={}),
        Try("REST DELETE", "DELETE", "/api/sessionid", query=query),
    ]


def of_sse(session: SseSession, id_: str) -> list[Try]:
    """A message to somebody else's stream."""
    ping: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
    return [Try("SSE", "POST", session.url.replace(session.id, id_), body=ping)]


async def open_doors(http: httpx2.AsyncClient, tries: Iterable[Try], lookalikes: Iterable[Try]) -> list[str]:
    """The doors at which the first of each pair was answered in another way than the second, which nobody was given.

    `http` is B's. What B may not do is no more than told: the answers are read no further. Raises httpx2.HTTPError.
    """
    found = []
    for real, lookalike in zip(tries, lookalikes, strict=True):
        answer, expected = await _said(http, real), await _said(http, lookalike)
        if answer != expected or answer[0] != 404:
            found.append(f"{real.door} ({answer[0]}, and {expected[0]} for an id that never was)")
    return found


async def _said(http: httpx2.AsyncClient, attempt: Try) -> tuple[int, str, str]:
    """Status, code and text; those of a success are not waited for."""
    request = http.build_request(
        attempt.method, attempt.path, headers=attempt.headers, params=attempt.query or None, json=attempt.body
    )
    response = await http.send(request, stream=True)
    try:
        if response.status_code < 400:
            return response.status_code, "", ""
        error = refusal(response.status_code, await response.aread())
        return error.status, error.code, str(error)
    finally:
        await response.aclose()
