"""Open questions hold a session, for a bounded time."""

import anyio

from gateway.questions import OpenQuestions
from tests.support.processes import PATIENCE


class Told:
    """What the questions have asked for, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.expired = anyio.Event()

    def questions(self, patience: float = PATIENCE) -> OpenQuestions:
        return OpenQuestions(
            patience,
            expire=self.expire,
            hold=lambda: self.said.append("hold"),
            unhold=lambda: self.said.append("unhold"),
        )

    def expire(self, question: bytes) -> None:
        self.said.append(question.decode())
        self.expired.set()


async def test_the_session_is_held_from_the_first_question_to_the_last_answer() -> None:
    told = Told()
    questions = told.questions()
    for now in ({b"1"}, {b"1", b"2"}, {b"2"}, {b"3"}):
        questions.follow(now)
        assert told.said == ["hold"]
    questions.follow(set())
    assert told.said == ["hold", "unhold"]
    questions.follow(set())
    assert told.said == ["hold", "unhold"]
    assert repr(questions) == "<OpenQuestions: 0>"


async def test_a_question_expires_and_its_hold_with_it() -> None:
    told = Told()
    questions = told.questions(0.001)
    questions.follow({b"1"})
    with anyio.fail_after(PATIENCE):
        await told.expired.wait()
    questions.follow(set())
    assert told.said == ["hold", "1", "unhold"]


async def test_a_question_that_was_answered_does_not_expire() -> None:
    told = Told()
    questions = told.questions(0.001)
    questions.follow({b"1"})
    questions.follow(set())
    questions.follow({b"2"})
    with anyio.fail_after(PATIENCE):
        await told.expired.wait()
    questions.follow(set())
    assert told.said == ["hold", "unhold", "hold", "2", "unhold"]
