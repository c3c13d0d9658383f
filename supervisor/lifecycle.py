"""The life of a child, as a table. No I/O, no clock.

    spawn ──▶ RUNNING ──END──▶ STOPPING ──GRACE_OVER──▶ TERMINATING ──GRACE_OVER──▶ KILLING ─┐
                 │                │                          │                        │  ▲    │ GRACE_OVER:
                 └─LEADER_EXITED──┴──────────▶ TERMINATING   │ TREE_EMPTY  TREE_EMPTY │  └────┘ kill again
                                                             └────────▶ GONE ◀────────┘

A child runs until somebody wants its end (END, with a reason) or its leader exits by itself. Then three steps, each a
bounded wait: *stop* (its stdin is closed, which is how MCP asks a stdio server to leave), *terminate* (SIGTERM to the
whole tree), *kill* (SIGKILL to the whole tree, again and again). A leader that has gone may have left helpers behind,
so its exit leads to *terminate*, not to GONE: a tree is only gone when it was looked at and found empty.

ABANDONED is an END without patience: the gateway died, nobody will ever read an answer of this child, and its stdin is
closed already. OVER_LIMIT is one without any: whoever takes more than is there is stopped at once.
"""

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a child is in its life."""

    RUNNING = auto()
    STOPPING = auto()
    TERMINATING = auto()
    KILLING = auto()
    GONE = auto()


class Event(Enum):
    """What can happen to it."""

    END = auto()
    """Its lease was released or expired, or everything is being ended."""
    ABANDONED = auto()
    """The gateway is dead."""
    OVER_LIMIT = auto()
    """It uses more than it may."""
    LEADER_EXITED = auto()
    TREE_EMPTY = auto()
    """The tree was looked at and nothing of it lives. Only reported while terminating or killing."""
    GRACE_OVER = auto()
    """The step's bounded wait is over."""


class Effect(Enum):
    """What is to be done about it."""

    ANNOUNCE_ENDING = auto()
    START_ENDING = auto()
    """Begin to work through the steps, until GONE."""
    HASTEN = auto()
    """Use short graces from here on."""
    RESTART_STEP = auto()
    """Leave the step that is being waited for, and do the new state's."""
    COUNT_OUTLIVED = auto()
    """Something survived SIGKILL for a whole grace: count it, log it, go on."""
    ANNOUNCE_GONE = auto()


_S, _E, _F = State, Event, Effect
_STAY: Final[tuple[Effect, ...]] = ()

TABLE: Final[dict[tuple[State, Event], tuple[State, tuple[Effect, ...]]]] = {
    (_S.RUNNING, _E.END): (_S.STOPPING, (_F.ANNOUNCE_ENDING, _F.START_ENDING)),
    (_S.RUNNING, _E.ABANDONED): (_S.STOPPING, (_F.HASTEN, _F.ANNOUNCE_ENDING, _F.START_ENDING)),
    (_S.RUNNING, _E.OVER_LIMIT): (_S.KILLING, (_F.ANNOUNCE_ENDING, _F.START_ENDING)),
    (_S.RUNNING, _E.LEADER_EXITED): (_S.TERMINATING, (_F.ANNOUNCE_ENDING, _F.START_ENDING)),
    (_S.STOPPING, _E.END): (_S.STOPPING, _STAY),
    (_S.STOPPING, _E.ABANDONED): (_S.STOPPING, (_F.HASTEN, _F.RESTART_STEP)),
    (_S.STOPPING, _E.OVER_LIMIT): (_S.KILLING, (_F.RESTART_STEP,)),
    (_S.STOPPING, _E.LEADER_EXITED): (_S.TERMINATING, (_F.RESTART_STEP,)),
    (_S.STOPPING, _E.GRACE_OVER): (_S.TERMINATING, (_F.RESTART_STEP,)),
    (_S.TERMINATING, _E.END): (_S.TERMINATING, _STAY),
    (_S.TERMINATING, _E.ABANDONED): (_S.TERMINATING, (_F.HASTEN, _F.RESTART_STEP)),
    (_S.TERMINATING, _E.OVER_LIMIT): (_S.KILLING, (_F.RESTART_STEP,)),
    (_S.TERMINATING, _E.LEADER_EXITED): (_S.TERMINATING, _STAY),
    (_S.TERMINATING, _E.TREE_EMPTY): (_S.GONE, (_F.ANNOUNCE_GONE,)),
    (_S.TERMINATING, _E.GRACE_OVER): (_S.KILLING, (_F.RESTART_STEP,)),
    (_S.KILLING, _E.END): (_S.KILLING, _STAY),
    (_S.KILLING, _E.ABANDONED): (_S.KILLING, _STAY),
    (_S.KILLING, _E.OVER_LIMIT): (_S.KILLING, _STAY),
    (_S.KILLING, _E.LEADER_EXITED): (_S.KILLING, _STAY),
    (_S.KILLING, _E.TREE_EMPTY): (_S.GONE, (_F.ANNOUNCE_GONE,)),
    (_S.KILLING, _E.GRACE_OVER): (_S.KILLING, (_F.COUNT_OUTLIVED, _F.RESTART_STEP)),
    (_S.GONE, _E.END): (_S.GONE, _STAY),
    (_S.GONE, _E.ABANDONED): (_S.GONE, _STAY),
    (_S.GONE, _E.OVER_LIMIT): (_S.GONE, _STAY),
}
"""A cell that is not here cannot happen, and `advance` says so."""


class ImpossibleEvent(Exception):
    """The supervisor's own fault: an event was reported in a state that cannot have it."""


def advance(state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    """The state after `event`, and what to do, in this order. Raises ImpossibleEvent where the table has no cell."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise ImpossibleEvent(f"{event.name} while {state.name}") from None
