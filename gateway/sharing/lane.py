"""One session's part in a child that others may share: to its relay it is the child, and the lease on it.

A lane need not have its child yet, and may leave one for another: because the client of a stream says only afterwards
what it can be asked, and because a user's credentials change. What the client asks meanwhile waits here. A child that
takes another's place hears the same `initialize` from the lane, and the client does not hear the answer.

The lane also sees to the idleness of its session: the supervisor's clock is the child's, which others may be using.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import replace
from typing import Final

import anyio
import msgspec
from loguru import logger
from msgspec import Raw

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hotstate import NoNotes
from gateway.jsonrpc import Message, Notification, Request, Response, cancelled_id, decode, encode, notification
from gateway.personal import Personal
from gateway.rawjson import members
from gateway.sharing.kept import KeptSession
from gateway.sharing.multiplexer import INITIALIZED
from gateway.sharing.notes import LaneNotes
from gateway.sharing.parts import Child, Rider, Station
from gateway.sharing.waiting import Wait, Waiting
from gateway.sharing.whose import Whose, may_be_asked

MAX_WAITING: Final = 2
"""So many times `max_message_bytes` may wait for a child. A request beyond that gets an error at once, and a
notification is dropped.
"""

_CANCELLED: Final = "notifications/cancelled"
_LIST_CHANGED: Final = "notifications/tools/list_changed"


class Lane:
    """The lane of the session `label`, on its way to the child for `whose`.

    `ids` are the numbers of its calls, never the same as those of another lane with the same child. `personal` is what
    the child is given of its user's own. `alone` says that nobody ever shares the child.
    """

    def __init__(
        self,
        station: Station,
        whose: Whose,
        policy: ServerPolicy,
        *,
        label: str,
        epoch: int,
        ids: Iterator[int],
        personal: Personal,
        alone: bool,
    ) -> None:
        self.epoch = epoch
        self.ids = ids
        self.label = label
        self.alone = alone
        self.policy = policy
        self.personal = personal
        self.whose = whose
        """For whom its child is, or is to be."""
        self.hello = b""
        """The params of its client's `initialize`."""
        self.describe: Callable[[], KeptSession | None] = lambda: None
        """What is to be kept of its session for a later gateway."""
        self.notes = LaneNotes()
        self._station = station
        self._rider: Rider | None = None
        self._child: Child | None = None
        self._waiting = Waiting(MAX_WAITING * policy.max_message_bytes)
        """What no child has heard yet; while there is anything, nothing overtakes it."""
        self._moving: asyncio.Task[None] | None = None
        self._answered = anyio.Event()
        self._replay: tuple[bytes, asyncio.Future[Response]] | None = None
        """The id of our own `initialize`, and who waits for its answer."""
        self._changed = ""
        """The names of what the child that it has was not given."""
        self._over = False
        self._holding = False
        self._loop = asyncio.get_running_loop()
        self._used = self._loop.time()
        self._idle: asyncio.TimerHandle | None = None
        if not alone:
            self._arm(policy.idle_timeout)

    def __repr__(self) -> str:
        return f"<Lane {self.label} to {self._child or 'no child'!r}, {self._waiting!r}>"

    @property
    def rider(self) -> Rider:
        """Its relay."""
        assert self._rider is not None
        return self._rider

    @property
    def child(self) -> Child | None:
        """The child that it has now."""
        return self._child

    # Its child.

    async def board(self, hello: bytes | None) -> None:
        """Get the child before anything is said. Raises GatewayError where none can be had.

        `hello` are the params of the `initialize` that its client is about to say, where the child depends on them.
        """
        if hello is not None and not self.alone:
            self.whose = replace(self.whose, askable=may_be_asked(hello))
        self._take(await self._station.reach(self.whose, self, self.personal))

    def go_on_with(self, child: Child) -> None:
        """Go on with a child that an earlier gateway had."""
        self.whose = child.whose
        self._take(child)

    def join(self, rider: Rider) -> None:
        """It is `rider`'s from now on, which has been told nothing of the child yet."""
        self._rider = rider
        if self._child is not None:
            self._show(self._child)

    def change(self, personal: Personal, names: str) -> None:
        """What its user gives is this from now on, and differs in what has these `names`.

        What is said next is for another child, and goes to it once the calls have ended that this one has.
        """
        self.personal, self._changed = personal, names
        self.whose = replace(self.whose, given=personal.digest)
        self.rider.on_list_changed()

    def hear(self, message: Message, line: bytes, about: int | None) -> None:
        """The child says `message`, which is `line`."""
        if isinstance(message, Response):
            self._answered.set()
            if self._replay is not None and self._replay[0] == message.id:
                if not self._replay[1].done():
                    self._replay[1].set_result(message)
                return
        self.rider.hear(message, line, about)

    # For the relay, in place of the child's side.

    def say(self, line: bytes) -> None:
        """Tell the child the message in `line`, or keep it until there is one to be told."""
        message = decode(line)
        if isinstance(message, Request) and message.method == "initialize":
            self.hello = message.params
            if self._child is None and not self._waiting and not self.alone:
                self.whose = replace(self.whose, askable=may_be_asked(self.hello))
        if self._child is not None and self._child.whose == self.whose and self._moving is None:
            self._child.from_lane(self, message)
        else:
            self._wait(message)

    def pause(self) -> None:
        """Stop listening."""
        if self._child is not None:
            self._child.pause(self)

    def resume(self) -> None:
        """Listen again."""
        if self._child is not None:
            self._child.resume(self)

    def drain(self) -> None:
        """The child does so itself, for all of its lanes."""

    def detach(self) -> tuple[int, ...]:
        """It has no descriptors."""
        return ()

    def close(self) -> None:
        """Nor has it any to close."""

    def end(self) -> None:
        """Its session has ended, or another gateway goes on with it."""
        self._over = True
        if self._idle is not None:
            self._idle.cancel()
        if self._moving is not None and self._moving is not asyncio.current_task():
            self._moving.cancel()
        if self._child is not None:
            child, self._child = self._child, None
            child.drop(self)

    # For the relay, in place of the supervisor.

    def hold(self, _: int) -> None:
        """Keep the idle clock from running, until `unhold`."""
        self._holding = True
        if self._child is not None:
            self._child.hold(self)

    def unhold(self, _: int) -> None:
        """Let it run, from now on."""
        self._holding = False
        self._used = self._loop.time()
        if self._child is not None:
            self._child.unhold(self)

    def use(self, _: int) -> None:
        """It was used just now."""
        self._used = self._loop.time()
        if self._child is not None:
            self._child.use()

    def keep(self, _: int, __: str) -> None:
        """The child is kept as a whole, by itself."""

    def release(self, _: int, reason: Reason, __: tuple[int, ...]) -> None:
        """The session ends for `reason`; the child, where others share it, goes on."""
        self._depart(reason)

    # Within.

    def _wait(self, message: Message) -> None:
        match message:
            case Response():  # an answer to the child that it still has
                if self._child is not None:
                    self._child.from_lane(self, message)
            case Notification(method=method) if method == _CANCELLED:
                if not self._waiting.take_back(cancelled_id(message)) and self._child is not None:
                    self._child.from_lane(self, message)
                    self._answered.set()
            case Request() if self._waiting.is_full:
                error = GatewayError(Reason.MAX_IN_FLIGHT, "too much waits for the server's process to be started")
                line = error.rpc_body(message.id)
                self._loop.call_soon(self.hear, decode(line), line, None)
            case Notification() if self._waiting.is_full:
                logger.warning("session {}: too much waits for its child; a notification is dropped", self.label)
            case _:
                self._waiting.add(Wait(message, self.whose, self.personal))
                if self._moving is None:
                    # In a context of its own: the caller's holds the whole request.
                    moving = self._loop.create_task(self._move(), name=f"move {self.label}", context=Context())
                    self._moving = moving

    async def _move(self) -> None:
        """Tell what waits to the children that it is for, in its order. The relay ends where one cannot be had."""
        try:
            while self._waiting and not self._over:
                first = self._waiting.first
                if self._child is None or self._child.whose != first.whose:
                    await self._change_to(first)
                else:
                    self._child.from_lane(self, self._waiting.pop())
            self._moving = None
        except TimeoutError:
            self.rider.end(Reason.START_TIMEOUT)
        except GatewayError as error:
            logger.warning("session {} gets no child: {}", self.label, error)
            self.rider.end(error.reason)
        except Exception:
            self.rider.end(Reason.INTERNAL_ERROR)
            raise

    async def _change_to(self, wait: Wait) -> None:
        """Leave the child, once nothing is in flight with it, for the one that `wait` is for. Raises GatewayError."""
        await self._calm()
        moves = self._child is not None
        self._depart(Reason.CREDENTIAL_CHANGED)
        self._withdraw_questions()
        with anyio.fail_after(self.policy.start_timeout):
            self._take(await self._station.reach(wait.whose, self, wait.personal))
            if self.rider.initialized:
                await self._shake_hands_again()
        if moves:
            facts = (self.label, self.whose.principal, self.whose.server, self._changed, self.rider.pid)
            logger.info("session {} of {} on {}: credentials changed ({}); respawned, pid {}", *facts)

    async def _calm(self) -> None:
        """Wait until nothing is in flight with the child that it has."""
        while self._child is not None and self._child.in_flight(self):
            self._answered = anyio.Event()
            await self._answered.wait()

    def _withdraw_questions(self) -> None:
        """Let the client forget what the child that was left has asked it: the next one may use the same ids."""
        for question in self.notes.questions:
            withdrawn = notification(_CANCELLED, {"requestId": Raw(question), "reason": "the server was started anew"})
            self.rider.hear(withdrawn, encode(withdrawn))

    async def _shake_hands_again(self) -> None:
        """Say to a new child what the client said to the first. Raises GatewayError where its answer is another."""
        id_ = b"%d" % next(self.ids)
        answered: asyncio.Future[Response] = self._loop.create_future()
        self._replay = (id_, answered)
        assert self._child is not None
        self._child.from_lane(self, Request(id_, "initialize", self.hello))
        answer = await answered
        self._replay = None
        if answer.error:
            raise GatewayError(Reason.START_FAILED, "the server refused 'initialize', which it had accepted before")
        version = msgspec.json.decode(members(answer.result).get("protocolVersion", b'""'))
        if version != self.rider.version:
            raise GatewayError(Reason.START_FAILED, f"the server now speaks {version}, not {self.rider.version}")
        self._child.from_lane(self, Notification(INITIALIZED, b""))
        self.rider.on_list_changed()
        tools = members(members(answer.result).get("capabilities", b"")).get("tools", b"")
        if bytes(members(tools).get("listChanged", b"")) == b"true":
            news = notification(_LIST_CHANGED)
            self.rider.hear(news, encode(news))

    def _take(self, child: Child) -> None:
        self._child = child
        self.notes.go(child.notes)
        if self._holding:
            child.hold(self)
        if self._rider is not None:
            self._show(child)

    def _show(self, child: Child) -> None:
        self.rider.lease, self.rider.pid, self.rider.certificate = child.lease, child.pid, child.certificate

    def _depart(self, reason: Reason) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        self.notes.go(NoNotes())
        child.leave(self, reason)
        if child.ended is None:
            self.rider.certificate = ""  # nobody's end is certified by it, as far as this session goes

    def _arm(self, seconds: float) -> None:
        self._idle = self._loop.call_later(seconds, self._look_idle, context=Context())

    def _look_idle(self) -> None:
        left = self._used + self.policy.idle_timeout - self._loop.time()
        if self._holding or self._rider is None:
            self._arm(self.policy.idle_timeout)
        elif left > 0:
            self._arm(left)
        else:
            self.rider.end(Reason.IDLE_TIMEOUT)
