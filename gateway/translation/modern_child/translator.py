"""The translator itself: which message goes which way.

Whether a child is modern need not be known beforehand. `initialize` is then sent as it is; a child that answers it with a
result is left alone from then on, and one that refuses it as a modern server would is asked with `server/discover`.
"""

from collections import Counter
from collections.abc import Callable, Set
from typing import Final

from msgspec import Raw

from gateway.jsonrpc import ABSENT, Message, Notification, Request, Response, cancelled_id
from gateway.rawjson import Members, is_object, members, put_together
from gateway.specification import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LATEST_HANDSHAKE_VERSION,
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from gateway.translation.modern_child import opening
from gateway.translation.modern_child.listening import AGAIN, Listening
from gateway.translation.modern_child.opening import Opened
from gateway.translation.modern_child.results import error_code
from gateway.translation.modern_child.rounds import Rounds
from gateway.translation.steps import Hear, Say, Step, StepAside

_REFUSALS: Final = frozenset({UNSUPPORTED_PROTOCOL_VERSION, METHOD_NOT_FOUND, INVALID_PARAMS, INVALID_REQUEST})
"""What a modern server may answer to `initialize`, which it does not know, or misses the envelope of."""

_NOT_ASKED: Final = b'{"code":%d,"message":"a server of this revision asks in its results"}' % INVALID_REQUEST
_NO_LOGS: Final = b'{"code":%d,"message":"the server writes no log messages"}' % METHOD_NOT_FOUND
_NO_SUBSCRIPTIONS: Final = b'{"code":%d,"message":"the server has no subscriptions"}' % METHOD_NOT_FOUND
_TWICE: Final = b'{"code":%d,"message":"the session is initialized, or about to be"}' % INVALID_REQUEST
_BAD_PARAMS: Final = b'{"code":%d,"message":"expected params that are an object"}' % INVALID_PARAMS
_SPEAKS_NEITHER: Final = b'{"code":%d,"message":"the server speaks no revision that this gateway knows"}' % (
    UNSUPPORTED_PROTOCOL_VERSION
)
_OBJECT: Final = b"{}"


class ModernChild:
    """A translator (`steps.Translator`). `known` says that the child is modern; otherwise that is found out.

    `on_opened(opened)` is called once the child turned out to be, with what a later gateway needs for going on with it;
    that one gives it as `opened`. `on_handshake` is called where it knows `initialize`, `on_refused` where it knows
    neither that nor us.
    """

    def __init__(
        self,
        *,
        known: bool = False,
        on_opened: Callable[[Opened], None] = lambda _opened: None,
        on_handshake: Callable[[], None] = lambda: None,
        on_refused: Callable[[], None] = lambda: None,
        opened: Opened | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """What was dropped, by why."""
        self._known = known
        self._on_opened = on_opened
        self._on_handshake = on_handshake
        self._on_refused = on_refused
        self._opened = opened
        self._is_open = opened is not None
        self._listens = opened is None
        """Whether the child was asked for its news, or will be."""
        self._initialize: Request | None = None
        self._refusal = b""
        """With which error the child answered `initialize`."""
        self._early: set[bytes] = set()
        """Requests that came before the handshake was over, and that wait for the child's answer."""
        self._level = ABSENT
        self._rounds = Rounds()
        self._listening = Listening(self._meta)
        if opened is not None:
            self._rounds.url_ids = opened.version == LATEST_HANDSHAKE_VERSION

    def __repr__(self) -> str:
        state = "open" if self._is_open else "not open"
        return f"<ModernChild {state}: {self._rounds!r}, {self._listening!r}>"

    @property
    def adrift(self) -> Set[int]:
        """None: what is repeated has an id that is no number."""
        return frozenset()

    @property
    def questions(self) -> Set[bytes]:
        """None: the child asks nothing."""
        return frozenset()

    def to_child(self, message: Message) -> list[Step]:
        """What the conversation says."""
        match message:
            case Request(method="initialize"):
                return self._begin(message)
            case Request():
                return [*self._listen_again(), *self._ask(message)]
            case Response():
                answered = self._rounds.respond(message)
                return answered if answered is not None else self._drop("answer_to_no_question")
            case Notification(method="notifications/cancelled"):
                return self._cancel(message)
            case Notification(method="notifications/initialized") if self._opened is not None and self._is_open:
                return self._listening.begin(self._opened.news)
            case Notification():
                return []  # a modern server wants to hear nothing else from a client

    def from_child(self, message: Message) -> list[Step]:
        """What the child says."""
        match message:
            case Response() if self._initialize is not None and message.id == self._initialize.id:
                return self._opens(self._initialize, message)
            case Response():
                return self._answer(message)
            case Request():
                self.counters["question_of_a_modern_child"] += 1
                return [Say(Response(message.id, b"", _NOT_ASKED))]
            case Notification(method="notifications/cancelled"):
                ended = self._listening.ended(cancelled_id(message))
                return ended if ended is not None else self._drop("cancelled_by_the_child")
            case Notification():
                told = self._listening.tell(message)
                return told if told is not None else [Hear(message)]

    def wake(self, key: str) -> list[Step]:
        """A pause is over."""
        return self._listening.wake() if key == AGAIN else self._rounds.wake(key)

    # The opening.

    def _begin(self, message: Request) -> list[Step]:
        if self._is_open or self._initialize is not None:
            return [Hear(Response(message.id, b"", _TWICE))]
        self._initialize = message
        self._opened = opening.hello(message.params)
        self._rounds.url_ids = self._opened.version == LATEST_HANDSHAKE_VERSION
        return [self._discover(message.id, self._opened)] if self._known else [Say(message)]

    def _opens(self, initialize: Request, message: Response) -> list[Step]:
        """The child's answer to `initialize`, or to the `server/discover` in its place."""
        assert self._opened is not None
        if not self._known and not self._refusal:
            if not message.error:
                self._on_handshake()
                return [Hear(message), StepAside()]
            if error_code(message.error) not in _REFUSALS:
                self._initialize = None
                return [Hear(message)]
            self._refusal = message.error
            return [self._discover(initialize.id, self._opened)]
        self._initialize = None
        welcome = opening.welcome(self._opened, message.result) if not message.error else None
        if welcome is None:
            self._on_refused()
            return [Hear(Response(initialize.id, b"", self._refusal or message.error or _SPEAKS_NEITHER))]
        self._opened, result = welcome
        self._is_open = True
        self._on_opened(self._opened)
        return [Hear(Response(initialize.id, result, b""))]

    @staticmethod
    def _discover(id_: bytes, opened: Opened) -> Step:
        return Say(Request(id_, "server/discover", opening.discover_params(opened)))

    # Within.

    def _meta(self) -> Members:
        assert self._opened is not None
        return self._opened.meta(self._level)

    def _ask(self, message: Request) -> list[Step]:
        if self._opened is None or not self._is_open:
            self._early.add(message.id)
            return [Say(message)]  # what comes of that is between the client and the child
        if message.method == "logging/setLevel":
            if not self._opened.logs:
                return [Hear(Response(message.id, b"", _NO_LOGS))]
            self._level = members(message.params).get("level", ABSENT)
            return [Hear(Response(message.id, _OBJECT, b""))]
        if message.method in ("resources/subscribe", "resources/unsubscribe"):
            if not self._opened.subscribes:
                return [Hear(Response(message.id, b"", _NO_SUBSCRIPTIONS))]
            listening = self._listening
            change = listening.subscribe if message.method == "resources/subscribe" else listening.unsubscribe
            return change(message.id, message.params)
        if message.params and not is_object(message.params):
            return [Hear(Response(message.id, b"", _BAD_PARAMS))]
        params = members(message.params)
        params["_meta"] = Raw(put_together({**members(params.get("_meta", ABSENT)), **self._meta()}))
        return self._rounds.begin(message.id, message.method, params)

    def _cancel(self, message: Notification) -> list[Step]:
        id_ = cancelled_id(message)
        self._early.discard(id_)
        steps = self._rounds.cancel(id_, members(message.params).get("reason", ABSENT))
        if steps is None:
            return [] if self._listening.cancel(id_) else [Say(message)]  # of an earlier gateway's, perhaps
        return steps

    def _answer(self, message: Response) -> list[Step]:
        steps = self._rounds.answered(message)
        if steps is None:
            steps = self._listening.ended(message.id, message.error)
        if steps is None and message.id in self._early:
            self._early.discard(message.id)
            return [Hear(message)]
        return steps if steps is not None else self._drop("answer_to_nobody")

    def _listen_again(self) -> list[Step]:
        """On a child that an earlier gateway opened, its listen went with that one."""
        if self._listens or self._opened is None:
            return []
        self._listens = True
        return self._listening.begin(self._opened.news)

    def _drop(self, why: str) -> list[Step]:
        self.counters[why] += 1
        return []
