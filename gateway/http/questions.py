"""The questions of a child that wait for their caller's answer: to list, to see, and to answer them over REST."""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
from quart import Blueprint

from common.reasons import Reason
from gateway.admittance import Use
from gateway.errors import GatewayError, bad_request
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies, contents, quarted
from gateway.http.asked import Asked
from gateway.http.mcp import SESSION_QUERY, optional_id
from gateway.large import Result
from gateway.rest import answering
from gateway.rest.parked import Parked, Question
from gateway.sessions import Sessions

_WISHES = {"ask": False, "decline": True}
_LIST = "questions/list"


async def outcome(parked: Parked, made: "asyncio.Future[Result]") -> Result:
    """What comes next of a call that is being made whoever waits for it, or that is over. Raises GatewayError."""
    call = parked.call_of(made)
    return await (call.outcome() if call is not None else asyncio.shield(made))


def tell(parked: Parked, made: "asyncio.Future[Result]", ask: Callable[[Question], None]) -> None:
    """From now on what is asked of a call that is being made goes to `ask`; now, what is open."""
    if (call := parked.call_of(made)) is not None:
        call.on_question = ask
        for question in call.questions:
            ask(question)


def leaving(parked: Parked, made: "asyncio.Future[Result]", ask: Callable[[Question], None]) -> Callable[[], None]:
    """What is to be called when `ask` is to be told of nothing any more; whoever else waits for the answer is, then."""
    call = parked.call_of(made)
    return partial(call.leave, ask) if call is not None else lambda: None


def declines(asked: Asked) -> bool:
    """Whether a request wants all questions declined that are asked of it. Raises GatewayError."""
    wish = asked.query.get("questions", "ask")
    if wish not in _WISHES:
        raise bad_request("'questions' is 'ask' or 'decline'", questions=wish[:64])
    return _WISHES[wish]


class QuestionDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions, parked: Parked) -> None:
        self._sessions = sessions
        self._parked = parked

    def blueprint(self) -> Blueprint:
        """`/api/v1/questions`, and `/api/v1/questions/{id}`."""
        routes = Blueprint("questions", __name__, url_prefix="/api/v1/questions")
        quarted.add(routes, "", "list", self.list, "GET")
        quarted.add(routes, "/<id_>", "show", self.show, "GET")
        quarted.add(routes, "/<id_>", "answer", self.answer, "POST")
        return routes

    async def list(self) -> Reply:
        """The caller's open questions, of one session id or of all; an anonymous caller has to name one."""
        await admitted.admit(quarted.asked(), Use("", _LIST))
        id_ = optional_id(quarted.asked())
        if id_ is not None:
            self._sessions.find_set(id_, quarted.asked().sender)
        elif not quarted.asked().sender.principal.handle:
            raise GatewayError(Reason.SESSION_ID_MISSING, f"say of which session: ?{SESSION_QUERY}=")
        permits = self._sessions.oversight.permission
        found = [
            each
            for each in self._parked.of(quarted.asked().sender, id_)
            if permits(quarted.asked().sender, each.call.server).server
        ]
        return bodies.json_reply(msgspec.json.encode({"questions": [each.shown() for each in found]}))

    async def show(self, id_: str) -> Reply:
        """One open question."""
        question = self._find(id_)
        await admitted.admit(quarted.asked(), Use(question.call.server, question.asked.method))
        return bodies.json_reply(msgspec.json.encode(question.shown()))

    async def answer(self, id_: str) -> Reply:
        """Answer one; what comes then is the answer to the call, which may be another question."""
        question, wanted = self._find(id_), contents.wish(quarted.asked())
        call = question.call
        await admitted.admit(quarted.asked(), Use(call.server, question.asked.method))
        body = await bodies.read_json(quarted.asked(), self._sessions.policy(call.server).max_message_bytes)
        answer = answering.answer(question.asked, answering.check(body))
        call.reply(self._find(id_), answer)  # another request may have answered it meanwhile
        if call.on_question is not None:
            return bodies.empty(202)
        return contents.response(quarted.asked(), await call.outcome(), wanted)

    def _find(self, id_: str) -> Question:
        question = self._parked.find(id_, quarted.asked().sender, optional_id(quarted.asked()))
        self._sessions.oversight.check_server(quarted.asked().sender, question.call.server)
        return question
