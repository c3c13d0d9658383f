"""Many calls of many rounds on one child that cannot say for whom it asks: nobody gets what is another's.

Everything that could happen next is drawn by lot: the child reads a message or is heard, a client comes back or hangs
up, a timer fires. Only the order of what stands in a pipe is kept.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.gateway.translation.playbook import Bridge, Steps, accepted, text

CALLS, ROUNDS = 6, 4


@dataclass
class Child:
    """A legacy server whose one tool asks ROUNDS questions; they bear its caller's name, and nothing else does."""

    inbox: deque[dict[str, Any]] = field(default_factory=deque)
    outbox: deque[dict[str, Any]] = field(default_factory=deque)
    heard: dict[int, list[str]] = field(default_factory=dict)
    callers: dict[int, str] = field(default_factory=dict)

    def read(self) -> None:
        """Take the next message from the pipe."""
        message = self.inbox.popleft()
        match message.get("method"):
            case "tools/call":
                self.callers[message["id"]] = message["params"]["arguments"]["caller"]
                self.heard[message["id"]] = []
                self._ask(message["id"])
            case "notifications/cancelled":
                self.callers.pop(message["params"]["requestId"], None)
            case "ping":
                self.outbox.append({"id": message["id"], "result": {}})
            case None:
                self._go_on(int(message["id"].split(".")[0]), message["result"])

    def _go_on(self, call: int, answer: dict[str, Any]) -> None:
        if call not in self.callers:
            return
        self.heard[call].append(answer["content"]["said"])
        if len(self.heard[call]) < ROUNDS:
            self._ask(call)
        else:
            self.outbox.append({"id": call, "result": text(self.callers[call])})

    def _ask(self, call: int) -> None:
        asked = {"message": f"{self.callers[call]} {len(self.heard[call])}"}
        self.outbox.append({"id": f"{call}.{len(self.heard[call])}", "method": "elicitation/create", "params": asked})


class World:
    """The child, the bridge, and clients, each with one call. `vanishing` is how likely one hangs up rather than wait."""

    def __init__(self, seed: int, vanishing: float) -> None:
        self.lot = random.Random(seed)
        self.vanishing = vanishing
        self.bridge = Bridge()
        self.child = Child()
        self.waiting: dict[int, str] = {}
        """Requests that wait for an answer, and whose they are."""
        self.coming_back: list[tuple[str, dict[str, Any]]] = []
        self.timers: dict[str, None] = {}
        self.finished: dict[str, str] = {}
        self.asked: dict[str, list[str]] = {}
        self.held = False
        self._last = 0

    def calls(self, caller: str, **more: Any) -> None:
        """A try of `caller`."""
        self._last += 1
        self.waiting[self._last] = caller
        self._perform(self.bridge.calls(self._last, arguments={"caller": caller}, **more))

    def run(self) -> None:
        """Until nothing can happen any more."""
        while choices := self._choices():
            self.lot.choice(choices)()

    def _choices(self) -> list[Any]:
        choices: list[Any] = []
        if self.child.inbox:
            choices.append(self.child.read)
        if self.child.outbox:
            choices.append(lambda: self._perform(self.bridge.child(**self.child.outbox.popleft())))
        if self.coming_back:
            choices.append(self._come_back)
        if asking := [key for key in self.timers if key.startswith("ask")]:
            choices.append(lambda: self._wake(self.lot.choice(asking)))
        if self.waiting and self.lot.random() < self.vanishing:
            choices.append(self._hang_up)
        if not choices and self.timers:
            choices.append(lambda: self._wake(next(iter(self.timers))))
        return choices

    def _wake(self, key: str) -> None:
        del self.timers[key]
        self._perform(self.bridge.wakes(key))

    def _come_back(self) -> None:
        caller, more = self.coming_back.pop(self.lot.randrange(len(self.coming_back)))
        if self.lot.random() >= self.vanishing:
            self.calls(caller, **more)

    def _hang_up(self) -> None:
        request = self.lot.choice(list(self.waiting))
        del self.waiting[request]
        self._perform(self.bridge.cancels(request))

    def _perform(self, steps: Steps) -> None:
        for step in steps:
            match step:
                case {"child": message}:
                    self.child.inbox.append(message)
                case {"client": message}:
                    self._answered(self.waiting.pop(message["id"]), message["result"])
                case {"wake": key, "in": None}:
                    self.timers.pop(key, None)
                case {"wake": key}:
                    self.timers[key] = None
                case {"hold": on}:
                    assert on != self.held
                    self.held = on

    def _answered(self, caller: str, result: dict[str, Any]) -> None:
        if result["resultType"] == "complete":
            self.finished[caller] = result["content"][0]["text"]
            return
        [(key, question)] = result["inputRequests"].items()
        self.asked.setdefault(caller, []).append(question["params"]["message"])
        answers = {key: accepted(said=f"{caller} says")}
        self.coming_back.append((caller, {"requestState": result["requestState"], "inputResponses": answers}))


@pytest.mark.parametrize("seed", range(40))
def test_six_calls_of_many_rounds_on_one_child_get_each_their_own_answers(seed: int) -> None:
    world = World(seed, vanishing=0.0)
    callers = [f"caller{number}" for number in range(CALLS)]
    for caller in callers:
        world.calls(caller)
    world.run()
    assert world.finished == {caller: caller for caller in callers}
    assert world.asked == {caller: [f"{caller} {round_}" for round_ in range(ROUNDS)] for caller in callers}
    for call, caller in world.child.callers.items():
        assert world.child.heard[call] == [f"{caller} says"] * ROUNDS
    assert world.bridge.counted == {}


@pytest.mark.parametrize("seed", range(80))
def test_clients_that_vanish_leave_nothing_of_theirs_to_others(seed: int) -> None:
    world = World(seed, vanishing=0.15)
    for number in range(CALLS):
        world.calls(f"caller{number}")
    world.run()
    for caller, questions in world.asked.items():
        assert questions == [f"{caller} {round_}" for round_ in range(len(questions))]
    for caller, answer in world.finished.items():
        assert answer == caller
    assert not world.held
    assert "0 in flight, 0 waiting, 0 parked" in repr(world.bridge.translator)
