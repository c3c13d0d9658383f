"""Two users and one server: opens a session for each, and looks whether they are apart.

Nothing is touched but what the two opened themselves: the one process that is killed is the one that was seen, a moment
before, to read what A sends, and B not.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import httpx2
import psutil

from doctor import rows, strangers
from doctor.client import (
    Caller,
    Refused,
    SseSession,
    Strange,
    StreamableSession,
    call,
    http_client,
    listening,
    opened,
    printable,
    tools,
)
from doctor.findings import Finding, Verdict
from doctor.identify import look_at
from doctor.pair import Pair
from doctor.processes import Hidden, began, is_alive, kill, left_of
from doctor.rows import AS_ROOT, Looked, Server

_TROUBLE: Final = (Refused, Strange, httpx2.HTTPError, TimeoutError)
_NOT_FOR_US: Final = frozenset(
    """max_key_calls max_key_sessions max_sessions max_user_calls max_user_sessions rate_limited rate_limits_unknown
    scope_missing server_not_found tool_not_found unauthenticated user_denied""".split()
)
"""Codes that say nothing of the server, but that the made-up users may not use it, or not now."""

_LOOK_AGAIN: Final = 0.1
"""Seconds. No event says when the last process of a tree is gone that is nobody's child any more."""

_LONGEST_LINGER: Final = 15.0
"""Seconds; a longer `linger` is not waited for."""

_NOT_APART: Final = "does it run with this configuration? If so, do not use it for many users"
_NOTEPAD: Final = {"add", "list", "clear", "whoami"}


@dataclass(frozen=True)
class Outcome:
    """The rows, and the names of the server's tools, where it told them."""

    findings: list[Finding]
    tools: tuple[str, ...] | None


class Trial:
    """One server's. `patience` bounds each step, in seconds."""

    def __init__(self, server: Server, pair: Pair, url: str, patience: float) -> None:
        self._server = server
        self._pair = pair
        self._url = url
        self._patience = patience
        self._findings: list[Finding] = []
        self._trees: list[Looked] = []
        self._tools: tuple[str, ...] | None = None
        self._private = (_made_up(server), _made_up(server))

    async def run(self) -> Outcome:
        """All of it. Whatever it opened is closed again, also when it is cancelled."""
        async with AsyncExitStack() as stack:
            a, b = [
                await stack.enter_async_context(
                    http_client(self._url, Caller(who.name, {**who.headers, **private}), self._patience)
                )
                for who, private in zip((self._pair.a, self._pair.b), self._private, strict=True)
            ]
            if await self._sessions(a, b):
                await self._sse(a, b)
                await self._survivors()
        return Outcome(self._findings, self._tools)

    def _say(self, check: str, verdict: Verdict, seen: str, remedy: str = "") -> None:
        self._findings.append(Finding(check, self._server.name, verdict, seen, remedy))

    async def _sessions(self, http_a: httpx2.AsyncClient, http_b: httpx2.AsyncClient) -> bool:
        """All that two sessions of Streamable HTTP can show; whether both could be opened."""
        name = self._server.name
        started = False
        try:
            async with opened(http_a, name) as a, opened(http_b, name) as b:
                self._tools = tuple(await self._bounded_tools(a))
                await self._bounded_tools(b)
                started = True
                self._say("start", Verdict.OK, f"two sessions, {len(self._tools)} tools")
                await self._apart(a, b)
                await self._state(a, b)
                await self._ids(a, http_a, http_b)
                await self._crash(a, b)
        except _TROUBLE as error:
            self._trouble("start" if not started else "sessions", error)
        return started

    async def _bounded_tools(self, session: StreamableSession) -> list[str]:
        with anyio.fail_after(self._patience):
            return await tools(session)

    def _trouble(self, check: str, error: BaseException) -> None:
        if isinstance(error, Refused):
            text = f"{error} ({error.code})" if error.code else str(error)
            if error.code in _NOT_FOR_US:
                self._say(check, Verdict.UNKNOWN, text, "these users may not use it, or not now")
            elif self._server.headers:
                text = f"with made-up credentials: {text}"
                self._say(check, Verdict.UNKNOWN, text, "it may be that this server wants real ones")
            else:
                self._say(check, Verdict.FAILED, text, "the log of the gateway has what the server said")
        elif isinstance(error, TimeoutError | httpx2.TimeoutException):
            self._say(
                check, Verdict.FAILED, f"no answer within {self._patience:g} s", "the log of the gateway says more"
            )
        else:
            self._say(
                check, Verdict.FAILED, printable(str(error) or type(error).__name__), "is this the gateway's URL?"
            )

    async def _look(self, session: StreamableSession | SseSession) -> Looked:
        with anyio.fail_after(self._patience):
            return await look_at(session, self._server.largest)

    async def _apart(self, a: StreamableSession, b: StreamableSession) -> None:
        of_a, of_b = await self._look(a), await self._look(b)
        self._trees += [of_a, of_b]
        self._findings += rows.apart(self._server, of_a, of_b, self._private)

    async def _state(self, a: StreamableSession, b: StreamableSession) -> None:
        if not set(self._tools or ()) >= _NOTEPAD:
            text = "not provable from outside: what is in its process and its directory is apart, as above"
            self._say("state", Verdict.NOTE, text, "what it writes elsewhere, such as a database, is everybody's")
            return
        note = f"doctor-{secrets.token_hex(8)}"
        await call(a, "add", text=note)
        of_a, of_b = await call(a, "list"), await call(b, "list")
        if note in of_b:
            self._say("state", Verdict.FAILED, "a note that A wrote is in B's notepad", "do not use this")
        elif note not in of_a:
            self._say(
                "state", Verdict.FAILED, "a note that A wrote is not in A's notepad", "A has another child each time"
            )
        else:
            self._say("state", Verdict.OK, "a note that A wrote is in A's notepad alone")

    async def _ids(self, a: StreamableSession, http_a: httpx2.AsyncClient, http_b: httpx2.AsyncClient) -> None:
        if not self._pair.are_two:
            self._say("ids", Verdict.UNKNOWN, f"not provable: {self._pair.why_one}", self._pair.remedy)
            return
        never = strangers.unknown(a.id)
        found = await strangers.open_doors(http_b, strangers.of_streamable(a, a.id), strangers.of_streamable(a, never))
        found += await self._rest_ids(http_a, http_b)
        alive = await _works(a)
        if found:
            self._say("ids", Verdict.FAILED, f"B may use A's id: {', '.join(found)}", _NOT_APART)
        elif not alive:
            self._say(
                "ids", Verdict.FAILED, "A's session did not outlive what B tried", "do not use this for many users"
            )
        else:
            text = "A's id is a 404 to B like one that never was: POST, GET, DELETE, REST"
            self._say("ids", Verdict.OK, text)

    async def _rest_ids(self, http_a: httpx2.AsyncClient, http_b: httpx2.AsyncClient) -> list[str]:
        """The doors of REST that are open to B. A gateway without REST has none."""
        answer = await http_a.get("/api/sessionid")
        id_ = answer.json().get("sessionId") if answer.status_code == 200 else None
        if not isinstance(id_, str):
            return []
        try:
            name = self._server.name
            return await strangers.open_doors(
                http_b, strangers.of_rest(name, id_), strangers.of_rest(name, strangers.unknown(id_))
            )
        finally:
            with anyio.move_on_after(self._patience, shield=True):
                await http_a.delete("/api/sessionid", params={"sessionId": id_})

    async def _crash(self, a: StreamableSession, b: StreamableSession) -> None:
        """Kill A's child while a call of B's is in flight."""
        check = "crash"
        of_a, of_b = await self._look(a), await self._look(b)
        if of_a.child is None or of_b.child is None:
            blind = of_a if of_a.child is None else of_b
            self._say(check, Verdict.UNKNOWN, blind.why_not, blind.remedy)
            return
        victim, bystander = of_a.child.reader, of_b.child.reader
        if victim == bystander:
            self._say(check, *_of_shared(self._server))
            return
        if self._trees[0].child is None or victim != self._trees[0].child.reader:
            self._say(check, Verdict.UNKNOWN, "A's child is not the one that was seen first; nothing was killed")
            return
        if victim.start < began() or (self._server.shared_by_one and not self._pair.made_up):
            text = "A's child may be somebody else's, too, so nothing was killed"
            self._say(check, Verdict.UNKNOWN, text, "let made-up users try it: trust_user_header")
            return
        self._trees += [of_a, of_b]  # what they have started meanwhile has to go, too
        try:
            works, killed = await self._kill_during_a_call(victim_of=of_a, session=b)
        except Hidden:
            self._say(check, Verdict.UNKNOWN, "the processes of the servers may not be signalled", AS_ROOT)
            return
        if not killed:
            self._say(check, Verdict.UNKNOWN, "A's process had ended before it could be killed")
        elif not (works and await _works(b) and is_alive(bystander)):
            self._say(check, Verdict.FAILED, "A's process was killed, and B's session did not go on", "do not use this")
        else:
            text = f"A's process was killed; B's call was answered, and B's pid {bystander.pid} lives on"
            self._say(check, Verdict.OK, text)

    async def _kill_during_a_call(self, victim_of: Looked, session: StreamableSession) -> tuple[bool, bool]:
        """Whether B's call was answered, and whether A's process was there to be killed. Raises Hidden."""
        assert victim_of.child is not None
        answered = False

        async def call_in_flight() -> None:
            nonlocal answered
            answered = await _works(session)

        with anyio.move_on_after(self._patience):
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(call_in_flight)
                    await anyio.lowlevel.checkpoint()  # by now the call is on its way, or about to be
                    killed = kill(victim_of.child.reader)
            except* Hidden:
                raise Hidden from None
            return answered, killed
        return False, True

    async def _sse(self, http_a: httpx2.AsyncClient, http_b: httpx2.AsyncClient) -> None:
        check = "SSE ids"
        try:
            async with self._listening(http_a) as session:
                self._trees.append(await self._look(session))
                if not self._pair.are_two:
                    self._say(check, Verdict.UNKNOWN, f"not provable: {self._pair.why_one}", self._pair.remedy)
                elif not session.id:
                    self._say(check, Verdict.UNKNOWN, "the endpoint of the stream has no id that is known")
                else:
                    never = strangers.unknown(session.id)
                    found = await strangers.open_doors(
                        http_b, strangers.of_sse(session, session.id), strangers.of_sse(session, never)
                    )
                    if found:
                        text = f"B may post to A's stream: {', '.join(found)}"
                        self._say(check, Verdict.FAILED, text, _NOT_APART)
                    else:
                        self._say(check, Verdict.OK, "A's stream is a 404 to B like one that never was")
        except _TROUBLE as error:
            self._trouble(check, error)

    @asynccontextmanager
    async def _listening(self, http: httpx2.AsyncClient) -> AsyncIterator[SseSession]:
        """An SSE session, its opening bounded."""
        async with AsyncExitStack() as stack:
            with anyio.fail_after(self._patience):
                session = await stack.enter_async_context(listening(http, self._server.name))
            yield session

    async def _survivors(self) -> None:
        """Wait until nothing is left of any tree that was seen."""
        linger = self._server.linger
        bound = self._server.ending + linger if linger <= _LONGEST_LINGER else 0.0
        children = [each.child for each in self._trees if each.child is not None]
        left = set().union(*map(left_of, children)) if children else set()
        with anyio.move_on_after(bound):
            while left:
                await anyio.sleep(_LOOK_AGAIN)
                left = set().union(*map(left_of, children))
        names = {each.pid: _name(each.pid) for each in left}
        self._findings.append(rows.survived(self._server, self._trees, names))


def _made_up(server: Server) -> dict[str, str]:
    """Credentials that are nobody's, for one user."""
    return {name: f"doctor-{secrets.token_hex(12)}" for name in server.headers}


def _of_shared(server: Server) -> tuple[Verdict, str, str]:
    if server.shared_by_one:
        return Verdict.UNKNOWN, "not provable: both sessions share a child by 'isolation'; nothing was killed", ""
    text = "nothing was killed: one process serves both, so its end is the end of both"
    return Verdict.FAILED, text, "do not use this for many users"


async def _works(session: StreamableSession) -> bool:
    """Whether the session answers a ping, and lists its tools."""
    try:
        await session.ask("ping")
        await tools(session)
    except _TROUBLE:
        return False
    return True


def _name(pid: int) -> str:
    """The command's name, without its arguments: they may hold what is nobody's business."""
    try:
        return printable(psutil.Process(pid).name())
    except psutil.Error:
        return "gone"
