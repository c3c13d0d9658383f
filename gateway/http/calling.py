"""A call of a tool, however it was asked for: its answer over HTTP."""

import asyncio
from collections.abc import Callable
from typing import Final

from loguru import logger

from gateway.admittance import CALL, Use
from gateway.asking import Asking
from gateway.catalog.offers import Tool
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import admitted, audited, bodies, contents, questions
from gateway.http.asked import Asked
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.callstream import CallStream
from gateway.http.contents import Wish
from gateway.http.streams import afterwards
from gateway.large import Result
from gateway.rest.checking import checker_of
from gateway.rest.parked import Call, Parked
from gateway.rest.replays import Name
from gateway.rest.schemas import LONGEST
from gateway.rest.wishes import KEY, REPLAYED, TIMEOUT, Form, Wishes, key_of, timeout_of
from gateway.retries import Retries, begin
from gateway.session_sets import SessionSet

_KEY: Final = KEY.lower()


class ToolCalls:
    """Makes the calls of one gateway, whose questions wait in `parked`, and which `retries` knows by their keys."""

    def __init__(self, parked: Parked, retries: Retries) -> None:
        self._parked = parked
        self._retries = retries

    async def call(
        self, asked: Asked, session_set: SessionSet, server: str, tool: str, arguments: bytes, *, is_once: bool = False
    ) -> Reply:
        """The answer to the request `asked`, which calls `tool` of `server` in a session of `session_set`.

        `arguments` is the JSON of an object. Raises GatewayError. Cancellation, which means that the client hung up,
        cancels the call, unless the request has a key. An event stream is answered before the call has ended, and so is a
        call whose child asks something first: what is not to end before goes `streams.afterwards`. Where the set is this
        request's alone, so that the call `is_once` in any case, a key means nothing: nobody could come back for the
        answer.
        """
        wishes, wanted, declines = wishes_of(asked), contents.wish(asked), questions.declines(asked)
        await admitted.admit(asked, Use(server, CALL, tool))
        who = asked.sender
        caller = await session_set.caller(server, who)
        _check(server, await caller.find(tool, arguments, who), arguments)
        stream = CallStream() if wishes.form is Form.EVENTS else None
        call = self._parked.attend(session_set, server, caller, declines=declines)
        if stream is not None:
            call.on_question = stream.ask

        def ask() -> Asking:
            return caller.call(tool, arguments, who, within=wishes.timeout, listener=stream, asks=call.hear)

        if is_once or not wishes.key:
            return await _answer(asked, call, ask, stream, wanted)
        name = Name(tool, wishes.key, session_set.given(server, who))
        made, is_replay = self._retries.join(caller, session_set.principal, name, arguments, ask)
        if not is_replay:
            call.attach(made, is_own=False)
        return await self._answer_again(asked, made, stream, wanted, is_replay=is_replay)

    async def _answer_again(
        self,
        asked: Asked,
        made: "asyncio.Future[Result]",
        stream: CallStream | None,
        wanted: Wish,
        *,
        is_replay: bool,
    ) -> Reply:
        """The same for a call that may be asked for again; an error that was is told to be so, too."""
        if stream is None:
            try:
                reply = contents.response(asked, await questions.outcome(self._parked, made), wanted)
            except GatewayError as error:
                audited.refused(asked, error)
                reply = bodies.json_reply(error.rest_body(), error.status, error.headers)
        else:
            if is_replay:
                stream.asked()
                questions.tell(self._parked, made, stream.ask)
            reply = await self._streamed(made, stream)
        if is_replay:
            reply.put(REPLAYED, "true")
        return reply

    async def _streamed(self, made: "asyncio.Future[Result]", stream: CallStream) -> Reply:
        """The stream of a call that goes on without it: then somebody else may be told what is asked."""
        leave = questions.leaving(self._parked, made, stream.ask)
        try:
            reply = await stream.reply(made, is_own=False)
        except BaseException:
            leave()
            raise
        afterwards(reply.body, leave)
        return reply


async def _answer(
    asked: Asked, call: Call, ask: Callable[[], Asking], stream: CallStream | None, wanted: Wish
) -> Reply:
    if stream is None:
        return contents.response(asked, await call.answer_or_ask(ask), wanted)
    made = begin(ask, "a call that streams")
    call.attach(made)
    return await stream.reply(made, is_own=True)


def wishes_of(asked: Asked) -> Wishes:
    """Raises GatewayError for what cannot be read."""
    return Wishes(_form(asked), timeout_of(asked.query.all(TIMEOUT)), key_of(asked.values(_KEY)))


def _form(asked: Asked) -> Form:
    """Events are sent only to a client that asks for them; whether it can be had as bytes, the answer will tell."""
    return Form.EVENTS if asked.quality(EVENT_STREAM) > asked.quality(JSON) else Form.JSON


def _check(server: str, tool: Tool, arguments: bytes) -> None:
    """Raises GatewayError where the arguments do not fit the tool's schema."""
    checker = checker_of(bytes(memoryview(tool.input_schema)[: LONGEST + 1]))  # of more, nothing is looked at
    if checker.unusable and not checker.told:
        checker.told = True
        facts = (server, tool.name[:128], checker.unusable)
        logger.warning("the arguments of {}'s tool {!r} are not checked against its schema: {}", *facts)
    found = checker.look(arguments)
    if found is not None:
        raise found.error(server, tool.name[:128])
