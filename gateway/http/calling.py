"""A call of a tool, however it was asked for: its answer over HTTP."""

import asyncio
from typing import Final

from loguru import logger
from quart import Response, current_app, g, request

from gateway.admittance import CALL, Use
from gateway.catalog.offers import Tool
from gateway.errors import GatewayError
from gateway.http import admitted, audited, bodies, contents, questions
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.callstream import CallStream
from gateway.http.contents import Wish
from gateway.http.streams import afterwards
from gateway.large import Result
from gateway.rest.checking import checker_of
from gateway.rest.parked import Call
from gateway.rest.replays import Name
from gateway.rest.schemas import LONGEST
from gateway.rest.wishes import KEY, REPLAYED, TIMEOUT, Form, Wishes, key_of, timeout_of
from gateway.retries import Retries, Run, begin
from gateway.session_sets import SessionSet

RETRIES: Final = "retries"
"""The extension of the application that knows the calls with a key."""


async def call_tool(
    session_set: SessionSet, server: str, tool: str, arguments: bytes, *, is_once: bool = False
) -> Response:
    """The answer to this request, which calls `tool` of `server` in a session of `session_set`.

    `arguments` is the JSON of an object. Raises GatewayError. Cancellation, which means that the client hung up, cancels
    the call, unless the request has a key. An event stream is answered before the call has ended, and so is a call whose
    child asks something first: what is not to end before goes `streams.afterwards`. Where the set is this request's
    alone, so that the call `is_once` in any case, a key means nothing: nobody could come back for the answer.
    """
    wishes, wanted, declines = _wishes(), contents.wish(), questions.declines()
    await admitted.admit(Use(server, CALL, tool))
    who = g.who
    caller = await session_set.caller(server, who)
    _check(server, await caller.find(tool, arguments, who), arguments)
    stream = CallStream() if wishes.form is Form.EVENTS else None
    call = questions.attend(session_set, server, caller, declines=declines)
    if stream is not None:
        call.on_question = stream.ask

    async def run() -> Result:
        return await caller.call(tool, arguments, who, within=wishes.timeout, listener=stream, asks=call.hear)

    if is_once or not wishes.key:
        return await _answer(call, run, stream, wanted)
    retries: Retries = current_app.extensions[RETRIES]
    name = Name(tool, wishes.key, session_set.given(server, who))
    made, is_replay = retries.join(caller, session_set.principal, name, arguments, run)
    if not is_replay:
        call.attach(made, is_own=False)
    return await _answer_again(made, stream, wanted, is_replay=is_replay)


async def _answer(call: Call, run: Run, stream: CallStream | None, wanted: Wish) -> Response:
    if stream is None:
        return contents.response(await call.answer_or_ask(run), wanted)
    made = begin(run, "a call that streams")
    call.attach(made)
    return await stream.response(made, is_own=True)


async def _answer_again(
    made: "asyncio.Future[Result]", stream: CallStream | None, wanted: Wish, *, is_replay: bool
) -> Response:
    """The same for a call that may be asked for again; an error that was is told to be so, too."""
    headers = {REPLAYED: "true"} if is_replay else {}
    if stream is None:
        try:
            response = contents.response(await questions.outcome(made), wanted)
        except GatewayError as error:
            audited.refused(error)
            response = bodies.json_response(error.rest_body(), error.status, error.headers)
    else:
        if is_replay:
            stream.asked()
            questions.tell(made, stream.ask)
        response = await _streamed(made, stream)
    response.headers.update(headers)
    return response


async def _streamed(made: "asyncio.Future[Result]", stream: CallStream) -> Response:
    """The stream of a call that goes on without it: then somebody else may be told what is asked."""
    leave = questions.leaving(made, stream.ask)
    try:
        response = await stream.response(made, is_own=False)
    except BaseException:
        leave()
        raise
    afterwards(response, leave)
    return response


def _wishes() -> Wishes:
    """Raises GatewayError for what cannot be read."""
    return Wishes(_form(), timeout_of(request.args.getlist(TIMEOUT)), key_of(request.headers.getlist(KEY)))


def _form() -> Form:
    """Events are sent only to a client that asks for them; whether it can be had as bytes, the answer will tell."""
    accepted = request.accept_mimetypes
    return Form.EVENTS if accepted and accepted[EVENT_STREAM] > accepted[JSON] else Form.JSON


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
