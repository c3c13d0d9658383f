"""One cell of the comparison: a program by one of its doors, with one child, from its start to its end."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.children import Child, missing
from benchmarks.measure import Memory, alive, descriptors, kill, memory, processor_seconds
from benchmarks.programs import NotInstalled, Way
from benchmarks.running import START_PATIENCE, Client, Failed, Running, client, running, without_paths

AT_ONCE: Final = 50
"""So many calls are on their way at once, at most."""

LOOKED_AT: Final = 20
"""So many children are looked at for what one of them holds."""


@dataclass(frozen=True)
class Amounts:
    """How much is done of everything."""

    alone: int
    """Openings one at a time."""
    counts: tuple[int, ...]
    """Numbers of sessions at which calls are measured; but for 1 at least 5 more than `alone`."""
    calls: int
    """At each number of sessions."""
    warm_up: int
    """Calls before anything is measured: programs compile themselves while they run."""
    pause: float = 0.0
    """Seconds before an opening where spares are kept, in which they are made."""


def measure(way: Way, child: Child, amounts: Amounts) -> dict[str, Any]:
    """What the cell came to; `failure` says why, where it came to nothing, and `stopped` where it got no further."""
    cell: dict[str, Any] = {"way": way.name, "child": child.name}
    if why := missing(child):
        return {**cell, "failure": why}
    try:
        with running(way, child) as program, client() as load:
            _Cell(cell, program, load, amounts).fill()
    except (Failed, NotInstalled) as error:
        cell["failure"] = without_paths(str(error))
    return cell


class _Cell:
    def __init__(self, cell: dict[str, Any], program: Running, load: Client, amounts: Amounts) -> None:
        self._cell, self._program, self._load, self._amounts = cell, program, load, amounts
        self._first: tuple[Memory, Memory] | None = None
        self._open_now = 1

    def fill(self) -> None:
        """All of it, in its order. Raises Failed where not even one session can be had."""
        settle(self._program, self._load)
        if self._amounts.warm_up:
            self._load.do("call", count=self._amounts.warm_up, at_once=1)
        self._cell["open"] = {}
        self._cell["calls"] = []
        if self._program.way.warm:
            self._open("alone", self._amounts.alone, 1, self._amounts.pause)
            time.sleep(4 * self._amounts.pause)
            self._open("four", 4, 4)
            return
        for count in self._amounts.counts:
            if not self._grow(count) or not self._call(count):
                return
        self._load.do("close")

    def _grow(self, count: int) -> bool:
        """Have so many sessions; whether there are."""
        # The first ones are opened so that it can be told how long one takes, and four at once.
        if count > 1 and not self._cell["open"] and not self._open_first():
            return False
        missing = count - self._open_now
        return missing <= 0 or self._open(str(count), missing, 4)

    def _open_first(self) -> bool:
        return self._open("alone", self._amounts.alone, 1) and self._open("four", 4, 4)

    def _open(self, name: str, count: int, at_once: int, pause: float = 0.0) -> bool:
        before = processor_seconds(self._program.tree().own)
        done = self._load.do("open", count=count, at_once=at_once, pause=pause)
        self._cell["open"][name] = {
            "times": done["times"],
            "processor": processor_seconds(self._program.tree().own) - before,
        }
        self._open_now = done["open"]
        if len(done["times"]) == count:
            return True
        self._stop(f"{done['open']} sessions", done["faults"] or {"took more than 60 s": 1})
        return False

    def _call(self, count: int) -> bool:
        own = self._program.tree().own
        before = processor_seconds(own)
        done = self._load.do("call", count=self._amounts.calls, at_once=AT_ONCE)
        used = processor_seconds(own) - before
        tree = self._program.tree()
        held, lasting = memory(tree.own), memory(self._program.parts())
        first, first_lasting = self._first = self._first or (held, lasting)
        children = sorted(tree.children)
        some = children[:: max(1, len(children) // LOOKED_AT)]
        self._cell["calls"].append(
            {
                "sessions": count,
                **done,
                "processor": used,
                "own": vars(held),
                "added": {
                    "pss": held.pss - first.pss,
                    "uss": held.uss - first.uss,
                    "lasting": lasting.pss - first_lasting.pss,
                },
                "children": len(children),
                "child": {name: size / max(1, len(some)) for name, size in vars(memory(some)).items()},
            }
        )
        if done["faults"]:
            self._stop(f"calls of {count} sessions", done["faults"])
        return not done["faults"]

    def _stop(self, at: str, faults: Mapping[str, int]) -> None:
        self._cell["stopped"] = {"at": at, "why": why_of(faults)}


def why_of(faults: Mapping[str, int]) -> str:
    """The commonest reason of some, in a line."""
    return without_paths(max(faults, key=lambda each: faults[each])) if faults else "nothing came"


def settle(program: Running, load: Client) -> None:
    """Open a first session, as soon as the program can serve one: it may listen before its child is ready.

    Raises Failed.
    """
    load.do("target", **program.target())
    until = time.monotonic() + START_PATIENCE
    while True:
        done = load.do("open", count=1, at_once=1, patience=START_PATIENCE)
        if done["times"]:
            return
        if time.monotonic() > until or program.ended():
            raise Failed(why_of(done["faults"]))
        time.sleep(0.2)


# What is left behind.

_WITH_HELPER: Final = ("/bin/sh", "-c", 'sleep 1000 & exec "$0" "$@"')
"""A server that has started something of its own, as those do that start a browser or a compiler."""


AFTER_THE_KILL: Final = 10.0
"""Seconds, at most, until what is there is left of a killed bridge: nobody is there any more who could look later."""


def left_behind(way: Way, child: Child, sessions: int, idle: int, wait: float) -> dict[str, Any]:
    """What is left of `sessions` whose clients have vanished, and of as many whose bridge was killed.

    A session that is silent for `idle` seconds may be ended, where a program knows such a thing, and those whose
    clients have vanished are given `wait` seconds to be gone. Each server has a helper of its own: two processes for
    each session at most.
    """
    row: dict[str, Any] = {"way": way.name, "sessions": sessions}
    if why := missing(child):
        return {**row, "failure": why}
    try:
        with running(way, child, command=(*_WITH_HELPER, *child.command), idle=idle) as program, client() as load:
            settle(program, load)
            load.do("close")
            row["vanished"] = _vanish(program, load, sessions, wait)
        with running(way, child, command=(*_WITH_HELPER, *child.command), idle=1000) as program, client() as load:
            settle(program, load)
            row["killed"] = _kill(program, load, sessions, wait)
    except (Failed, NotInstalled) as error:
        row["failure"] = without_paths(str(error))
    return row


def _vanish(program: Running, load: Client, sessions: int, wait: float) -> dict[str, Any]:
    time.sleep(2)  # for the first session to be gone, where it goes
    before = program.tree()
    files = descriptors(before.own)
    opened = load.do("open", count=sessions, at_once=4)
    most = len(program.tree().everybody) - len(before.everybody)
    load.do("vanish")
    until = time.monotonic() + wait
    while time.monotonic() < until and _added(program, before.everybody, files) != (0, 0):
        time.sleep(0.25)
    processes, open_files = _added(program, before.everybody, files)
    return {"opened": opened["open"], "most": most, "processes": processes, "descriptors": open_files}


def _added(program: Running, before: frozenset[Any], files: int) -> tuple[int, int]:
    tree = program.tree()
    # Also those that have got away from the tree.
    return len(alive(program.seen) - before), max(0, descriptors(tree.own) - files)


def _kill(program: Running, load: Client, sessions: int, wait: float) -> dict[str, Any]:
    opened = load.do("open", count=sessions, at_once=4)
    everybody = program.tree().everybody
    parts = program.parts()
    kill(parts)
    until = time.monotonic() + min(wait, AFTER_THE_KILL)
    while time.monotonic() < until and alive(everybody - parts):
        time.sleep(0.25)
    with suppress(Failed):
        load.do("vanish")
    return {"opened": opened["open"], "most": len(everybody - parts), "processes": len(alive(everybody - parts))}
